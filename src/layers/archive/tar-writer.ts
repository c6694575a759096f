/**
 * Writes an archive of images as a stream, with tar-stream: members are few and large, so its framing costs nothing, and
 * all it is weak at (names that are not UTF-8, xattrs, owners) does not occur. Equal members give equal bytes: no times,
 * no owners.
 * Invariant: one piece of a member is in memory at a time, and written before the next is asked for: a reader that is slow
 * slows the writer, and a file takes all pieces from the same memory.
 */
import type { Pack } from 'tar-stream';
import { throwIfAborted } from '../../core/index.ts';
import { oneChunk } from '../../image/index.ts';
import { writeChunks } from './output.ts';
import { FileOutput } from './output-file.ts';

export interface ArchiveMember {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** @param memory reused: a piece need not outlive the request for the next one */
  readonly open: (memory: 'kept' | 'reused') => Promise<AsyncIterable<Uint8Array>>;
}

/** Writes a complete tar to `out`, which stays open. @throws TsbuildError `output-failed` when nobody reads on */
export async function writeArchive(
  members: Iterable<ArchiveMember>,
  out: NodeJS.WritableStream,
  signal: AbortSignal,
): Promise<void> {
  // The default is the whole module both in Node and in the bundle; names are only in Node.
  const { default: tarStream } = await import('tar-stream');
  const pack = tarStream.pack();
  pack.on('error', onlyDestroyed);
  try {
    const memory = out instanceof FileOutput ? 'reused' : 'kept';
    await writeChunks(archiveBytes(pack, members, memory, signal), out, signal);
  } finally {
    pack.destroy();
  }
}

export function memberOf(name: string, content: string | Uint8Array): ArchiveMember {
  const bytes = Buffer.from(content);
  return { name, size: bytes.length, open: async () => oneChunk(bytes) };
}

/** Nothing but `destroy` makes an error of it; the reason is thrown by whoever found it. */
function onlyDestroyed(): void {}

const commonHeader = { mtime: new Date(0), uid: 0, gid: 0, uname: '', gname: '' } as const;
const blockSize = 512;

/** Each thing that is given to the pack is taken out of it, framed, before the next is given. */
async function* archiveBytes(
  pack: Pack,
  members: Iterable<ArchiveMember>,
  memory: 'kept' | 'reused',
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const framed = pack[Symbol.asyncIterator]() as AsyncIterator<Uint8Array, Uint8Array>;
  const next = async (): Promise<Uint8Array> => (await framed.next(undefined)).value;
  const folders = new Set<string>();
  for (const { name, size, open } of members) {
    for (let at = name.indexOf('/'); at >= 0; at = name.indexOf('/', at + 1)) {
      const folder = name.slice(0, at + 1);
      if (folders.has(folder)) continue;
      folders.add(folder);
      pack.entry({ ...commonHeader, name: folder, type: 'directory', mode: 0o755 });
      yield await next();
    }
    throwIfAborted(signal);
    const entry = pack.entry({ ...commonHeader, name, size, mode: 0o644, type: 'file' });
    entry.on('error', onlyDestroyed);
    yield await next();
    if (size > 0) {
      for await (const piece of await open(memory)) {
        throwIfAborted(signal);
        entry.write(piece);
        yield await next();
      }
    }
    entry.end(null);
    if (size % blockSize !== 0) yield await next();
  }
  pack.finalize();
  yield await next();
}
