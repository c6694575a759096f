/** The failures of the tar codec, and of what reads layers with it. */
import { bytePathToText, type ErrorCode, TsbuildError } from '../../core/index.ts';

const hints: Partial<Record<ErrorCode, string>> = {
  'tar-invalid': 'Fetch or make the archive again; its bytes are damaged.',
  'tar-truncated': 'Fetch or make the archive again; it ends too early.',
  'tar-limit': 'Check where the archive comes from: it asks for more than any honest image does.',
  'tar-unsupported': 'Make the archive again with a current tar (POSIX pax or GNU format).',
};

export function tarError(code: 'tar-invalid' | 'tar-truncated' | 'tar-limit' | 'tar-unsupported', what: string): never {
  const hint = hints[code];
  throw new TsbuildError({ code, message: what, ...(hint !== undefined && { hint }) });
}

/** A layer that is a sound archive, but none that can be unpacked. */
export function layerInvalid(what: string): TsbuildError {
  return new TsbuildError({
    code: 'layer-invalid',
    message: what,
    hint: 'The layer is not one a builder makes; ask whoever published it.',
  });
}

/** A name out of an archive as it may be shown: control characters escaped, length bounded. */
export function shown(name: string): string {
  return JSON.stringify(bytePathToText(name.length > 200 ? `${name.slice(0, 200)}...` : name));
}
