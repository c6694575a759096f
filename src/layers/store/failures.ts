/** Turns what the file system says into what the user can do about it. */
import { isTsbuildError, systemErrorCode, TsbuildError } from '../../core/index.ts';
import type { Descriptor, Digest } from '../../image/index.ts';

/** @param what what failed and where, without a full stop */
export function storeFailure(error: unknown, what: string): TsbuildError {
  if (isTsbuildError(error)) return error;
  const code = systemErrorCode(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new TsbuildError({
      code: 'store-full',
      message: `${what}: no space is left on the disk`,
      hint: 'Free space, e.g. with tsbuild prune, and run the command again; what is finished is kept.',
      cause: error,
    });
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new TsbuildError({
      code: 'store-unwritable',
      message: `${what}: ${code === 'EROFS' ? 'the file system is read-only' : 'permission denied'}`,
      hint: 'Name a folder you may write to with TSBUILD_HOME.',
      cause: error,
    });
  }
  return new TsbuildError({
    code: 'store-io',
    message: `${what}: ${error instanceof Error ? error.message : String(error)}`,
    hint: 'Check the disk under the store (dmesg shows its errors), then run the command again.',
    cause: error,
  });
}

export function blobMissing(digest: Digest, where = 'the local store'): TsbuildError {
  return new TsbuildError({
    code: 'blob-missing',
    message: `${where} does not hold ${digest}`,
    hint: 'Pull or build the image again.',
  });
}

export function blobDamaged(digest: Digest, how: string, where = 'the local store'): TsbuildError {
  return new TsbuildError({
    code: 'blob-damaged',
    message: `${where} held a damaged copy of ${digest} (${how}); it was dropped`,
    hint: 'Run the command again: the blob is fetched or built anew. Run tsbuild store check to look for more.',
  });
}

/** A blob whose bytes are right, named by a descriptor that is not. */
export function sizeMismatch(digest: Digest, claimed: number, actual: number): TsbuildError {
  return new TsbuildError({
    code: 'blob-mismatch',
    message: `${digest} has ${actual} bytes, the manifest that names it says ${claimed}`,
    hint: 'The image is not valid; push it again with a current tool.',
  });
}

/** What a source gave is not the blob it was asked for. */
export function blobMismatch(expected: Descriptor, size: number, digest: Digest): TsbuildError {
  const got = size > expected.size ? `more than ${expected.size} bytes` : `${size} bytes, ${digest}`;
  return new TsbuildError({
    code: 'blob-mismatch',
    message: `the bytes received for ${expected.digest} (${expected.size} bytes) are not that blob: ${got}`,
    hint: 'Run the command again; if it fails again, the place the image comes from holds a damaged copy.',
  });
}
