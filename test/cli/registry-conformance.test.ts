/**
 * What `tsbuild registry serve` owes its clients, rule by rule, as the conformance suite of the OCI distribution spec 1.1
 * asks it: pull and push. One test per rule; the title is the rule.
 */
import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { mediaTypes } from '../../src/image/index.ts';
import {
  type Answer,
  asDescriptor,
  digestBy,
  expectRefusal,
  missing,
  servedRegistry,
  sha256,
  withDigest,
} from '../support/served-registry.ts';

const { ask, newRepository, openUpload, pushBlob, manifestOf, putManifest, pushImage } = servedRegistry();

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
