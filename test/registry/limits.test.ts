/** What a hostile registry may make of documents and lists (security.md 22): each limit is tried, beside its honest twin. */
import { describe, expect, test } from 'vitest';
import { copyGraph, type Descriptor, describe as describeBytes, mediaTypes, readBlob } from '../../src/image/index.ts';
import { type Canary, startCanary } from '../support/faulty-proxy.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { neverAborted, rejectionOf, repositoryOf, session } from '../support/registry-session.ts';
import { addImage } from '../support/sample-images.ts';

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const indexOf = (manifests: readonly unknown[]) =>
  json({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
const manifestSized = (size: number) => ({ ...describeBytes(mediaTypes.ociManifest, Buffer.from(String(size))), size });
const none = describeBytes(mediaTypes.ociManifest, Buffer.from('none'));

/** Serves documents by path below `/v2/app/`; the digest of what it serves is true. */
async function serving(
  answers: (path: string) => { type?: string; body: Buffer; link?: string } | undefined,
): Promise<Canary> {
  return await startCanary((request, response) => {
    const answer = request.path === '/v2/' ? { body: json({}) } : answers(request.path.replace('/v2/app/', ''));
    if (!answer) return void response.writeHead(404).end();
    response.writeHead(200, {
      'content-type': answer.type ?? 'application/json',
      'content-length': answer.body.byteLength,
      ...(answer.link !== undefined && { link: answer.link }),
    });
    response.end(request.method === 'HEAD' ? undefined : answer.body);
  });
}

describe('a manifest', () => {
  test.each([
    ['4 MiB', 4 * 1024 * 1024, undefined],
    ['one byte more, announced', 4 * 1024 * 1024 + 1, 'registry-protocol'],
  ])('of %s', async (_size, size, code) => {
    const body = Buffer.concat([indexOf([]), Buffer.alloc(size - indexOf([]).byteLength, ' ')]);
    await using registry = await serving((path) =>
      path === 'manifests/latest' ? { type: mediaTypes.ociIndex, body } : undefined,
    );
    await using client = session();
    const fetched = repositoryOf(client, `${registry.host}/app`).fetchManifest('latest', neverAborted);
    if (code === undefined) expect((await fetched).bytes.byteLength).toBe(size);
    else expect(await rejectionOf(fetched)).toMatchObject({ code });
  });

  test('that an index says is larger than 4 MiB is not asked for', async () => {
    const index = indexOf([manifestSized(4 * 1024 * 1024 + 1)]);
    await using registry = await serving((path) =>
      path.startsWith('manifests/') ? { type: mediaTypes.ociIndex, body: index } : undefined,
    );
    await using client = session();
    const repository = repositoryOf(client, `${registry.host}/app`);
    const root = await repository.resolve('latest', neverAborted);
    const asked = registry.requests.length;
    expect(await rejectionOf(copyGraph(repository, new MemoryStore(), root, { signal: neverAborted }))).toMatchObject({
      code: 'manifest-invalid',
      message: expect.stringContaining('4194304 are allowed'),
    });
    expect(registry.requests.slice(asked).filter(({ path }) => !path.includes(root.digest))).toEqual([]);
  });
});

test('a configuration that is said to be larger than 16 MiB is not asked for', async () => {
  await using registry = await serving(() => undefined);
  await using client = session();
  const config = { ...manifestSized(16 * 1024 * 1024 + 1), mediaType: mediaTypes.ociConfig };
  const error = await rejectionOf(readBlob(repositoryOf(client, `${registry.host}/app`), config, neverAborted));
  expect(error).toMatchObject({ code: 'config-invalid', message: expect.stringContaining('16777216 are allowed') });
  expect(registry.requests).toEqual([]);
});

describe('an index', () => {
  /** Indexes in which each lists the one below `width` times. */
  function nested(store: MemoryStore, depth: number, width: number): Descriptor {
    let root: Descriptor = addImage(store, [10]).manifest;
    for (let level = 0; level < depth; level += 1) {
      root = store.add(mediaTypes.ociIndex, indexOf(Array.from({ length: width }, () => root)));
    }
    return root;
  }

  test.each([
    [8, undefined],
    [9, 'manifest-invalid'],
  ])('with %i levels of others', async (depth, code) => {
    const store = new MemoryStore();
    const copied = copyGraph(store, new MemoryStore(), nested(store, depth, 1), { signal: neverAborted });
    if (code === undefined) await copied;
    else expect(await rejectionOf(copied)).toMatchObject({ code });
  });

  test('that lists the same ten thousand times, and that the same, is copied once', async () => {
    const store = new MemoryStore();
    const to = new MemoryStore();
    await copyGraph(store, to, nested(store, 5, 10_000), { signal: neverAborted });
    expect(to.writes).toHaveLength(store.blobs.size);
  });
});

describe('a list of referrers', () => {
  const entry = (n: number): Descriptor => describeBytes(mediaTypes.ociManifest, Buffer.from(`referrer ${n}`));
  const referrersFrom = async (answers: Parameters<typeof serving>[0]) => {
    await using registry = await serving(answers);
    await using client = session();
    const found = repositoryOf(client, `${registry.host}/app`).referrers(none.digest, { signal: neverAborted });
    const outcome = await found.then(
      (list) => list.length,
      (error: unknown) => error,
    );
    return { outcome, asked: registry.requests.filter(({ path }) => path.includes('/referrers/')).length };
  };

  test('in many pages is read to its end', async () => {
    let page = 0;
    const { outcome } = await referrersFrom((path) => {
      if (!path.startsWith('referrers/')) return undefined;
      page += 1;
      const link = `</v2/app/referrers/${none.digest}?page=${page}>; rel="next"`;
      return { body: indexOf([entry(page), entry(-page)]), ...(page < 100 && { link }) };
    });
    expect(outcome).toBe(200);
  });

  test.each([
    ['that never ends', () => [entry(0)]],
    ['that never ends and is empty', () => []],
    ['of more than ten thousand', () => Array.from({ length: 6_000 }, (_, n) => entry(n))],
  ])('%s is given up, and not replaced by another list', async (_what, entries) => {
    let page = 0;
    const { outcome, asked } = await referrersFrom((path) => {
      page += 1;
      const link = `</v2/app/referrers/${none.digest}?page=${page}>; rel="next"`;
      return path.startsWith('referrers/') ? { body: indexOf(entries()), link } : { body: indexOf([]) };
    });
    expect(outcome).toMatchObject({ code: 'registry-protocol', message: expect.stringContaining('does not end') });
    expect(asked).toBeLessThanOrEqual(100);
  });

  test('in a larger page than 16 MiB is not read: what is on the list under the tag counts', async () => {
    const body = Buffer.concat([Buffer.alloc(16 * 1024 * 1024, ' '), indexOf([])]);
    const { outcome } = await referrersFrom((path) => (path.startsWith('referrers/') ? { body } : undefined));
    expect(outcome).toBe(0);
  });

  test.each([
    ['leads to ever more lists', (n: number) => [n + 1]],
    [
      'has more than ten thousand entries',
      (n: number) => (n === 0 ? Array.from({ length: 10_001 }, (_, i) => i + 1) : []),
    ],
  ])('that %s is not copied without end', async (_what, next) => {
    const store = new MemoryStore();
    const image = addImage(store, [10]);
    const numbers = new Map([[image.manifest.digest, 0]]);
    const referrer = (n: number): Descriptor => {
      const bytes = json({
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        config: image.config,
        layers: [],
        annotations: { n: String(n) },
      });
      const added = store.add(mediaTypes.ociManifest, bytes);
      numbers.set(added.digest, n);
      return added;
    };
    const referrers = async ({ digest }: Descriptor) => next(numbers.get(digest) ?? 0).map(referrer);
    const error = await rejectionOf(
      copyGraph(store, new MemoryStore(), image.manifest, { signal: neverAborted, referrers }),
    );
    expect(error).toMatchObject({ code: 'manifest-invalid', hint: expect.stringContaining('--referrers') });
    expect(numbers.size).toBeLessThan(10_100);
  });
});

test('a list of tags with larger pages than 16 MiB is refused', async () => {
  const body = Buffer.concat([Buffer.alloc(16 * 1024 * 1024, ' '), json({ tags: [] })]);
  await using registry = await serving(() => ({ body }));
  await using client = session();
  const read = async () => {
    for await (const tag of repositoryOf(client, `${registry.host}/app`).tags(neverAborted)) throw new Error(tag);
  };
  expect(await rejectionOf(read())).toMatchObject({ code: 'registry-protocol' });
});
