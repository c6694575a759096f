/** What stands around deflated bytes in a gzip member (RFC 1952): no time, no name, no system, so equal content is equal. */

/** Deflate, no flags, mtime 0, no hint, unknown system. */
export const gzipHeader: Uint8Array = Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff);

/** @param size bytes of input; the member keeps it modulo 2^32 */
export function gzipTrailer(crc: number, size: number): Uint8Array {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc >>> 0, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  return trailer;
}

/**
 * CRC-32 of two runs of bytes joined, from the CRC-32 of each and the length of the second. Appending zero bits to the
 * first is a linear map over GF(2), squared once per bit of the length (Mark Adler's method, as zlib documents it).
 */
export function crc32Combine(first: number, second: number, secondLength: number): number {
  if (secondLength === 0) return first >>> 0;
  // The map for one zero bit: shift, and reduce by the polynomial when a one falls out.
  let odd = Array.from({ length: 32 }, (_, bit) => (bit === 0 ? 0xedb88320 : 2 ** (bit - 1)));
  let even = squared(odd);
  odd = squared(even);
  let crc = first;
  for (let length = secondLength; length > 0; ) {
    even = squared(odd);
    if (length % 2 === 1) crc = applied(even, crc);
    length = Math.floor(length / 2);
    if (length === 0) break;
    odd = squared(even);
    if (length % 2 === 1) crc = applied(odd, crc);
    length = Math.floor(length / 2);
  }
  return (crc ^ second) >>> 0;
}

function applied(matrix: readonly number[], vector: number): number {
  let sum = 0;
  for (let bit = 0, rest = vector >>> 0; rest !== 0; bit += 1, rest >>>= 1) {
    if (rest & 1) sum ^= matrix[bit] ?? 0;
  }
  return sum >>> 0;
}

function squared(matrix: readonly number[]): number[] {
  return matrix.map((column) => applied(matrix, column));
}
