/**
 * What `tsbuild registry serve` owes its clients, rule by rule, as the conformance suite of the OCI distribution spec 1.1
 * asks it: raw HTTP against the server over a real store. One test per rule; the title is the rule.
 */
import { createHash, randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { servedStore } from '../../src/cli/ports/served-store.ts';
import { mediaTypes } from '../../src/image/index.ts';
import { type LocalStore, openStore } from '../../src/layers/index.ts';
import { type RegistryServer, serveRegistry } from '../../src/registry/index.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';

let folder: TemporaryFolder;
let store: LocalStore;
let server: RegistryServer;
beforeAll(async () => {
  folder = temporaryFolder('conformance');
  store = await openStore(folder.join('store'));
  server = await serveRegistry({ storage: servedStore(store), uploadFolder: store.temporaryFolder() });
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await store?.close();
  await folder[Symbol.asyncDispose]();
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Buffer;
  readonly json: () => unknown;
}

/** One request; a path that does not begin with /v2/ is below it. */
async function ask(method: string, path: string, body?: Buffer, headers: Record<string, string> = {}): Promise<Answer> {
  const url = `${server.url}${path.startsWith('/v2/') ? path : `/v2/${path}`}`;
  const response = await fetch(url, { method, headers, ...(body && { body: new Uint8Array(body) }) });
  const bytes = Buffer.from(await response.arrayBuffer());
  return {
    status: response.status,
    headers: response.headers,
    body: bytes,
    json: () => JSON.parse(bytes.toString()) as unknown,
  };
}

function expectRefusal(answer: Answer, status: number, code: string): void {
  expect([answer.status, (answer.json() as { errors: { code: string }[] }).errors[0]?.code]).toEqual([status, code]);
}

const digestBy = (algorithm: string, bytes: Buffer) =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
const sha256 = (bytes: Buffer) => digestBy('sha256', bytes);
const missing = () => sha256(randomBytes(16));

let repositories = 0;
const newRepository = () => {
  repositories += 1;
  return `conformance/repo${repositories}`;
};

async function openUpload(repository: string, query = ''): Promise<string> {
  const answer = await ask('POST', `${repository}/blobs/uploads/${query}`);
  expect(answer.status).toBe(202);
  return answer.headers.get('location') ?? '';
}

const withDigest = (location: string, digest: string) =>
  `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`;

/** Pushes a blob and resolves to its digest. */
async function pushBlob(repository: string, bytes = randomBytes(512), algorithm = 'sha256'): Promise<string> {
  const digest = digestBy(algorithm, bytes);
  expect((await ask('POST', `${repository}/blobs/uploads/?digest=${digest}`, bytes)).status).toBe(201);
  return digest;
}

interface Pushed {
  readonly bytes: Buffer;
  readonly digest: string;
}

const asDescriptor = ({ bytes, digest }: Pushed) => ({
  mediaType: mediaTypes.ociManifest,
  digest,
  size: bytes.byteLength,
});

async function manifestOf(repository: string, more: Readonly<Record<string, unknown>> = {}): Promise<Pushed> {
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', unique: missing() }));
  const layer = randomBytes(300);
  await pushBlob(repository, config);
  await pushBlob(repository, layer);
  const bytes = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: sha256(config), size: config.byteLength },
      layers: [{ mediaType: mediaTypes.ociLayerTar, digest: sha256(layer), size: layer.byteLength }],
      ...more,
    }),
  );
  return { bytes, digest: sha256(bytes) };
}

const putManifest = (repository: string, reference: string, bytes: Buffer, type: string = mediaTypes.ociManifest) =>
  ask('PUT', `${repository}/manifests/${reference}`, bytes, { 'content-type': type });

/** Pushes an image under a tag, or else its digest. */
async function pushImage(
  repository: string,
  tag?: string,
  more: Readonly<Record<string, unknown>> = {},
): Promise<Pushed> {
  const image = await manifestOf(repository, more);
  expect((await putManifest(repository, tag ?? image.digest, image.bytes)).status).toBe(201);
  return image;
}

describe('pull', () => {
  test('the base of the API answers 200', async () => {
    expect((await ask('GET', '')).status).toBe(200);
  });

  test.each(['GET', 'HEAD'])(
    '%s of a manifest by tag and by digest gives its exact bytes, length, type and digest',
    async (method) => {
      const repository = newRepository();
      const image = await pushImage(repository, 'v1');
      for (const reference of ['v1', image.digest]) {
        const answer = await ask(method, `${repository}/manifests/${reference}`);
        expect([
          answer.status,
          answer.headers.get('content-type'),
          answer.headers.get('docker-content-digest'),
          answer.headers.get('content-length'),
        ]).toEqual([200, mediaTypes.ociManifest, image.digest, String(image.bytes.byteLength)]);
        expect(answer.body).toEqual(method === 'GET' ? image.bytes : Buffer.alloc(0));
      }
    },
  );

  test.each(['GET', 'HEAD'])('%s of a blob gives its bytes, length and digest', async (method) => {
    const repository = newRepository();
    const bytes = randomBytes(4096);
    const digest = await pushBlob(repository, bytes);
    const answer = await ask(method, `${repository}/blobs/${digest}`);
    expect([answer.status, answer.headers.get('docker-content-digest'), answer.headers.get('content-length')]).toEqual([
      200,
      digest,
      '4096',
    ]);
    expect(answer.body).toEqual(method === 'GET' ? bytes : Buffer.alloc(0));
  });

  test.each(['GET', 'HEAD'])('%s of what is not there answers 404', async (method) => {
    const repository = newRepository();
    await pushImage(repository, 'v1');
    for (const path of [`manifests/nope`, `manifests/${missing()}`, `blobs/${missing()}`]) {
      expect((await ask(method, `${repository}/${path}`)).status, path).toBe(404);
    }
    expect((await ask(method, 'no/such/repository/manifests/v1')).status).toBe(404);
  });

  test('what is not there is named by the code of the spec', async () => {
    expectRefusal(await ask('GET', `app/blobs/${missing()}`), 404, 'BLOB_UNKNOWN');
    expectRefusal(await ask('GET', `app/manifests/${missing()}`), 404, 'MANIFEST_UNKNOWN');
  });

  test.each([
    ['bytes=500-1499', 500, 1500],
    ['bytes=500-', 500, 2048],
    ['bytes=-500', 1548, 2048],
    ['bytes=2000-5000', 2000, 2048],
    ['bytes=0-0', 0, 1],
  ])('the range %s of a blob is answered with 206 and these bytes', async (range, from, to) => {
    const repository = newRepository();
    const bytes = randomBytes(2048);
    const answer = await ask('GET', `${repository}/blobs/${await pushBlob(repository, bytes)}`, undefined, { range });
    expect([answer.status, answer.headers.get('content-range'), answer.headers.get('content-length')]).toEqual([
      206,
      `bytes ${from}-${to - 1}/2048`,
      String(to - from),
    ]);
    expect(answer.body).toEqual(bytes.subarray(from, to));
  });

  test.each(['bytes=5000-10000', 'bytes=500-0'])(
    'the range %s, which a blob of 2048 bytes does not have, is answered with 416',
    async (range) => {
      const repository = newRepository();
      const digest = await pushBlob(repository, randomBytes(2048));
      expect((await ask('GET', `${repository}/blobs/${digest}`, undefined, { range })).status).toBe(416);
    },
  );

  test.each([
    ['UPPER/tags/list', 400, 'NAME_INVALID'],
    ['../x/tags/list', 404, 'UNSUPPORTED'],
    ['app/blobs/sha256:..%2f..%2fetc', 400, 'DIGEST_INVALID'],
    ['app/blobs/sha256:short', 400, 'DIGEST_INVALID'],
    ['app/manifests/.hidden', 400, 'TAG_INVALID'],
    [`app/manifests/${'x'.repeat(129)}`, 400, 'TAG_INVALID'],
    ['nothing', 404, 'UNSUPPORTED'],
  ])('GET of %s, which is no name, answers %i', async (path, status, code) => {
    expectRefusal(await ask('GET', path), status, code);
  });
});

describe('push', () => {
  const expectBlob = async (repository: string, digest: string, bytes: Buffer) =>
    expect((await ask('GET', `${repository}/blobs/${digest}`)).body).toEqual(bytes);

  describe.each(['sha256', 'sha512'])('a blob named by %s', (algorithm) => {
    const bytes = randomBytes(3000);
    const digest = digestBy(algorithm, bytes);
    const expectCreated = (answer: Answer, repository: string) =>
      expect([answer.status, answer.headers.get('location'), answer.headers.get('docker-content-digest')]).toEqual([
        201,
        `/v2/${repository}/blobs/${digest}`,
        digest,
      ]);

    test('is taken with a single POST', async () => {
      const repository = newRepository();
      expectCreated(await ask('POST', `${repository}/blobs/uploads/?digest=${digest}`, bytes), repository);
      await expectBlob(repository, digest, bytes);
    });

    test('is taken with POST and PUT', async () => {
      const repository = newRepository();
      expectCreated(await ask('PUT', withDigest(await openUpload(repository), digest), bytes), repository);
      await expectBlob(repository, digest, bytes);
    });

    test('is taken as a stream: a PATCH without a range', async () => {
      const repository = newRepository();
      const patched = await ask('PATCH', await openUpload(repository), bytes);
      expect(patched.status).toBe(202);
      expectCreated(await ask('PUT', withDigest(patched.headers.get('location') ?? '', digest)), repository);
      await expectBlob(repository, digest, bytes);
    });

    test.each(['PATCH', 'PUT'])('is taken in chunks, the last with %s', async (last) => {
      const repository = newRepository();
      let location = await openUpload(repository, `?digest-algorithm=${algorithm}`);
      for (const [first, end] of [
        [0, 1000],
        [1000, 2000],
      ] as const) {
        const answer = await ask('PATCH', location, bytes.subarray(first, end), {
          'content-range': `${first}-${end - 1}`,
        });
        expect([answer.status, answer.headers.get('range')]).toEqual([202, `0-${end - 1}`]);
        location = answer.headers.get('location') ?? '';
      }
      const rest = bytes.subarray(2000);
      const range = { 'content-range': '2000-2999' };
      if (last === 'PATCH') {
        location = (await ask('PATCH', location, rest, range)).headers.get('location') ?? '';
        expectCreated(await ask('PUT', withDigest(location, digest)), repository);
      } else {
        expectCreated(await ask('PUT', withDigest(location, digest), rest, range), repository);
      }
      await expectBlob(repository, digest, bytes);
    });

    test.each(['POST', 'PUT', 'PATCH and PUT'])('with other bytes is refused, by %s, and not kept', async (how) => {
      const repository = newRepository();
      const wanted = digestBy(algorithm, randomBytes(16));
      let answer: Answer;
      if (how === 'POST') answer = await ask('POST', `${repository}/blobs/uploads/?digest=${wanted}`, bytes);
      else {
        const location = await openUpload(repository);
        if (how !== 'PUT') await ask('PATCH', location, bytes);
        answer = await ask('PUT', withDigest(location, wanted), how === 'PUT' ? bytes : undefined);
      }
      expectRefusal(answer, 400, 'DIGEST_INVALID');
      expect((await ask('HEAD', `${repository}/blobs/${wanted}`)).status).toBe(404);
    });
  });

  test.each(['nonsense', 'sha256:abc', 'md5:d41d8cd98f00b204e9800998ecf8427e'])(
    'the digest %s is refused with 400',
    async (digest) => {
      const location = await openUpload(newRepository());
      expectRefusal(await ask('PUT', withDigest(location, digest), randomBytes(10)), 400, 'DIGEST_INVALID');
    },
  );

  test('an empty blob is a blob', async () => {
    const repository = newRepository();
    const empty = Buffer.alloc(0);
    await expectBlob(repository, await pushBlob(repository, empty), empty);
  });

  test.each(['PATCH', 'PUT'])(
    'a chunk out of order is refused with 416 by %s, and the upload goes on',
    async (method) => {
      const repository = newRepository();
      const bytes = randomBytes(2000);
      const digest = sha256(bytes);
      const location = await openUpload(repository);
      await ask('PATCH', location, bytes.subarray(0, 1000), { 'content-range': '0-999' });
      const target = method === 'PUT' ? withDigest(location, digest) : location;
      const wrong = await ask(method, target, bytes.subarray(1500), { 'content-range': '1500-1999' });
      expect([wrong.status, wrong.headers.get('location'), wrong.headers.get('range')]).toEqual([
        416,
        location,
        '0-999',
      ]);
      const again = await ask('PUT', withDigest(location, digest), bytes.subarray(1000), {
        'content-range': '1000-1999',
      });
      expect(again.status).toBe(201);
      await expectBlob(repository, digest, bytes);
    },
  );

  test('GET of an upload tells where it stands: 204, Location and Range', async () => {
    const location = await openUpload(newRepository());
    await ask('PATCH', location, randomBytes(700));
    const answer = await ask('GET', location);
    expect([answer.status, answer.headers.get('location'), answer.headers.get('range')]).toEqual([
      204,
      location,
      '0-699',
    ]);
  });

  test('an upload that is cancelled, or finished, is unknown afterwards', async () => {
    const repository = newRepository();
    const location = await openUpload(repository);
    await ask('PATCH', location, randomBytes(700));
    expect((await ask('DELETE', location)).status).toBe(204);
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      expectRefusal(
        await ask(method, location, method === 'PATCH' ? randomBytes(5) : undefined),
        404,
        'BLOB_UPLOAD_UNKNOWN',
      );
    }
    const finished = await openUpload(repository);
    const bytes = randomBytes(20);
    await ask('PUT', withDigest(finished, sha256(bytes)), bytes);
    expectRefusal(await ask('GET', finished), 404, 'BLOB_UPLOAD_UNKNOWN');
  });

  test('an upload belongs to its repository', async () => {
    const repository = newRepository();
    const location = (await openUpload(repository)).replace(repository, newRepository());
    expectRefusal(await ask('PATCH', location, randomBytes(5)), 404, 'BLOB_UPLOAD_UNKNOWN');
  });

  test.each(['&from=', ''])('a blob of another repository is mounted: 201 and its Location ("%s")', async (from) => {
    const [source, target] = [newRepository(), newRepository()];
    const digest = await pushBlob(source);
    const answer = await ask('POST', `${target}/blobs/uploads/?mount=${digest}${from && from + source}`);
    expect([answer.status, answer.headers.get('location')]).toEqual([201, `/v2/${target}/blobs/${digest}`]);
    expect((await ask('HEAD', `${target}/blobs/${digest}`)).status).toBe(200);
  });

  test('a blob that cannot be mounted opens an upload: 202', async () => {
    const bytes = randomBytes(100);
    const location = await openUpload(newRepository(), `?mount=${sha256(bytes)}&from=${newRepository()}`);
    expect((await ask('PUT', withDigest(location, sha256(bytes)), bytes)).status).toBe(201);
  });

  test('a manifest is taken under a tag and under its digest: 201, Location and digest', async () => {
    const repository = newRepository();
    const image = await manifestOf(repository);
    for (const reference of ['v1', image.digest]) {
      const answer = await putManifest(repository, reference, image.bytes);
      expect([answer.status, answer.headers.get('location'), answer.headers.get('docker-content-digest')]).toEqual([
        201,
        `/v2/${repository}/manifests/${image.digest}`,
        image.digest,
      ]);
    }
  });

  test('a manifest keeps its bytes, unknown members and white space included', async () => {
    const repository = newRepository();
    const { bytes } = await manifestOf(repository, { 'org.example.custom': { nested: [1, null] } });
    const spaced = Buffer.from(`${bytes.toString().replace('{', '{\n  ')}\n\n`);
    expect((await putManifest(repository, 'v1', spaced)).status).toBe(201);
    expect((await ask('GET', `${repository}/manifests/v1`)).body).toEqual(spaced);
  });

  test('parameters of the Content-Type of a manifest are ignored', async () => {
    const repository = newRepository();
    const { bytes } = await manifestOf(repository);
    expect((await putManifest(repository, 'v1', bytes, `${mediaTypes.ociManifest}; charset=utf-8`)).status).toBe(201);
    expect((await ask('HEAD', `${repository}/manifests/v1`)).headers.get('content-type')).toBe(mediaTypes.ociManifest);
  });

  test('a manifest without layers, with inline data, with a foreign layer, of an artifact, is taken', async () => {
    const repository = newRepository();
    const empty = Buffer.from('{}');
    await pushBlob(repository, empty);
    const config = { mediaType: mediaTypes.ociEmpty, digest: sha256(empty), size: 2, data: 'e30=' };
    const foreign = {
      mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
      digest: missing(),
      size: 123_456,
      urls: ['https://store.example/layer'],
    };
    for (const more of [
      { layers: [] },
      { config, layers: [config] },
      { layers: [foreign] },
      { artifactType: 'application/vnd.example', config, layers: [config] },
    ]) {
      const { bytes } = await manifestOf(repository, more);
      const answer = await putManifest(repository, 'kind', bytes);
      expect([answer.status, answer.body.toString()], JSON.stringify(more)).toEqual([201, '']);
      expect((await ask('GET', `${repository}/manifests/kind`)).body).toEqual(bytes);
    }
  });

  test('an index, an empty one and one of indexes are taken, and their manifests are found by digest', async () => {
    const repository = newRepository();
    const image = await pushImage(repository);
    const indexOf = (manifests: readonly unknown[]) => {
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }));
      return { bytes, digest: sha256(bytes) };
    };
    const inner = indexOf([asDescriptor(image)]);
    const outer = indexOf([{ ...asDescriptor(inner), mediaType: mediaTypes.ociIndex }]);
    for (const [tag, { bytes }] of Object.entries({ inner, outer, empty: indexOf([]) })) {
      expect((await putManifest(repository, tag, bytes, mediaTypes.ociIndex)).status, tag).toBe(201);
    }
    await ask('DELETE', `${repository}/manifests/inner`);
    for (const { digest, bytes } of [inner, image]) {
      expect((await ask('GET', `${repository}/manifests/${digest}`)).body).toEqual(bytes);
    }
  });

  test('a manifest of 4 MiB is taken, a larger one refused with 413', async () => {
    const repository = newRepository();
    const { bytes } = await manifestOf(repository, { annotations: { large: 'A'.repeat(4_000_000) } });
    const padded = (size: number) => Buffer.concat([bytes, Buffer.alloc(size - bytes.byteLength, ' ')]);
    expect((await putManifest(repository, 'v1', padded(4 * 1024 * 1024))).status).toBe(201);
    expectRefusal(await putManifest(repository, 'v2', padded(4 * 1024 * 1024 + 1)), 413, 'SIZE_INVALID');
  });

  test('a manifest under a digest it does not have is refused with 400', async () => {
    const repository = newRepository();
    const { bytes } = await manifestOf(repository);
    expectRefusal(await putManifest(repository, missing(), bytes), 400, 'DIGEST_INVALID');
  });

  test.each([
    [
      'whose blobs are missing',
      { config: { mediaType: 'a/b', digest: missing(), size: 3 } },
      404,
      'MANIFEST_BLOB_UNKNOWN',
    ],
    ['without a configuration', { config: undefined }, 400, 'MANIFEST_INVALID'],
    ['that is an index at once', { manifests: [] }, 400, 'MANIFEST_INVALID'],
  ])('a manifest %s is refused, and nothing is named', async (_what, more, status, code) => {
    const repository = newRepository();
    const { bytes } = await manifestOf(repository, more);
    expectRefusal(await putManifest(repository, 'v1', bytes), status, code);
    expectRefusal(await ask('GET', `${repository}/tags/list`), 404, 'NAME_UNKNOWN');
  });

  test('a manifest with a subject is answered with OCI-Subject, whether the subject is there or not', async () => {
    const repository = newRepository();
    for (const digest of [(await pushImage(repository, 'v1')).digest, missing()]) {
      const { bytes } = await manifestOf(repository, {
        subject: { mediaType: mediaTypes.ociManifest, digest, size: 123 },
      });
      const answer = await putManifest(repository, sha256(bytes), bytes);
      expect([answer.status, answer.headers.get('oci-subject')]).toEqual([201, digest]);
    }
  });
});

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
    expect((await store.check({ signal: new AbortController().signal })).damaged).toEqual([]);
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
    const beside = await openStore(store.root);
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
