/** Failures of the file system as TsbuildErrors that name the file. */
import { type ErrorCode, isTsbuildError, systemErrorCode, TsbuildError } from '../../core/index.ts';
import { shown } from '../tar/tar-errors.ts';

/**
 * @param doing a present participle with its object: `unpacking "usr/bin/env"`
 * @param code for what is neither a full disk nor a name the file system refuses
 */
export function layerFailure(error: unknown, doing: string, code: ErrorCode = 'layer-io'): TsbuildError {
  if (isTsbuildError(error)) return error;
  const system = systemErrorCode(error);
  const message = `${doing} failed: ${error instanceof Error ? error.message : String(error)}`;
  switch (system) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new TsbuildError({
        code: 'store-full',
        message,
        hint: 'Free disk space, e.g. with tsbuild prune, and run the command again.',
        cause: error,
      });
    case 'ENAMETOOLONG':
      return new TsbuildError({
        code: 'layer-invalid',
        message,
        hint: 'Shorten the name: a file name may have 255 bytes here.',
        cause: error,
      });
    case undefined:
      return new TsbuildError({ code: 'internal', message, cause: error });
    default:
      return new TsbuildError({
        code,
        message,
        hint: 'Check the permissions and the health of the file system.',
        cause: error,
      });
  }
}

/** Runs `task`; a failure of the file system names `path`. */
export function naming<T>(doing: string, path: string, task: () => T): T {
  try {
    return task();
  } catch (error) {
    throw layerFailure(error, `${doing} ${shown(path)}`);
  }
}
