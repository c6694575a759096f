/** Reads a piece of a file where it takes least: to go through libuv's threads costs more than a few bytes do. */
import { read, readSync } from 'node:fs';
import { promisify } from 'node:util';

/** Bytes. A piece up to this size is read in place. */
const smallRead = 64 * 1024;
const readAside = promisify(read);

/** What is there of the file at a position, in `buffer`; no more than it holds, none at the file's end. */
export async function readAt(file: number, buffer: Buffer, position: number): Promise<Buffer> {
  const count =
    buffer.length <= smallRead
      ? readSync(file, buffer, 0, buffer.length, position)
      : (await readAside(file, buffer, 0, buffer.length, position)).bytesRead;
  return buffer.subarray(0, count);
}
