/** What leaves the store: an index of which nothing changes keeps its bytes, and what is said of an image goes along with it. */
import { expect, test } from 'vitest';
import { publishImage } from '../../../src/builder/export/publish.ts';
import { type Descriptor, mediaTypes, readBlob } from '../../../src/image/index.ts';
import { fileEntry, never, putImage, temporaryStore } from '../../support/store.ts';

type Store = Awaited<ReturnType<typeof temporaryStore>>;
const options = { ensure: async () => {}, signal: never };
const referenceType = 'vnd.docker.reference.type';
const referenceDigest = 'vnd.docker.reference.digest';

/** Written as BuildKit writes it: indented, and with members that mean nothing to us. */
async function putIndented(store: Store, document: object): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, more: true, ...document }, null, 2));
  return store.putBytes((document as { mediaType: string }).mediaType, bytes);
}

async function json(store: Store, descriptor: Descriptor) {
  return JSON.parse((await readBlob(store, descriptor, never)).toString('utf8'));
}

/** An index of an image and an attestation of the older form, by another builder. */
async function attestedIndex(store: Store, text?: string) {
  const { target: manifest } = await putImage(store, [[fileEntry('a', 'a')]]);
  const statement = {
    _type: 'https://in-toto.io/Statement/v0.1',
    predicateType: 'https://example/other',
    subject: [
      { name: 'pkg:docker/a@1', digest: { sha256: manifest.digest.slice(7) } },
      { name: 'a-file', digest: { sha256: 'ab'.repeat(32) } },
    ],
    predicate: { kept: [1, { mediaType: 'x' }], comment: 'layerID: unknown' },
  };
  const layer = await store.putBytes(mediaTypes.inToto, Buffer.from(text ?? JSON.stringify(statement)));
  const config = await store.putBytes(mediaTypes.ociConfig, Buffer.from('{"os":"unknown","architecture":"unknown"}'));
  const annotations = { 'in-toto.io/predicate-type': statement.predicateType };
  const attestation = await putIndented(store, {
    mediaType: mediaTypes.ociManifest,
    config,
    layers: [{ ...layer, annotations }],
  });
  const entry = {
    ...attestation,
    annotations: { [referenceType]: 'attestation-manifest', [referenceDigest]: manifest.digest },
    platform: { os: 'unknown', architecture: 'unknown' },
  };
  const image = { ...manifest, platform: { os: 'linux', architecture: 'amd64' } };
  const target = await putIndented(store, { mediaType: mediaTypes.ociIndex, manifests: [image, entry] });
  return { target, manifest, statement };
}

test('an index of which nothing changes keeps its bytes', async () => {
  const store = await temporaryStore();
  const { target } = await attestedIndex(store);
  expect(await publishImage(store, target, { ...options, compression: 'uncompressed' })).toBe(target);
});

test('when an image is compressed, what is said of it is about the new form, and else as it was', async () => {
  const store = await temporaryStore();
  const { target, manifest, statement } = await attestedIndex(store);
  const published = await json(store, await publishImage(store, target, { ...options, compression: 'gzip' }));
  const [image, entry] = published.manifests;
  expect(image.digest).not.toBe(manifest.digest);
  expect(entry.annotations[referenceDigest]).toBe(image.digest);
  const attestation = await json(store, entry);
  expect(attestation.artifactType).toBeUndefined();
  expect((await json(store, attestation.config)).rootfs.diff_ids).toEqual([attestation.layers[0].digest]);
  expect(attestation.layers[0].annotations).toEqual({ 'in-toto.io/predicate-type': 'https://example/other' });
  const [, file] = statement.subject;
  expect(await json(store, attestation.layers[0])).toEqual({
    ...statement,
    subject: [{ name: 'pkg:docker/a@1', digest: { sha256: image.digest.slice(7) } }, file],
  });
});

test('and under other names it is said of those', async () => {
  const store = await temporaryStore();
  const { target, statement } = await attestedIndex(store);
  const names = ['example.com/b:2'];
  const index = await json(
    store,
    await publishImage(store, target, { ...options, compression: 'uncompressed', names }),
  );
  const attestation = await json(store, index.manifests[1]);
  const { subject } = await json(store, attestation.layers[0]);
  const name = 'pkg:docker/example.com/b@2?platform=linux%2Famd64';
  expect(subject).toEqual([{ ...statement.subject[0], name }, statement.subject[1]]);
});

test.each(['{', 'null', '[]', '{"subject":{}}', '{"subject":[null]}', '{"subject":[{"name":"a"}]}'])(
  'what says it is a statement and is none, %s, goes along as it is',
  async (text) => {
    const store = await temporaryStore();
    const { target } = await attestedIndex(store, text);
    const index = await json(store, await publishImage(store, target, { ...options, compression: 'gzip' }));
    const attestation = await json(store, index.manifests[1]);
    expect((await readBlob(store, attestation.layers[0], never)).toString()).toBe(text);
  },
);
