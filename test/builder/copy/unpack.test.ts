import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { type Header, pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { openDirectoryTree, readContent } from '../../../src/builder/context/index.ts';
import { type CopyOperation, layoutCopy, selectCopy, unpackArchives } from '../../../src/builder/copy/index.ts';
import type { LayerEntry, Tree } from '../../../src/layers/index.ts';
import { folderOf, linesOf, memoryTree } from '../../support/copy-trees.ts';
import { writeTar } from '../../support/plain-tar.ts';

type Entry = Partial<Header> & { readonly name: string; readonly text?: string };

async function tarOf(entries: readonly Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const { text = '', ...header } of entries) {
    archive.entry({ mtime: new Date(1_000_000), ...header } as Header, text);
  }
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

interface Added {
  readonly entries: readonly LayerEntry[];
  readonly contents: Readonly<Record<string, string>>;
}

/** ADD of one file of the context, with what the written layer would hold. */
async function add(
  name: string,
  bytes: Uint8Array,
  given: Partial<CopyOperation> = {},
  destination: Tree = memoryTree({}),
): Promise<Added> {
  using folder = folderOf({ 'tmp/': '', 'context/': '' });
  writeFileSync(folder.at(`context/${name}`), bytes);
  const operation: CopyOperation = {
    kind: 'add',
    operands: [{ kind: 'pattern', text: name }],
    destination: '/',
    workdir: '/',
    link: false,
    parents: false,
    excludes: [],
    ...given,
  };
  const selection = selectCopy(openDirectoryTree(folder.at('context')), operation);
  const { signal } = new AbortController();
  const contents: Record<string, string> = {};
  let entries: readonly LayerEntry[];
  {
    await using unpacked = await unpackArchives(selection, { temporary: folder.at('tmp'), signal });
    entries = await layoutCopy(unpacked, operation, destination, { createdMtime: 7n });
    for (const entry of entries) {
      if (!entry.content) continue;
      const chunks: Buffer[] = [];
      for await (const chunk of readContent(entry.content, entry.size)) chunks.push(chunk as Buffer);
      contents[entry.path] = Buffer.concat(chunks).toString();
    }
  }
  expect(readdirSync(folder.at('tmp'))).toEqual([]);
  return { entries, contents };
}

const lines = async (...args: Parameters<typeof add>): Promise<string[]> => linesOf((await add(...args)).entries);

const small: readonly Entry[] = [
  { name: 'd/', type: 'directory', mode: 0o750, uid: 5, gid: 6 },
  { name: 'd/f', text: 'content', mode: 0o640, uid: 7, gid: 8 },
  { name: 'l', type: 'symlink', linkname: 'd/f' },
];

describe('a local archive that is added', () => {
  const through = (command: string) => (bytes: Buffer) => execFileSync(command, ['-c'], { input: bytes });
  test.each<[string, (bytes: Buffer) => Buffer]>([
    ['plain', (bytes) => bytes],
    ['gzip', (bytes) => gzipSync(bytes)],
    ['bzip2', through('bzip2')],
    ['xz', through('xz')],
    ['zstd', through('zstd')],
  ])('is unpacked when it is %s, whatever its name', async (_, compress) => {
    const { entries, contents } = await add('archive.txt', compress(await tarOf(small)), { destination: '/x' });
    expect(linesOf(entries)).toEqual([
      'directory 755 0:0 x',
      'directory 750 5:6 x/d',
      'file 640 7:8 x/d/f',
      'symlink 777 0:0 x/l -> d/f',
    ]);
    expect(contents).toEqual({ 'x/d/f': 'content' });
    expect(entries[2]?.mtime).toBe(1_000_000_000_000n);
  });

  test('is owned by --chown, when that is given', async () => {
    expect(await lines('a.tar', await tarOf(small), { chown: '9' })).toEqual([
      'directory 750 9:9 d',
      'file 640 9:9 d/f',
      'symlink 777 9:9 l -> d/f',
    ]);
  });

  test('is copied by COPY, and by ADD --unpack=false', async () => {
    const bytes = await tarOf(small);
    expect(await lines('a.tar', bytes, { kind: 'copy' })).toEqual(['file 644 0:0 a.tar']);
    expect(await lines('a.tar', bytes, { unpack: false })).toEqual(['file 644 0:0 a.tar']);
    expect(await lines('a.tar', bytes, { kind: 'copy', unpack: true })).toHaveLength(3);
  });

  test('is copied when it is empty', async () => {
    expect(await lines('e.tar', await tarOf([]))).toEqual(['file 644 0:0 e.tar']);
    expect(await lines('e.tar.gz', gzipSync(await tarOf([])))).toEqual(['file 644 0:0 e.tar.gz']);
    expect(await lines('e.tar.gz', Buffer.alloc(0))).toEqual(['file 644 0:0 e.tar.gz']);
    expect(await lines('e.tar.gz', gzipSync(Buffer.alloc(0)))).toEqual(['file 644 0:0 e.tar.gz']);
  });

  test('is copied when it is broken from the start, or compressed but no tar', async () => {
    const gzip = gzipSync(await tarOf(small));
    expect(await lines('b.tar.gz', gzip.subarray(0, 30))).toEqual(['file 644 0:0 b.tar.gz']);
    expect(await lines('b.tar.xz', Buffer.from('fd377a585a00ffff', 'hex'))).toEqual(['file 644 0:0 b.tar.xz']);
    expect(await lines('b.tar.bz2', Buffer.from('BZh9 no'))).toEqual(['file 644 0:0 b.tar.bz2']);
    expect(await lines('text.gz', gzipSync('x'.repeat(4096)))).toEqual(['file 644 0:0 text.gz']);
  });

  test('is an error when it breaks later', async () => {
    const bytes = await tarOf([{ name: 'big', text: 'x'.repeat(100_000) }]);
    await expect(add('a.tar', bytes.subarray(0, 50_000))).rejects.toMatchObject({ code: 'archive-invalid' });
    const noise = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 7919 * (index % 251)) % 256));
    const gzip = gzipSync(await tarOf([{ name: 'big', text: noise.toString('latin1') }]));
    await expect(add('a.tgz', gzip.subarray(0, gzip.length - 1000))).rejects.toMatchObject({ code: 'archive-invalid' });
  });

  test('that would fill the disk is refused', async () => {
    using folder = folderOf({ 'tmp/': '', 'context/': '' });
    writeFileSync(
      folder.at('context/bomb.tgz'),
      gzipSync(await tarOf([{ name: 'zeros', text: '\0'.repeat(4_000_000) }])),
    );
    const operation: CopyOperation = {
      kind: 'add',
      operands: [{ kind: 'pattern', text: 'bomb.tgz' }],
      destination: '/',
      workdir: '/',
      link: false,
      parents: false,
      excludes: [],
    };
    const selection = selectCopy(openDirectoryTree(folder.at('context')), operation);
    const limits = { entries: 10, bytes: 2 ** 40, ratio: 100, ratioFrom: 1_000_000 };
    const { signal } = new AbortController();
    await expect(unpackArchives(selection, { temporary: folder.at('tmp'), signal, limits })).rejects.toMatchObject({
      code: 'archive-too-large',
    });
    expect(readdirSync(folder.at('tmp'))).toEqual([]);
  });
});

describe('names in an archive', () => {
  test('never leave the destination', async () => {
    const bytes = await tarOf([
      { name: '../../up', text: '1' },
      { name: '/abs', text: '2' },
      { name: 'a/../../../b', text: '3' },
    ]);
    expect(await lines('a.tar', bytes, { destination: '/x' })).toEqual([
      'directory 755 0:0 x',
      'file 644 0:0 x/abs',
      'file 644 0:0 x/b',
      'file 644 0:0 x/up',
    ]);
  });

  test('through a link of the archive itself are resolved with the destination as root', async () => {
    const bytes = await tarOf([
      { name: 'out', type: 'symlink', linkname: '/../../etc' },
      { name: 'out/cron', text: '1' },
      { name: 'hard', type: 'link', linkname: 'out/cron' },
    ]);
    expect(await lines('a.tar', bytes, { destination: '/x' })).toEqual([
      'directory 755 0:0 x',
      'directory 755 0:0 x/etc',
      'file 644 0:0 x/etc/cron',
      'hardlink 644 0:0 x/hard -> x/etc/cron',
      'symlink 777 0:0 x/out -> /../../etc',
    ]);
  });

  test("go through the image's own links, as /var/run does", async () => {
    const there = memoryTree({ 'var/run': { linkTarget: '/run' as never }, run: { kind: 'directory' } });
    expect(await lines('a.tar', await tarOf([{ name: 'var/run/x.pid', text: '1' }]), {}, there)).toEqual([
      'directory 755 0:0 run',
      'file 644 0:0 run/x.pid',
    ]);
  });

  test('that come twice: the last one wins', async () => {
    const bytes = await tarOf([
      { name: 'a', text: 'old' },
      { name: 'd/x', text: '1' },
      { name: 'a', text: 'new' },
      { name: 'd', text: 'now a file' },
    ]);
    expect((await add('a.tar', bytes)).contents).toEqual({ a: 'new', d: 'now a file' });
  });

  test('of hard links may name files of the image', async () => {
    const there = memoryTree({ 'bin/busybox': { text: 'elf', mode: 0o755 }, 'bin/l': { linkTarget: 'x' as never } });
    const bytes = await tarOf([
      { name: 'bin/sh', type: 'link', linkname: '/bin/busybox' },
      { name: 'bin/m', type: 'link', linkname: 'bin/l' },
    ]);
    expect(await lines('a.tar', bytes, {}, there)).toEqual([
      'directory 755 0:0 bin',
      'file 755 0:0 bin/busybox',
      'symlink 777 0:0 bin/m -> x',
      'hardlink 755 0:0 bin/sh -> bin/busybox',
    ]);
  });

  test.each<[string, readonly Entry[]]>([
    ['a hard link to nothing', [{ name: 'no', type: 'link', linkname: '../../../nowhere' }]],
    ['a hard link to a folder', [{ name: 'no', type: 'link', linkname: 'd' }]],
    ['an entry below a file', [{ name: 'f' }, { name: 'f/x' }]],
    ['what a file has replaced', [{ name: 'd' }, { name: 'no', type: 'link', linkname: 'd/x' }]],
  ])('of %s are an error', async (_, entries) => {
    const there = memoryTree({ 'd/x': {} });
    await expect(add('a.tar', await tarOf(entries), {}, there)).rejects.toMatchObject({ code: 'archive-invalid' });
  });

  test('replace what is in the way, and merge folders', async () => {
    const there = memoryTree({ 'd/x': {}, l: { linkTarget: 'd' as never }, 'e/y': {} });
    const bytes = await tarOf([
      { name: 'd', text: 'file' },
      { name: 'l/', type: 'directory' },
      { name: 'e/', type: 'directory', mode: 0o700 },
    ]);
    expect(await lines('a.tar', bytes, {}, there)).toEqual([
      'file 644 0:0 d',
      'directory 700 0:0 e',
      'directory 755 0:0 l',
    ]);
  });

  test('are bytes: those that are no ASCII, and long ones, survive', async () => {
    const long = 'é'.repeat(120);
    using folder = folderOf({ 'd/é': '1', [`d/${long}`]: '2' });
    for (const format of ['gnu', 'pax', 'ustar']) {
      const names = format === 'ustar' ? ['d/é'] : ['d/é', `d/${long}`];
      const bytes = execFileSync('tar', ['-C', folder.path, `--format=${format}`, '-c', ...names]);
      const { entries } = await add('a.tar', bytes);
      const expected = ['d', ...names].map((name) => Buffer.from(name).toString('latin1'));
      expect(entries.map((entry) => entry.path)).toEqual(expected);
    }
  });

  test('keep extended attributes, devices and FIFOs as what they are', async () => {
    const bytes = await tarOf([
      { name: 'null', type: 'character-device', devmajor: 1, devminor: 3, mode: 0o666 },
      { name: 'pipe', type: 'fifo' },
      { name: 'x', pax: { 'SCHILY.xattr.user.note': 'kept' } },
    ]);
    const { entries } = await add('a.tar', bytes);
    expect(linesOf(entries)).toEqual(['char 666 0:0 null', 'fifo 644 0:0 pipe', 'file 644 0:0 x']);
    expect(entries[2]?.xattrs).toEqual(new Map([['user.note', Buffer.from('kept')]]));
    expect(entries[0]?.device).toEqual({ major: 1, minor: 3 });
  });

  test('are bytes, and so are values of attributes, also where they are no UTF-8', async () => {
    using folder = folderOf({});
    const name = Buffer.from([0x61, 0xff, 0x62]);
    const file = Buffer.concat([Buffer.from(`${folder.path}/`), name]);
    writeFileSync(file, 'odd');
    for (const format of ['gnu', 'pax', 'ustar']) {
      const bytes = execFileSync('tar', ['-C', folder.path, `--format=${format}`, '-c', '.']);
      expect((await add('a.tar', bytes)).contents).toEqual({ 'a\xffb': 'odd' });
    }
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
    const entry = { path: 'x', kind: 'file', mode: 0o755, uid: 0, gid: 0, mtime: 0, content: Buffer.from('') } as const;
    const xattrs = { 'security.capability': capability.toString('latin1') };
    const { entries } = await add('a.tar', writeTar([{ ...entry, xattrs }]));
    expect(entries[0]?.xattrs).toEqual(new Map([['security.capability', capability]]));
  });
});

test.each(['gnu', 'pax --sparse-version=0.0', 'pax --sparse-version=0.1', 'pax --sparse-version=1.0'])(
  'sparse files in an archive of the format %s are unpacked with their holes as zeros',
  async (format) => {
    using folder = folderOf({});
    const bytes = Buffer.alloc(3 * 1024 * 1024 + 5);
    bytes.write('begin');
    bytes.write('middle', 1024 * 1024);
    bytes.write('end', 2 * 1024 * 1024);
    writeFileSync(folder.at('dense'), bytes);
    execFileSync('cp', ['--sparse=always', 'dense', 'sparse'], { cwd: folder.path });
    const options = `--format=${format}`.split(' ');
    const archive = execFileSync('tar', ['-C', folder.path, ...options, '-S', '-c', 'sparse']);
    expect(archive.length).toBeLessThan(1024 * 1024);
    const { entries, contents } = await add('a.tar', archive);
    expect(entries.map((entry) => [entry.path, entry.size])).toEqual([['sparse', bytes.length]]);
    expect(Buffer.from(Object.values(contents).join('')).equals(bytes)).toBe(true);
  },
);

test('a FIFO in the context is copied as itself and never opened', async () => {
  using folder = folderOf({ 'tmp/': '', 'context/a': '' });
  execFileSync('mkfifo', [folder.at('context/pipe')]);
  const operation: CopyOperation = {
    kind: 'add',
    operands: [{ kind: 'pattern', text: 'pipe' }],
    destination: '/',
    workdir: '/',
    link: false,
    parents: false,
    excludes: [],
  };
  const selection = selectCopy(openDirectoryTree(folder.at('context')), operation);
  const { signal } = new AbortController();
  await using unpacked = await unpackArchives(selection, { temporary: folder.at('tmp'), signal });
  expect(linesOf(await layoutCopy(unpacked, operation, memoryTree({}), { createdMtime: 7n }))).toEqual([
    'fifo 644 0:0 pipe',
  ]);
  expect(existsSync(folder.at('context/pipe'))).toBe(true);
  expect(readFileSync(folder.at('context/a'), 'utf8')).toBe('');
});
