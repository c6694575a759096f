/**
 * Writes an archive of images as a stream, with tar-stream: members are few and large, so its framing costs nothing, and
 * all it is weak at (names that are not UTF-8, xattrs, owners) does not occur. Equal members give equal bytes: no times,
 * no owners.
 * Invariant: no member is held in memory; a reader that is slow slows the writer.
 */
import { once } from 'node:events';
import type { Pack } from 'tar-stream';
import { cancelled, throwIfAborted } from '../../core/index.ts';
import { writeChunks } from './output.ts';

export interface ArchiveMember {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly open: () => Promise<AsyncIterable<Uint8Array>>;
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
  pack.on('error', () => {
    // Only our own destroy below makes it; the reason is thrown from here.
  });
  const stop = new AbortController();
  const joined = AbortSignal.any([signal, stop.signal]);
  const drained = writeChunks(pack as AsyncIterable<Uint8Array>, out, joined);
  const added = addMembers(pack, members, joined);
  try {
    await Promise.race([drained, added]);
    await Promise.all([drained, added]);
  } catch (error) {
    stop.abort(error);
    pack.destroy(error instanceof Error ? error : new Error(String(error)));
    await Promise.allSettled([drained]);
    throw error;
  }
}

export function memberOf(name: string, content: string | Uint8Array): ArchiveMember {
  const bytes = Buffer.from(content);
  return { name, size: bytes.length, open: async () => oneChunk(bytes) };
}

async function addMembers(pack: Pack, members: Iterable<ArchiveMember>, signal: AbortSignal): Promise<void> {
  const folders = new Set<string>();
  for (const member of members) {
    for (let at = member.name.indexOf('/'); at >= 0; at = member.name.indexOf('/', at + 1)) {
      const folder = member.name.slice(0, at + 1);
      if (!folders.has(folder)) pack.entry({ ...commonHeader, name: folder, type: 'directory', mode: 0o755 });
      folders.add(folder);
    }
    throwIfAborted(signal);
    await addMember(pack, member, signal);
  }
  pack.finalize();
}

const commonHeader = { mtime: new Date(0), uid: 0, gid: 0, uname: '', gname: '' } as const;

async function addMember(pack: Pack, { name, size, open }: ArchiveMember, signal: AbortSignal): Promise<void> {
  const chunks = size === 0 ? nothing() : await open();
  await new Promise<void>((resolve, reject) => {
    const entry = pack.entry({ ...commonHeader, name, size, mode: 0o644, type: 'file' }, (error) =>
      error ? reject(error) : resolve(),
    );
    entry.on('error', reject);
    if (size === 0) return;
    const feed = async (): Promise<void> => {
      for await (const chunk of chunks) {
        throwIfAborted(signal);
        if (!entry.write(chunk)) await once(entry as unknown as NodeJS.EventEmitter, 'drain', { signal });
      }
      entry.end(null);
    };
    feed().catch((error: unknown) => reject(signal.aborted ? cancelled(signal) : error));
  });
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.byteLength > 0) yield bytes;
}
