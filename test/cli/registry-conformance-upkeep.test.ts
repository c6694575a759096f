/**
 * What `tsbuild registry serve` owes its clients, rule by rule, as the conformance suite of the OCI distribution spec 1.1
 * asks it: content discovery and content management. One test per rule; the title is the rule.
 */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { mediaTypes } from '../../src/image/index.ts';
import { openStore } from '../../src/layers/index.ts';
import { asDescriptor, expectRefusal, missing, servedRegistry, sha256 } from '../support/served-registry.ts';

const { ask, newRepository, pushBlob, putManifest, pushImage, store } = servedRegistry();

describe('content discovery', () => {
  const tagsOf = async (repository: string, query = '') => {
    const answer = await ask('GET', `${repository}/tags/list${query}`);
    expect(answer.status).toBe(200);
    return { ...(answer.json() as { name: string; tags: string[] }), link: answer.headers.get('link') };
  };

  test('tags are listed in lexical order', async () => {
    const repository = newRepository();
    for (const tag of ['c', 'B', 'a', '1']) await pushImage(repository, tag);
    expect(await tagsOf(repository)).toEqual({ name: repository, tags: ['1', 'B', 'a', 'c'], link: null });
  });

  test('tags come in pages of n, each with a Link to the next, and after `last`', async () => {
    const repository = newRepository();
    for (const tag of ['a', 'b', 'c', 'd']) await pushImage(repository, tag);
    const first = await tagsOf(repository, '?n=2');
    expect(first).toEqual({
      name: repository,
      tags: ['a', 'b'],
      link: `</v2/${repository}/tags/list?n=2&last=b>; rel="next"`,
    });
    expect(await tagsOf(repository, '?n=2&last=b')).toEqual({ name: repository, tags: ['c', 'd'], link: null });
    expect((await tagsOf(repository, '?last=b')).tags).toEqual(['c', 'd']);
    expect((await tagsOf(repository, '?last=bb')).tags).toEqual(['c', 'd']);
    expect((await tagsOf(repository, '?n=100')).tags).toHaveLength(4);
  });

  test('with n=0 the list is empty and has no Link', async () => {
    const repository = newRepository();
    await pushImage(repository, 'a');
    expect(await tagsOf(repository, '?n=0')).toEqual({ name: repository, tags: [], link: null });
  });

  test('the tags of an unknown repository are answered with 404', async () => {
    expectRefusal(await ask('GET', 'no/such/repository/tags/list'), 404, 'NAME_UNKNOWN');
  });

  const referrersOf = async (repository: string, digest: string, query = '') => {
    const answer = await ask('GET', `${repository}/referrers/${digest}${query}`);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, mediaTypes.ociIndex]);
    const index = answer.json() as { schemaVersion: number; mediaType: string; manifests: Record<string, unknown>[] };
    expect([index.schemaVersion, index.mediaType]).toEqual([2, mediaTypes.ociIndex]);
    return { manifests: index.manifests, filters: answer.headers.get('oci-filters-applied') };
  };

  test('what nothing refers to has an empty list of referrers, known or not', async () => {
    const repository = newRepository();
    const { digest } = await pushImage(repository, 'v1');
    for (const subject of [digest, missing()]) expect((await referrersOf(repository, subject)).manifests).toEqual([]);
  });

  test('referrers are descriptors with type and annotations: that of the artifact, else of its configuration', async () => {
    const repository = newRepository();
    const subject = asDescriptor(await pushImage(repository, 'v1'));
    const annotations = { 'org.example.note': 'hello' };
    const typed = await pushImage(repository, undefined, { subject, artifactType: 'application/x-a', annotations });
    const untyped = await pushImage(repository, 'tagged', { subject });
    const index = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], subject, annotations }),
    );
    expect((await putManifest(repository, 'index', index, mediaTypes.ociIndex)).status).toBe(201);
    const { manifests } = await referrersOf(repository, subject.digest);
    expect(manifests).toEqual([
      { ...asDescriptor(typed), artifactType: 'application/x-a', annotations },
      { ...asDescriptor(untyped), artifactType: mediaTypes.ociConfig },
      { mediaType: mediaTypes.ociIndex, digest: sha256(index), size: index.byteLength, annotations },
    ]);
  });

  test('referrers are filtered by their type, and the filter is named', async () => {
    const repository = newRepository();
    const subject = asDescriptor(await pushImage(repository, 'v1'));
    const [a] = [
      await pushImage(repository, undefined, { subject, artifactType: 'application/x-a' }),
      await pushImage(repository, undefined, { subject, artifactType: 'application/x-b' }),
    ];
    const found = await referrersOf(repository, subject.digest, '?artifactType=application/x-a');
    expect([found.filters, found.manifests.map(({ digest }) => digest)]).toEqual(['artifactType', [a.digest]]);
    expect((await referrersOf(repository, subject.digest)).filters).toBeNull();
  });

  test('the referrers of a digest that is none are answered with 400', async () => {
    expectRefusal(await ask('GET', `${newRepository()}/referrers/sha256:short`), 400, 'DIGEST_INVALID');
  });

  test('repositories are listed in order and in pages', async () => {
    const names = [`zz/${newRepository()}`, `zz/${newRepository()}`];
    for (const name of names) await pushImage(name, 'v1');
    const answer = await ask('GET', '_catalog?n=1&last=zz');
    expect([answer.json(), answer.headers.get('link')]).toEqual([
      { repositories: [names[0]] },
      `</v2/_catalog?${new URLSearchParams({ n: '1', last: names[0] ?? '' })}>; rel="next"`,
    ]);
  });
});

describe('content management', () => {
  test('a tag is deleted alone: 202, then 404, and off the list', async () => {
    const repository = newRepository();
    const image = await pushImage(repository, 'a');
    await putManifest(repository, 'b', image.bytes);
    expect((await ask('DELETE', `${repository}/manifests/a`)).status).toBe(202);
    expectRefusal(await ask('GET', `${repository}/manifests/a`), 404, 'MANIFEST_UNKNOWN');
    expect((await ask('GET', `${repository}/manifests/b`)).status).toBe(200);
    expect(((await ask('GET', `${repository}/tags/list`)).json() as { tags: string[] }).tags).toEqual(['b']);
  });

  test('a manifest is deleted by its digest with all its tags: 202, then 404', async () => {
    const repository = newRepository();
    const image = await pushImage(repository, 'a');
    await putManifest(repository, 'b', image.bytes);
    expect((await ask('DELETE', `${repository}/manifests/${image.digest}`)).status).toBe(202);
    for (const reference of ['a', 'b', image.digest]) {
      expect((await ask('HEAD', `${repository}/manifests/${reference}`)).status).toBe(404);
    }
  });

  test('a manifest of another repository stays', async () => {
    const [one, other] = [newRepository(), newRepository()];
    const image = await pushImage(one, 'v1');
    await putManifest(other, 'v1', image.bytes);
    await ask('DELETE', `${one}/manifests/${image.digest}`);
    expect((await ask('HEAD', `${other}/manifests/v1`)).status).toBe(200);
  });

  test('a blob is deleted: 202, then 404, and its file is gone; then it can be pushed again', async () => {
    const repository = newRepository();
    const bytes = randomBytes(512);
    const digest = await pushBlob(repository, bytes);
    expect((await ask('DELETE', `${repository}/blobs/${digest}`)).status).toBe(202);
    expectRefusal(await ask('GET', `${repository}/blobs/${digest}`), 404, 'BLOB_UNKNOWN');
    expectRefusal(await ask('DELETE', `${repository}/blobs/${digest}`), 404, 'BLOB_UNKNOWN');
    await pushBlob(repository, bytes);
    expect((await ask('GET', `${repository}/blobs/${digest}`)).body).toEqual(bytes);
    expect((await store().check({ signal: new AbortController().signal })).damaged).toEqual([]);
  });

  test('a blob that an image needs is not deleted, by whatever repository: 405; without the image it is', async () => {
    const repository = newRepository();
    const image = await pushImage(repository, 'v1');
    const { config } = JSON.parse(image.bytes.toString()) as { config: { digest: string } };
    for (const name of [repository, newRepository()]) {
      expectRefusal(await ask('DELETE', `${name}/blobs/${config.digest}`), 405, 'UNSUPPORTED');
    }
    expect((await ask('HEAD', `${repository}/blobs/${config.digest}`)).status).toBe(200);
    await ask('DELETE', `${repository}/manifests/v1`);
    expect((await ask('DELETE', `${repository}/blobs/${config.digest}`)).status).toBe(202);
  });

  test('a blob that another process on the store may be using is not deleted: 405', async () => {
    const repository = newRepository();
    await using other = { [Symbol.asyncDispose]: () => beside.close() };
    const beside = await openStore(store().root);
    beside.temporaryFolder();
    const digest = await pushBlob(repository);
    expectRefusal(await ask('DELETE', `${repository}/blobs/${digest}`), 405, 'UNSUPPORTED');
    await other[Symbol.asyncDispose]();
    expect((await ask('DELETE', `${repository}/blobs/${digest}`)).status).toBe(202);
  });

  test.each(['by its digest', 'by its tag'])(
    'a referrer deleted %s is on the list no more, and its blobs can go',
    async (how) => {
      const repository = newRepository();
      const subject = asDescriptor(await pushImage(repository, 'v1'));
      const referrer = await pushImage(repository, 'signature', { subject });
      const stays = await pushImage(repository, undefined, { subject });
      const { config } = JSON.parse(referrer.bytes.toString()) as { config: { digest: string } };
      await ask('DELETE', `${repository}/manifests/${how === 'by its tag' ? 'signature' : referrer.digest}`);
      const { manifests } = (await ask('GET', `${repository}/referrers/${subject.digest}`)).json() as {
        manifests: { digest: string }[];
      };
      expect(manifests.map(({ digest }) => digest)).toEqual([stays.digest]);
      expect((await ask('DELETE', `${repository}/blobs/${config.digest}`)).status).toBe(202);
    },
  );

  test('what is not there is deleted with 404', async () => {
    const repository = newRepository();
    await pushImage(repository, 'v1');
    for (const reference of ['nope', missing()]) {
      expectRefusal(await ask('DELETE', `${repository}/manifests/${reference}`), 404, 'MANIFEST_UNKNOWN');
    }
    expectRefusal(await ask('DELETE', `${repository}/blobs/${missing()}`), 404, 'BLOB_UNKNOWN');
  });

  test.each([
    ['POST', 'app/manifests/v1'],
    ['PATCH', 'app/tags/list'],
    ['DELETE', '_catalog'],
  ])('%s of %s is not offered: 405', async (method, path) => {
    expectRefusal(await ask(method, path), 405, 'UNSUPPORTED');
  });
});
