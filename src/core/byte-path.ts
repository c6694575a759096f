/**
 * Path names as the kernel and tar see them: bytes without NUL, held in a JavaScript string with one code unit
 * (0-255) per byte ("latin1"). So any name survives, comparison with `<` is byte order whatever the locale, and ASCII
 * names, nearly all of them, cost nothing.
 * Invariant: a BytePath inside a layer is relative, has no empty, `.` or `..` component and no trailing slash; the
 * root of the tree is ''.
 */
export type BytePath = string & { readonly __brand: 'BytePath' };

const ascii = /^[\x00-\x7f]*$/;

/** From text (a Dockerfile, an argument): its UTF-8 bytes. */
export function bytePathFromText(text: string): BytePath {
  return (ascii.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1')) as BytePath;
}

/** From raw bytes (readdir with `encoding: 'buffer'`, a tar header). */
export function bytePathFromBytes(bytes: Uint8Array): BytePath {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1') as BytePath;
}

/** What to hand to `fs`: the string itself when it is ASCII, else its bytes. */
export function bytePathForFs(path: string): string | Buffer {
  return ascii.test(path) ? path : Buffer.from(path, 'latin1');
}

/** What to show to a person: UTF-8 where the bytes are UTF-8, U+FFFD elsewhere. */
export function bytePathToText(path: string): string {
  return ascii.test(path) ? path : Buffer.from(path, 'latin1').toString('utf8');
}

/** Byte order, the order of every sorted tree in tsbuild. */
export function compareBytePaths(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
