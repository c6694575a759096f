import { appendFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type BytePath, isTsbuildError } from '../../../src/core/index.ts';
import { digestOf } from '../../../src/image/index.ts';
import { EntryTableView, packEntries } from '../../../src/layers/tree/entry-table.ts';
import { readLayerIndex } from '../../../src/layers/tree/index.ts';
import type { EntryContent, LayerEntry } from '../../../src/layers/types.ts';
import { indexLayer } from '../../../src/layers/worker/blob-jobs.ts';
import { hashContents } from '../../../src/layers/worker/hash-contents.ts';
import { type WriteLayerInput, writeLayer } from '../../../src/layers/worker/write-layer.ts';
import { layerOf, neverAborted } from '../../support/layer-jobs.ts';
import { bash, describeTree, everyKindOfEntry, temporaryFolder, treeDifferences } from '../../support/layer-trees.ts';

let folder: ReturnType<typeof temporaryFolder>;
let context: string;

beforeEach(() => {
  folder = temporaryFolder('write');
  context = join(folder.path, 'context');
  mkdirSync(context);
});

afterEach(() => folder.remove());

function fileEntry(path: string, size: number, content?: EntryContent): LayerEntry {
  return {
    path: path as BytePath,
    kind: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size,
    mtime: 0n,
    content: content ?? { kind: 'file', root: context, path: path as BytePath },
  };
}

function write(entries: readonly LayerEntry[], options: Partial<WriteLayerInput> = {}, draft = 'draft') {
  return writeLayer({ entries: packEntries(entries), draft: join(folder.path, draft), ...options }, neverAborted);
}

function sumsOf(fileDigests: Uint8Array | undefined): readonly string[] {
  const sums =
    Buffer.from(fileDigests ?? [])
      .toString('hex')
      .match(/.{64}/g) ?? [];
  return sums.map((sum) => `sha256:${sum}`);
}

function codeOf(task: () => unknown): string {
  try {
    task();
  } catch (error) {
    if (isTsbuildError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'nothing thrown';
}

test('a layer whose file cannot be made is a failure of the file system, with its code', () => {
  expect(() => write([], {}, 'missing/draft')).toThrow(expect.objectContaining({ code: 'layer-io' }));
});

describe('writing a layer', () => {
  test('from the index of a layer gives that layer again, byte for byte', async () => {
    bash(everyKindOfEntry, context);
    const { file, diffId } = layerOf(folder.path, context);
    const index = join(folder.path, 'index');
    await indexLayer({ blob: file, compression: 'uncompressed', diffId, draft: index }, neverAborted);
    const view = readLayerIndex(index);
    const entries = Array.from({ length: view.table.count }, (_, i): LayerEntry => {
      const entry = view.entry(i);
      return entry.kind === 'file' ? { ...entry, content: { kind: 'range', file, offset: view.offset(i) } } : entry;
    });
    expect(entries.length).toBeGreaterThan(40);
    expect(write(entries).diffId).toBe(diffId);
  });

  test('takes contents from files, ranges and bytes, and tells their digests', () => {
    writeFileSync(join(context, 'small'), 'small');
    writeFileSync(join(context, 'large'), Buffer.alloc(3_000_000, 'large'));
    writeFileSync(join(folder.path, 'blob'), 'xxrangexx');
    const entries = [
      { path: 'd' as BytePath, kind: 'directory', mode: 0o755, uid: 1, gid: 2, size: 0, mtime: 0n } as const,
      fileEntry('bytes', 5, { kind: 'bytes', bytes: Buffer.from('bytes') }),
      fileEntry('empty', 0, { kind: 'bytes', bytes: Buffer.alloc(0) }),
      fileEntry('large', 3_000_000),
      fileEntry('range', 5, { kind: 'range', file: join(folder.path, 'blob'), offset: 2 }),
      fileEntry('small', 5),
    ];
    const { diffId, size, fileDigests } = write(entries, { hashFiles: true });
    const bytes = readFileSync(join(folder.path, 'draft'));
    expect(digestOf(bytes)).toBe(diffId);
    expect(bytes.length).toBe(size);
    bash('mkdir out; tar -C out -xf draft', folder.path);
    const contents = ['bytes', 'empty', 'large', 'range', 'small'].map((name) =>
      readFileSync(join(folder.path, 'out', name)),
    );
    expect(contents.map((content) => content.toString('latin1', 0, 5))).toEqual([
      'bytes',
      '',
      'large',
      'range',
      'small',
    ]);
    expect(sumsOf(fileDigests).slice(1)).toEqual(contents.map((content) => digestOf(content)));
  });

  test('reads no holes, and writes them as zeros', () => {
    bash('truncate -s 60M sparse; printf middle | dd of=sparse bs=1 seek=40000000 conv=notrunc status=none', context);
    const { fileDigests } = write([fileEntry('sparse', 62_914_560)], { hashFiles: true });
    expect(sumsOf(fileDigests)[0]?.slice(7)).toBe(bash('sha256sum < sparse | cut -d" " -f1', context).trim());
  });

  test('clamps times when asked to', () => {
    const entry = (path: string, mtime: bigint) => ({
      ...fileEntry(path, 0, { kind: 'bytes', bytes: Buffer.alloc(0) }),
      mtime,
    });
    write([entry('early', 5_000_000_000n), entry('late', 50_000_000_001n)], { latestMtime: 10_000_000_000n });
    expect(bash("TZ=UTC tar --full-time -tvf draft | awk '{print $5, $6}'", folder.path)).toBe(
      '00:00:05 early\n00:00:10 late\n',
    );
  });

  test('keeps every entry that crosses to a worker as it was', () => {
    bash(everyKindOfEntry, context);
    const { file } = layerOf(folder.path, context);
    bash('mkdir out; tar --xattrs --xattrs-include="*" --numeric-owner -C out -xpf "$1"', folder.path, file);
    expect(
      treeDifferences(describeTree(context), describeTree(join(folder.path, 'out'))).filter(
        (line) => !line.startsWith('""'),
      ),
    ).toEqual([]);
    const entries = [
      fileEntry('\xff\xfe', 1),
      { ...fileEntry('x', 2), xattrs: new Map([['user.a', Buffer.from([0, 255])]]) },
    ];
    const view = new EntryTableView(structuredClone(packEntries(entries)));
    expect([view.entry(0), view.entry(1)]).toEqual(entries);
  });
});

describe('a file of the context that is not what it was', () => {
  test('is named and refused, and never waited for', () => {
    writeFileSync(join(context, 'file'), 'content');
    writeFileSync(join(context, 'large'), Buffer.alloc(200_000));
    bash('mkfifo fifo; mkdir dir sub; echo secret > sub/secret; mknod null c 1 3', context);
    symlinkSync('file', join(context, 'link'));
    symlinkSync('sub', join(context, 'through'));
    symlinkSync('/etc/passwd', join(context, 'out'));
    let drafts = 0;
    const attempt = (path: string, size: number) =>
      codeOf(() => write([fileEntry(path, size)], {}, `draft${drafts++}`));
    expect(attempt('file', 7)).toBe('nothing thrown');
    for (const path of ['fifo', 'dir', 'link', 'through/secret', 'out', 'null']) {
      for (const size of [0, 7, 200_000]) expect(attempt(path, size)).toMatch(/^layer-source-(changed|unreadable): .*/);
    }
    expect(attempt('file', 6)).toContain(`layer-source-changed: ${context}/file does not have the 6 bytes`);
    expect(attempt('large', 200_001)).toContain('layer-source-changed');
    expect(attempt('none', 1)).toContain('is gone');
    expect(attempt('../blob', 1)).toMatch(/^layer-source-/);
    truncateSync(join(context, 'large'), 10);
    expect(attempt('large', 200_000)).toContain('layer-source-changed');
    appendFileSync(join(context, 'file'), 'more');
    expect(attempt('file', 7)).toContain('layer-source-changed');
    rmSync(join(context, 'file'));
    expect(attempt('file', 7)).toContain('is gone');
  });

  test('hashing refuses the same', () => {
    bash('mkfifo fifo; ln -s /etc/passwd link; echo x > file', context);
    const hash = (path: string) =>
      codeOf(() => hashContents({ contents: [{ kind: 'file', root: context, path: path as BytePath }] }, neverAborted));
    expect(hash('file')).toBe('nothing thrown');
    for (const path of ['fifo', 'link', 'none']) expect(hash(path)).toContain('layer-source-changed');
  });

  test('a name that would be a whiteout is refused', () => {
    expect(codeOf(() => write([fileEntry('.wh.x', 0, { kind: 'bytes', bytes: Buffer.alloc(0) })]))).toContain(
      'layer-reserved-name',
    );
  });
});
