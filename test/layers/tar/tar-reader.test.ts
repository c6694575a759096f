import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isTsbuildError } from '../../../src/core/index.ts';
import { encodePaxRecords, formatPaxTime, parsePaxRecords, parsePaxTime } from '../../../src/layers/tar/pax.ts';
import type { TarEntry } from '../../../src/layers/tar/tar-entry.ts';
import { blockSize, paddingOf } from '../../../src/layers/tar/tar-format.ts';
import { defaultTarLimits, type TarLimits } from '../../../src/layers/tar/tar-limits.ts';
import { createTarReader } from '../../../src/layers/tar/tar-reader.ts';
import type { EntryKind } from '../../../src/layers/types.ts';
import { type ArchiveEntry, archiveOf } from '../../support/layer-jobs.ts';

interface ReadEntry extends TarEntry {
  readonly content: string;
}

function readAll(archive: Buffer, cut = archive.length, limits: Partial<TarLimits> = {}): ReadEntry[] {
  const entries: ReadEntry[] = [];
  let content = Buffer.alloc(0);
  const reader = createTarReader(
    {
      onEntry: (entry) => {
        content = Buffer.alloc(Math.min(entry.size, 1024 * 1024));
      },
      onData: (chunk, position) => void chunk.copy(content, position),
      onEntryEnd: (entry) => void entries.push({ ...entry, content: content.toString('latin1') }),
    },
    { ...defaultTarLimits, ...limits },
  );
  for (let at = 0; at < archive.length; at += cut) reader.write(archive.subarray(at, at + cut));
  reader.end();
  return entries;
}

/** One header block with fields set by hand, its checksum right. */
function headerBlock(fields: Readonly<Record<number, string | Buffer>>): Buffer {
  const block = Buffer.from(archiveOf([{ path: 'file' }]).subarray(0, blockSize));
  for (const [offset, value] of Object.entries(fields))
    Buffer.from(value as string, 'latin1').copy(block, Number(offset));
  return withChecksum(block);
}

function withChecksum(block: Buffer): Buffer {
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function extended(typeflag: string, data: Buffer | string): Buffer {
  const bytes = Buffer.from(data as string, 'latin1');
  const size = `${bytes.length.toString(8).padStart(11, '0')}\0`;
  return Buffer.concat([headerBlock({ 124: size, 156: typeflag }), bytes, Buffer.alloc(paddingOf(bytes.length))]);
}

function pax(records: Readonly<Record<string, string>>): Buffer {
  return extended('x', Buffer.from(encodePaxRecords(Object.entries(records)), 'latin1'));
}

const end = Buffer.alloc(2 * blockSize);

function codeOf(task: () => unknown): string {
  try {
    task();
  } catch (error) {
    if (isTsbuildError(error)) return error.code;
    throw error;
  }
  return 'nothing thrown';
}

describe('bad archives are refused with a reason', () => {
  const base256 = (first: number, rest: number) => Buffer.from([first, ...Array(11).fill(rest)]);
  const cases: readonly [title: string, code: string, make: () => Buffer, limits?: Partial<TarLimits>][] = [
    ['no tar at all', 'tar-invalid', () => Buffer.alloc(2048, 'text ')],
    [
      'a wrong checksum',
      'tar-invalid',
      () => Buffer.concat([Buffer.from(headerBlock({}).map((byte, i) => (i === 3 ? byte + 1 : byte))), end]),
    ],
    ['letters in a number', 'tar-invalid', () => Buffer.concat([headerBlock({ 124: '0000000zz00' }), end])],
    ['a negative size', 'tar-invalid', () => Buffer.concat([headerBlock({ 124: base256(0xff, 0xff) }), end])],
    ['a size of 2^80', 'tar-invalid', () => Buffer.concat([headerBlock({ 124: base256(0x80, 0x7f) }), end])],
    ['a uid no kernel knows', 'tar-invalid', () => Buffer.concat([pax({ uid: '4294967295' }), headerBlock({}), end])],
    ['a PAX uid that is no number', 'tar-invalid', () => Buffer.concat([pax({ uid: '-1' }), headerBlock({}), end])],
    ['a PAX size that is no number', 'tar-invalid', () => Buffer.concat([pax({ size: '1e3' }), headerBlock({}), end])],
    ['a PAX time that is no number', 'tar-invalid', () => Buffer.concat([pax({ mtime: 'NaN' }), headerBlock({}), end])],
    ['a NUL in a PAX path', 'tar-invalid', () => Buffer.concat([pax({ path: 'a\0b' }), headerBlock({}), end])],
    [
      'a PAX record with a wrong length',
      'tar-invalid',
      () => Buffer.concat([extended('x', '99 path=a\n'), headerBlock({}), end]),
    ],
    [
      'a PAX record without an end',
      'tar-invalid',
      () => Buffer.concat([extended('x', '9 path=ab'), headerBlock({}), end]),
    ],
    ['a symlink without a target', 'tar-invalid', () => Buffer.concat([headerBlock({ 156: '2' }), end])],
    [
      'a lone block of zeros in the middle',
      'tar-invalid',
      () => Buffer.concat([Buffer.alloc(blockSize), headerBlock({}), end]),
    ],
    ['an unknown type', 'tar-unsupported', () => Buffer.concat([headerBlock({ 156: 'Z' }), end])],
    ['a part of a multi-volume archive', 'tar-unsupported', () => Buffer.concat([headerBlock({ 156: 'M' }), end])],
    ['an end inside a header', 'tar-truncated', () => headerBlock({}).subarray(0, 300)],
    [
      'an end inside content',
      'tar-truncated',
      () => archiveOf([{ path: 'f', content: 'x'.repeat(600) }]).subarray(0, 900),
    ],
    ['an end after a PAX header', 'tar-truncated', () => pax({ path: 'x' })],
    ['an end inside a PAX header', 'tar-truncated', () => pax({ path: 'x'.repeat(600) }).subarray(0, 1000)],
    ['a PAX header of a gigabyte', 'tar-limit', () => headerBlock({ 124: '10000000000', 156: 'x' })],
    ['a long name of a gigabyte', 'tar-limit', () => headerBlock({ 124: '10000000000', 156: 'L' })],
    ['a file of 8 EiB', 'tar-limit', () => Buffer.concat([pax({ size: '9007199254740991' }), headerBlock({}), end])],
    [
      'a sparse file of 8 PiB',
      'tar-limit',
      () => Buffer.concat([pax({ 'GNU.sparse.size': '9007199254740991', 'GNU.sparse.map': '' }), headerBlock({}), end]),
    ],
    [
      'a sparse map longer than its file',
      'tar-invalid',
      () =>
        Buffer.concat([
          pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '5' }),
          headerBlock({}),
          end,
        ]),
    ],
    [
      'a sparse map that overlaps',
      'tar-invalid',
      () =>
        Buffer.concat([
          pax({ 'GNU.sparse.size': '10', 'GNU.sparse.map': '0,4,2,4' }),
          headerBlock({ 124: '00000000010' }),
          Buffer.alloc(blockSize),
          end,
        ]),
    ],
    [
      'a sparse map with holes in its count',
      'tar-invalid',
      () => Buffer.concat([pax({ 'GNU.sparse.size': '10', 'GNU.sparse.map': '0' }), headerBlock({}), end]),
    ],
    [
      'a sparse map outside its file',
      'tar-invalid',
      () =>
        Buffer.concat([
          pax({ 'GNU.sparse.size': '3', 'GNU.sparse.map': '0,4' }),
          headerBlock({ 124: '00000000004' }),
          Buffer.alloc(blockSize),
          end,
        ]),
    ],
    [
      'more entries than allowed',
      'tar-limit',
      () => archiveOf(Array.from({ length: 11 }, (_, i) => ({ path: `f${i}` }))),
      { entries: 10 },
    ],
    [
      'more bytes than allowed',
      'tar-limit',
      () => archiveOf([{ path: 'f', content: 'x'.repeat(5000) }]),
      { total: 4000 },
    ],
  ];

  test.each(cases.map(([title, ...rest]) => ({ title, rest })))('$title', ({ rest: [code, make, limits = {}] }) => {
    expect(codeOf(() => readAll(make(), 4096, limits))).toBe(code);
    expect(codeOf(() => readAll(make(), 7, limits))).toBe(code);
  });

  test('limits leave honest archives alone', () => {
    const many = archiveOf(Array.from({ length: 10 }, (_, i) => ({ path: `f${i}`, content: 'x'.repeat(100) })));
    expect(readAll(many, 512, { entries: 10, total: many.length })).toHaveLength(10);
  });
});

describe('odd archives are read as Go and GNU tar read them', () => {
  test('a link with a size has no content', () => {
    const archive = Buffer.concat([
      headerBlock({ 124: '00000001000', 156: '1', 157: 'target' }),
      archiveOf([{ path: 'next' }]),
    ]);
    expect(readAll(archive).map((entry) => [entry.name, entry.kind, entry.size])).toEqual([
      ['file', 'hardlink', 0],
      ['next', 'file', 0],
    ]);
  });

  test('global headers, volume labels and what follows the end change nothing', () => {
    const archive = Buffer.concat([
      extended('g', '12 path=bad\n'),
      headerBlock({ 156: 'V' }),
      archiveOf([{ path: 'good' }]),
      Buffer.from('trailing rubbish'),
    ]);
    expect(readAll(archive).map((entry) => entry.name)).toEqual(['good']);
  });

  test('GNU long names and links are taken whole', () => {
    const name = `${'n/'.repeat(300)}x`;
    const archive = Buffer.concat([
      extended('K', `${name}-target\0`),
      extended('L', `${name}\0`),
      headerBlock({ 156: '2' }),
      end,
    ]);
    expect(readAll(archive)).toMatchObject([{ name, kind: 'symlink', linkTarget: `${name}-target` }]);
  });

  test('base-256 numbers, negative times too', () => {
    const time = Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]);
    const uid = Buffer.from([0x80, 0, 0, 0, 0x3b, 0x9a, 0xca, 0x00]);
    expect(readAll(Buffer.concat([headerBlock({ 108: uid, 136: time }), end]))).toMatchObject([
      { uid: 1_000_000_000, mtime: -2_000_000_000n },
    ]);
  });

  test('an empty stream and one without its end are archives', () => {
    expect(readAll(Buffer.alloc(0), 1)).toEqual([]);
    expect(readAll(end)).toEqual([]);
    expect(readAll(archiveOf([{ path: 'f', content: 'abc' }]).subarray(0, 2 * blockSize))).toMatchObject([
      { content: 'abc' },
    ]);
  });

  test("an xattr in star's form wins over libarchive's, which is decoded", () => {
    const archive = Buffer.concat([
      pax({ 'LIBARCHIVE.xattr.user.a%3Db': 'AAE', 'LIBARCHIVE.xattr.user.x': 'AAAA', 'SCHILY.xattr.user.x': 'star' }),
      headerBlock({}),
      end,
    ]);
    const xattrs = readAll(archive)[0]?.xattrs;
    expect([...(xattrs ?? [])].map(([name, value]) => [name, Buffer.from(value).toString('latin1')])).toEqual([
      ['user.a=b', '\0\x01'],
      ['user.x', 'star'],
    ]);
  });
});

const kind: fc.Arbitrary<EntryKind> = fc.constantFrom(
  'file',
  'directory',
  'symlink',
  'hardlink',
  'fifo',
  'char',
  'block',
);
const bytes = fc.uint8Array({ maxLength: 1200 }).map((array) => Buffer.from(array));
const rawName = fc
  .array(fc.uint8Array({ minLength: 1, maxLength: 120 }), { minLength: 1, maxLength: 4 })
  .map((parts) =>
    parts
      .map((part) => Buffer.from(part.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte))).toString('latin1'))
      .join('/'),
  );
const entry: fc.Arbitrary<ArchiveEntry> = fc
  .record({
    path: rawName,
    kind,
    mode: fc.integer({ min: 0, max: 0o7777 }),
    uid: fc.oneof(fc.integer({ min: 0, max: 70_000 }), fc.integer({ min: 2_000_000, max: 4_294_967_294 })),
    gid: fc.oneof(fc.integer({ min: 0, max: 70_000 }), fc.integer({ min: 2_000_000, max: 4_294_967_294 })),
    mtime: fc.oneof(
      fc.bigInt(-(2n ** 62n), 2n ** 62n),
      fc.bigInt(0n, 2_000_000_000n).map((seconds) => seconds * 1_000_000_000n),
    ),
    content: bytes,
    linkTarget: rawName,
    device: fc.record({ major: fc.integer({ min: 0, max: 4095 }), minor: fc.integer({ min: 0, max: 1_048_575 }) }),
    xattrs: fc
      .dictionary(fc.stringMatching(/^user\.[a-z]{1,9}$/), fc.uint8Array({ minLength: 1, maxLength: 40 }))
      .map((map) => new Map(Object.entries(map).sort())),
  })
  .map(({ content, linkTarget, device, xattrs, ...rest }) => ({
    ...rest,
    content: rest.kind === 'file' ? content : '',
    ...((rest.kind === 'symlink' || rest.kind === 'hardlink') && { linkTarget }),
    ...((rest.kind === 'char' || rest.kind === 'block') && { device }),
    ...(xattrs.size > 0 && { xattrs }),
  }));

describe('for any entries', () => {
  test('what was encoded is what is read, however the bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 6 }), fc.integer({ min: 1, max: 3000 }), (entries, cut) => {
        const read = readAll(archiveOf(entries), cut);
        expect(read).toHaveLength(entries.length);
        for (const [i, { path, content = '', ...fields }] of entries.entries()) {
          const name = fields.kind === 'directory' ? `${path}/` : path;
          expect(read[i]).toMatchObject({ ...fields, name, content: Buffer.from(content).toString('latin1') });
          expect(read[i]?.xattrs?.size ?? 0).toBe(fields.xattrs?.size ?? 0);
        }
      }),
      { numRuns: 300 },
    );
  });

  test('the same entries give the same bytes', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 4 }), (entries) => archiveOf(entries).equals(archiveOf([...entries]))),
    );
  });

  test('damaged archives throw a TsbuildError or are read, and always come to an end', () => {
    const damage = fc.array(fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }), fix: fc.boolean() }), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 4 }), damage, fc.nat(), (entries, damages, cut) => {
        const archive = Buffer.from(archiveOf(entries));
        for (const { at, byte, fix } of damages) {
          const offset = at % archive.length;
          archive[offset] = byte;
          // With a right checksum the damage gets past the first door.
          const block = offset - (offset % blockSize);
          if (fix && block + blockSize <= archive.length) withChecksum(archive.subarray(block, block + blockSize));
        }
        codeOf(() => readAll(archive.subarray(0, archive.length - (cut % 1500)), 1000, { fileSize: 1 << 20 }));
      }),
      { numRuns: 1500 },
    );
  });

  test('random bytes throw a TsbuildError or are read', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), (data) => void codeOf(() => readAll(Buffer.from(data), 512))),
    );
  });

  test('PAX times and records survive being written and read', () => {
    fc.assert(fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n), (time) => parsePaxTime(formatPaxTime(time)) === time));
    const text = fc.uint8Array({ minLength: 1, maxLength: 120 }).map((array) => Buffer.from(array).toString('latin1'));
    const key = fc.stringMatching(/^[A-Za-z.]{1,20}$/);
    fc.assert(
      fc.property(fc.array(fc.tuple(key, text)), (records) => {
        expect(parsePaxRecords(Buffer.from(encodePaxRecords(records), 'latin1'))).toEqual(records);
      }),
    );
  });
});
