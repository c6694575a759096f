/**
 * A build context that comes as one stream of bytes: a tar, compressed or not, or a Dockerfile alone.
 * Invariant: a tar is never unpacked into a folder; what COPY reads are ranges of one private file.
 */
import { randomUUID } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type BytePath, bytePathFromText, TsbuildError, throwIfAborted } from '../../core/index.ts';
import type { Digest } from '../../image/index.ts';
import type { LayerEntry } from '../../layers/index.ts';
import { LayerDraft } from '../copy/layer-draft.ts';
import { layoutArchive } from '../copy/layout-archive.ts';
import { treeOfEntries } from './archive/entry-tree.ts';
import { type ReadArchiveOptions, readArchive } from './archive/read-archive.ts';
import { type BuildContext, readIgnoreRules } from './build-context.ts';
import { cleanPath } from './pattern-set.ts';

export interface ArchiveContextInit {
  /** The bytes as they came; a file tsbuild owns, removed when the context is disposed. */
  readonly file: string;
  readonly size: number;
  readonly description: string;
  readonly key: string;
  /** Last-Modified of a download, nanoseconds since 1970; 0 without one. Undefined: a stream has no time. */
  readonly modified?: bigint;
  /** Of the file. */
  readonly digest?: Digest;
}

/** @throws TsbuildError `archive-invalid`, `archive-too-large`, `context-invalid`, `cancelled` */
export async function openArchiveContext(
  init: ArchiveContextInit,
  options: Omit<ReadArchiveOptions, 'name'>,
): Promise<BuildContext> {
  const content = { kind: 'range', file: init.file, offset: 0 } as const;
  const archive = await readArchive(content, init.size, { ...options, name: init.description });
  const dockerfile = archive.kind === 'other' ? await readDockerfile(init) : undefined;
  const entries = archive.kind === 'archive' ? contextEntries(archive.entries) : [];
  const whole = treeOfEntries(entries);
  return {
    description: init.description,
    dockerfile,
    commit: undefined,
    ...(init.digest && { digest: init.digest }),
    time: timeOf(init, entries),
    key: init.key,
    tree: async (ignoreFor) => {
      const rules = await readIgnoreRules(whole, ignoreFor);
      return rules ? treeOfEntries(entries, rules) : whole;
    },
    readFile: (path, limit) => whole.readFile(bytePathFromText(cleanPath(`/${path}`).slice(1)), limit),
    [Symbol.asyncDispose]: async () => {
      await rm(init.file, { force: true });
      if (archive.kind === 'archive') await rm(archive.file, { force: true });
    },
  };
}

function timeOf({ modified }: ArchiveContextInit, entries: readonly LayerEntry[]): number | undefined {
  if (modified === undefined) return undefined;
  const seconds = (nanoseconds: bigint) => Number(nanoseconds / 1_000_000_000n);
  const newest =
    modified === 0n ? entries.reduce((most, { mtime }) => Math.max(most, seconds(mtime)), 0) : seconds(modified);
  return newest === 0 ? undefined : newest;
}

/** Keeps a stream in a private file. */
export async function spool(
  bytes: AsyncIterable<Uint8Array>,
  temporary: string,
  signal: AbortSignal,
): Promise<{ readonly file: string; readonly size: number }> {
  const file = join(temporary, `context-${randomUUID()}`);
  await using target = await open(file, 'wx', 0o600);
  let size = 0;
  for await (const chunk of bytes) {
    throwIfAborted(signal);
    await target.appendFile(chunk);
    size += chunk.byteLength;
  }
  return { file, size };
}

const root = '' as BytePath;
const dockerfileLimit = 16 * 1024 * 1024;

/** As they would lie in a folder, owned by 0:0 like every context. */
function contextEntries(entries: readonly LayerEntry[]): readonly LayerEntry[] {
  const draft = new LayerDraft(undefined);
  const owner = { uid: 0, gid: 0 };
  layoutArchive({ draft, owner, mtime: 0n }, entries, root);
  return draft.finish({ owner, mtime: 0n });
}

async function readDockerfile(init: ArchiveContextInit): Promise<Buffer> {
  if (init.size > dockerfileLimit) {
    throw new TsbuildError({
      code: 'context-invalid',
      message: `${init.description} is neither a tar archive nor a Dockerfile`,
      hint: 'Send a tar archive, compressed or not.',
    });
  }
  await using file = await open(init.file, 'r');
  return await file.readFile();
}
