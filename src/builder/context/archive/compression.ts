/**
 * Decompression by content, never by name: what a file is, its first bytes say.
 *
 * gzip is Node's own; zstd is Node's where it has it, else zstd-napi, else the `zstd` program; bzip2 and xz are the
 * programs of those names, as in Docker for xz. A program is run without a shell, by name in fixed folders, with an
 * empty environment.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Readable, Transform } from 'node:stream';
import * as zlib from 'node:zlib';
import { TsbuildError } from '../../../core/index.ts';

export type FileCompression = 'none' | 'gzip' | 'bzip2' | 'xz' | 'zstd';

/** @param head at least the first ten bytes, if there are as many */
export function detectCompression(head: Uint8Array): FileCompression {
  const begins = (...bytes: readonly number[]): boolean => bytes.every((byte, index) => head[index] === byte);
  if (begins(0x1f, 0x8b, 0x08)) return 'gzip';
  if (begins(0x42, 0x5a, 0x68)) return 'bzip2';
  if (begins(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) return 'xz';
  if (begins(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd';
  // A zstd stream may begin with skippable frames (RFC 8878, 3.1.2).
  if (((head[0] ?? 0) & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18) return 'zstd';
  return 'none';
}

/**
 * The plain bytes of a stream. Stopping early ends the source and every program.
 * @throws TsbuildError `archive-invalid` when the program that is needed is not installed; damaged input throws what the
 * decompressor says of it
 */
export async function* decompress(
  source: Readable,
  compression: FileCompression,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  if (compression === 'none') {
    yield* through(source, source);
  } else if (compression === 'gzip') {
    yield* through(source, zlib.createGunzip({ chunkSize: 256 * 1024 }));
  } else {
    const transform = compression === 'zstd' ? await zstd() : undefined;
    if (transform) yield* through(source, transform);
    else yield* throughProgram(source, compression, signal);
  }
}

async function* through(source: Readable, transform: Readable | Transform): AsyncGenerator<Buffer> {
  try {
    if (transform !== source) {
      source.on('error', (error) => transform.destroy(error));
      source.pipe(transform as Transform);
    }
    yield* transform;
  } finally {
    source.destroy();
    transform.destroy();
  }
}

async function zstd(): Promise<Transform | undefined> {
  if ('createZstdDecompress' in zlib && typeof zlib.createZstdDecompress === 'function') {
    return zlib.createZstdDecompress() as Transform;
  }
  try {
    const { DecompressStream } = await import('zstd-napi');
    return new DecompressStream();
  } catch {
    // The optional dependency could not be installed or loaded (ERR_MODULE_NOT_FOUND, ERR_DLOPEN_FAILED).
    return undefined;
  }
}

const folders = ['/usr/local/bin', '/usr/bin', '/bin'];

async function* throughProgram(source: Readable, name: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const path = folders.map((folder) => `${folder}/${name}`).find((candidate) => existsSync(candidate));
  if (path === undefined) {
    source.destroy();
    throw new TsbuildError({
      code: 'archive-invalid',
      message: `the archive is compressed with ${name}, and the ${name} program is not installed`,
      hint: `Install ${name === 'xz' ? 'xz-utils' : name}, or compress the archive with gzip.`,
    });
  }
  const child = spawn(path, ['-d', '-c', '-q'], { stdio: ['pipe', 'pipe', 'ignore'], env: {}, signal });
  const ended = new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve() : reject(new Error(`${name} exited with ${code}`))));
  });
  // Looked at below when the output was read whole; a reader that stops early does not care.
  ended.catch(() => {});
  // EPIPE is the program's end seen from here; its exit status tells why.
  child.stdin.on('error', () => {});
  source.on('error', () => child.kill('SIGKILL'));
  source.pipe(child.stdin);
  try {
    yield* child.stdout;
    await ended;
  } finally {
    source.destroy();
    child.kill('SIGKILL');
  }
}
