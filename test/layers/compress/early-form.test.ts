import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { bytePathFromText } from '../../../src/core/index.ts';
import { GrowingFile } from '../../../src/layers/compress/growing-file.ts';
import type { LayerEntry, LayerForm, LocalStore } from '../../../src/layers/index.ts';
import { fileEntry, never, temporaryFolder, temporaryStore } from '../../support/store.ts';

const gzip: LayerForm = { compression: 'gzip' };

/** Files that lie in a folder, so that a worker reads them; more of them than a small layer has. */
function manyFiles(names: readonly string[] = Array.from({ length: 90 }, (_, i) => `file-${100 + i}`)): LayerEntry[] {
  const root = temporaryFolder();
  return names.map((name) => {
    const content = Buffer.from(`${name} `.repeat(20_000));
    writeFileSync(join(root, name), content);
    return fileEntry(name, content, { content: { kind: 'file', root, path: bytePathFromText(name) } });
  });
}

const drafts = (store: LocalStore) =>
  readdirSync(join(store.root, 'ingest')).flatMap((name) =>
    readdirSync(join(store.root, 'ingest', name)).filter((one) => one !== 'owner'),
  );

test.each([gzip, { compression: 'gzip', level: 1 }, { compression: 'zstd' }] as const)(
  'what is begun while a layer is written is the form that is made of it later: %o',
  async (form) => {
    const [early, late] = [await temporaryStore(), await temporaryStore()];
    const entries = manyFiles();
    const layer = await early.writeLayer(entries, { signal: never, form });
    const plain = await late.writeLayer(entries, { signal: never });
    expect(layer).toEqual(plain);
    const { compression, ...level } = form;
    // It needs the layer no more: its descriptor is open.
    await early.open(layer.blob, never);
    rmSync(early.blobPath(layer.diffId));
    const [made, expected] = [
      await early.compress(layer, compression, { signal: never, ...level }),
      await late.compress(plain, compression, { signal: never, ...level }),
    ];
    expect(made).toEqual(expected);
    expect(readFileSync(early.blobPath(made.digest)).equals(readFileSync(late.blobPath(expected.digest)))).toBe(true);
  },
);

test('the changes of a step are compressed while they are packed', async () => {
  const store = await temporaryStore();
  const draft = await store.draft();
  mkdirSync(join(draft.upper, 'd'));
  for (let file = 0; file < 90; file++) writeFileSync(join(draft.upper, `d/${file}`), `${file} `.repeat(60_000));
  const layer = await draft.diff({ signal: never, lowers: [], form: gzip });
  await store.open(layer.blob, never);
  rmSync(store.blobPath(layer.diffId));
  expect((await store.compress(layer, 'gzip', { signal: never })).size).toBeLessThan(layer.blob.size / 4);
  await draft.discard();
});

test('two equal layers are compressed into one form, and leave nothing else', async () => {
  const store = await temporaryStore();
  const entries = manyFiles();
  const layers = await Promise.all([1, 2].map(() => store.writeLayer(entries, { signal: never, form: gzip })));
  const forms = await Promise.all(layers.map((layer) => store.compress(layer, 'gzip', { signal: never })));
  expect(forms[0]).toEqual(forms[1]);
  await expect.poll(() => drafts(store)).toEqual([]);
});

test('a layer that fails leaves nothing of a form', async () => {
  const store = await temporaryStore();
  const entries = manyFiles();
  const [missing] = manyFiles(['zzz']);
  if (missing?.content?.kind === 'file') rmSync(join(missing.content.root, 'zzz'));
  const writing = store.writeLayer([...entries, ...(missing ? [missing] : [])], { signal: never, form: gzip });
  await expect(writing).rejects.toMatchObject({ code: 'layer-source-changed' });
  // The draft of the layer itself goes with the store.
  await expect.poll(() => drafts(store).length).toBeLessThan(2);
});

test('a level that does not exist is refused where the form is asked for', async () => {
  const store = await temporaryStore();
  const layer = await store.writeLayer(manyFiles(), { signal: never, form: { compression: 'gzip', level: 77 } });
  await expect(store.compress(layer, 'gzip', { signal: never, level: 77 })).rejects.toMatchObject({
    code: 'compression-level-invalid',
  });
});

test('a file that grows gives whole pieces, and its last one when it is complete', async () => {
  const path = join(temporaryFolder(), 'file');
  writeFileSync(path, '');
  using file = new GrowingFile(path);
  expect(file.piece(0, 10)).toBeUndefined();
  file.grow(10);
  expect(file.piece(0, 10)).toBeUndefined();
  const more = file.more();
  file.grow(25);
  await more;
  expect([0, 1, 2].map((number) => file.piece(number, 10))).toEqual([
    { offset: 0, length: 10, last: false },
    { offset: 10, length: 10, last: false },
    undefined,
  ]);
  file.end(30);
  expect(file.piece(1, 10)?.last).toBe(false);
  expect(file.piece(2, 10)).toEqual({ offset: 20, length: 10, last: true });
  expect(file.piece(3, 10)).toBeUndefined();
  const waiting = file.more();
  file.abandon(new Error('given up'));
  await expect(waiting).rejects.toThrow('given up');
  await expect(file.more()).rejects.toThrow('given up');
  using empty = GrowingFile.complete(path);
  expect([empty.piece(0, 10), empty.piece(1, 10)]).toEqual([{ offset: 0, length: 0, last: true }, undefined]);
});
