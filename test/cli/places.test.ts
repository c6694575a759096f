import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { servedStore } from '../../src/cli/ports/served-store.ts';
import { type LocalStore, openStore } from '../../src/layers/index.ts';
import { type RegistryServer, serveRegistry } from '../../src/registry/index.ts';
import { run } from '../support/command.ts';
import { alice, startRegistry, type TestRegistry } from '../support/registry.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { mustTsbuild, tsbuild } from '../support/tsbuild.ts';

let folder: TemporaryFolder;
let registry: TestRegistry;

const must = (...args: string[]) => mustTsbuild(args, { home: folder.join('home'), cwd: folder.path });
const any = (...args: string[]) => tsbuild(args, { home: folder.join('home'), cwd: folder.path });
const name = (path: string) => `${registry.host}/${path}`;

beforeAll(async () => {
  folder = temporaryFolder('places');
  registry = await startRegistry();
  mkdirSync(folder.join('context'));
  writeFileSync(
    folder.join('context/Dockerfile'),
    'FROM scratch\nARG TARGETARCH\nLABEL arch=$TARGETARCH\nCOPY Dockerfile /\n',
  );
  await must('-q', '--platform', 'linux/amd64,linux/arm64', '-t', name('app:all'), '--push', 'context');
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

describe('copy', () => {
  const places: readonly (readonly [kind: string, place: (round: string) => string])[] = [
    ['a registry', (round) => `docker://${name(`${round}:1`)}`],
    ['the store', (round) => `store://${round}:1`],
    ['an OCI directory', (round) => `oci:${round}:1`],
    ['an OCI archive', (round) => `oci-archive:${round}.oci.tar`],
    ['a docker archive', (round) => `docker-archive:${round}.docker.tar:${round}:1`],
  ];
  const pairs = places.flatMap(([from, sourceOf], i) =>
    places.map(([to, targetOf], j) => ({ from, to, sourceOf, targetOf, round: `${i}${j}` })),
  );

  test.each(pairs)('brings one platform from $from to $to', async ({ sourceOf, targetOf, round }) => {
    const [source, target] = [sourceOf(`from${round}`), targetOf(`to${round}`)];
    await must('copy', '-q', '--platform', 'linux/arm64', name('app:all'), source);
    await must('copy', '-q', source, target);
    await must('copy', '-q', target, 'store://seen:1');
    expect((await must('inspect', '-f', '{{.Architecture}} {{.Config.Labels.arch}}', 'seen:1')).text).toBe(
      'arm64 arm64\n',
    );
  });

  describe('with --referrers', () => {
    let second: RegistryServer;
    let secondStore: LocalStore;
    beforeAll(async () => {
      // The reference registry has no API for referrers, ours has: both ways of keeping them are source and target.
      secondStore = await openStore(folder.join('second'));
      second = await serveRegistry({ storage: servedStore(secondStore), uploadFolder: secondStore.temporaryFolder() });
      writeFileSync(folder.join('sbom.json'), '{"made":"up"}');
      const attach = async (image: string, ...more: string[]) =>
        (await must('artifact', 'attach', image, 'sbom.json', ...more)).text.trim();
      const arm = ['--platform', 'linux/arm64'];
      await attach(name('app:all'), '--artifact-type', 'application/spdx+json');
      const signature = await attach(name('app:all'), ...arm, '--artifact-type', 'application/x-sig');
      // A signature of the signature.
      await attach(signature, '--artifact-type', 'application/x-countersig');
    });
    afterAll(async () => {
      await second?.[Symbol.asyncDispose]();
      await secondStore?.close();
    });

    const keepers: readonly (readonly [kind: string, place: (round: string) => string])[] = [
      ['a registry without the API', (round) => name(`${round}:1`)],
      ['a registry with the API', (round) => `${second.host}/${round}:1`],
      ['the store', (round) => `store://${round}:1`],
      ['an OCI directory', (round) => `oci:${round}:1`],
      ['an OCI archive', (round) => `oci-archive:${round}.oci.tar`],
    ];
    const whole = ['copy', '-q', '-a', '--referrers'];
    /** Everything below the name, with its digests. */
    const treeOf = async (place: string) => (await must('tree', '--referrers', place)).text.split('\n').slice(1);

    test.each(keepers)('an index goes from %s to every place with all that refers to it', async (kind, sourceOf) => {
      const round = keepers.findIndex(([other]) => other === kind);
      const source = sourceOf(`from-${round}`);
      await must(...whole, name('app:all'), source);
      const wanted = await treeOf(name('app:all'));
      expect(wanted.filter((line) => line.includes('referrer'))).toHaveLength(3);
      for (const [target, targetOf] of keepers) {
        const place = targetOf(`to-${round}`);
        const { text } = await must(...whole, source, place);
        expect(text, target).toBe((await must('digest', name('app:all'))).text);
        expect(await treeOf(place), target).toEqual(wanted);
      }
    });

    test('a copy in a registry lists the same referrers as the original', async () => {
      await must(...whole, name('app:all'), 'oci:between:1');
      for (const copy of [name('copied:1'), `${second.host}/copied:1`]) {
        await must(...whole, 'oci:between:1', copy);
        for (const platform of [[], ['--platform', 'linux/arm64']]) {
          expect((await must('referrers', ...platform, copy)).text).toBe(
            (await must('referrers', ...platform, name('app:all'))).text,
          );
        }
      }
    });

    test('what another tool keeps in a directory on a list under a tag is brought as well', async () => {
      await must(...whole, name('app:all'), 'oci:other-tool:1');
      // As regctl writes it: not the referrers stand in index.json, but their lists.
      const path = folder.join('other-tool/index.json');
      const index = JSON.parse(readFileSync(path, 'utf8')) as { manifests: { digest: string; annotations?: object }[] };
      const isNamed = (entry: object) => JSON.stringify(entry).includes('ref.name');
      const lists = new Map<string, object[]>();
      for (const entry of index.manifests.filter((item) => !isNamed(item))) {
        const file = folder.join('other-tool/blobs/sha256', entry.digest.slice('sha256:'.length));
        const { subject } = JSON.parse(readFileSync(file, 'utf8')) as { subject: { digest: string } };
        lists.set(subject.digest, [...(lists.get(subject.digest) ?? []), entry]);
      }
      const entries = [...lists].map(([subject, manifests]) => {
        const mediaType = 'application/vnd.oci.image.index.v1+json';
        const bytes = JSON.stringify({ schemaVersion: 2, mediaType, manifests });
        const hex = createHash('sha256').update(bytes).digest('hex');
        writeFileSync(folder.join('other-tool/blobs/sha256', hex), bytes);
        const annotations = { 'org.opencontainers.image.ref.name': subject.replace(':', '-') };
        return { mediaType, digest: `sha256:${hex}`, size: Buffer.byteLength(bytes), annotations };
      });
      writeFileSync(path, JSON.stringify({ ...index, manifests: [...index.manifests.filter(isNamed), ...entries] }));
      expect(entries).toHaveLength(3);
      // No tag is needed: only one of the entries is an image.
      await must(...whole, 'oci:other-tool', `${second.host}/other-tool:1`);
      expect(await treeOf(`${second.host}/other-tool:1`)).toEqual(await treeOf(name('app:all')));
    });

    test('what cosign keeps under tags made of a digest goes from place to place as well, and goes with the image', async () => {
      const attachment = async (digest: string, kind: string) => {
        const tag = `${digest.replace(':', '-')}.${kind}`;
        const pushed = (await must('artifact', 'push', name(`app:${tag}`), 'sbom.json', '--annotation', `for=${tag}`))
          .text;
        return [tag, pushed.trim().replace(/^.*@/, '')] as const;
      };
      const index = (await must('digest', name('app:all'))).text.trim();
      const arm = (await must('digest', '--platform', 'linux/arm64', name('app:all'))).text.trim();
      const signature = await attachment(index, 'sig');
      // The last belongs to the first.
      const attached = [signature, await attachment(arm, 'att'), await attachment(signature[1], 'sbom')];
      const way = [name('app:all'), 'oci:signed:1', 'store://signed:1', 'oci-archive:signed.tar', name('signed:1')];
      for (const [i, place] of way.slice(1).entries()) await must(...whole, way[i] ?? '', place);
      for (const [tag, digest] of attached)
        expect((await must('digest', name(`signed:${tag}`))).text.trim(), tag).toBe(digest);
      // What is there beside an image makes it no less the only one.
      expect((await must('inspect', '-f', '{{.Descriptor.digest}}', 'oci:signed')).text.trim()).toBe(index);
      expect((await must('images')).text).not.toContain('sha256-');
      await must('rmi', 'signed:1');
      expect((await must('images', '--all')).text).not.toMatch(/\.(sig|att|sbom)\b/);
    });

    test('an archive is loaded with what refers to its images, which goes with the image', async () => {
      await must(...whole, name('app:all'), 'oci-archive:carried.tar:carried:1');
      const inNew = (...args: string[]) => mustTsbuild(args, { home: folder.join('carried'), cwd: folder.path });
      expect((await inNew('load', '-q', '-i', 'carried.tar')).text).toBe('carried:1\n');
      const tree = (await inNew('tree', '--referrers', 'store://carried:1')).text.split('\n').slice(1);
      expect(tree).toEqual(await treeOf(name('app:all')));
      expect((await inNew('images')).text.split('\n')).toHaveLength(3);
      await inNew('rmi', 'carried:1');
      expect((await inNew('images', '--all')).text.split('\n')).toHaveLength(2);
      expect(JSON.parse(readFileSync(folder.join('carried/index.json'), 'utf8')).manifests).toEqual([]);
    });

    test.each([
      ['docker-archive:none.tar', 'docker-archive:none.tar does not keep'],
      ['docker-daemon:none:1', 'docker-daemon:none:1 does not keep'],
    ])('%s is no place for it, and nothing is copied', async (place, message) => {
      for (const pair of [
        ['store://any:1', place],
        [place, 'store://none:1'],
      ]) {
        const refused = await any('copy', '--referrers', ...pair);
        expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining(message)]);
      }
      expect(existsSync(folder.join('none.tar'))).toBe(false);
    });
  });

  test('says what a place cannot hold before it copies anything', async () => {
    const whole = await any('copy', '-a', name('app:all'), 'docker-archive:none.tar');
    expect([whole.code, existsSync(folder.join('none.tar'))]).toEqual([2, false]);
  });
});

test('a blob that the registry has damaged is not kept, and named', async () => {
  await must('copy', '-q', '--platform', 'linux/arm64', name('app:all'), name('hurt:1'));
  const { text } = await must('manifest', name('hurt:1'));
  const { digest } = JSON.parse(text).layers[0] as { digest: string };
  const hex = digest.slice('sha256:'.length);
  const data = `${registry.folder}/storage/docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`;
  const honest = readFileSync(data);
  writeFileSync(data, Buffer.from(honest).fill(0, 0, 1));
  try {
    const pulled = await tsbuild(['pull', name('hurt:1')], { home: folder.join('wary'), cwd: folder.path });
    expect([pulled.code, pulled.stderr]).toEqual([1, expect.stringContaining(digest)]);
    expect(existsSync(folder.join('wary/blobs/sha256', hex))).toBe(false);
  } finally {
    writeFileSync(data, honest);
  }
});

describe('an artifact', () => {
  test('is pushed and pulled with its files and their names, and is what the OCI spec asks for', async () => {
    mkdirSync(folder.join('sub'));
    writeFileSync(folder.join('sub/notes.txt'), 'notes\n');
    writeFileSync(folder.join('empty'), '');
    const { text } = await must(
      ...['artifact', 'push', name('docs:1'), 'sub/notes.txt:text/plain', 'empty', '--annotation', 'by=test'],
      ...['--artifact-type', 'application/x-docs'],
    );
    const { stdout } = await must('manifest', name('docs:1'));
    expect(text.trim()).toBe(`${name('docs:1')}@sha256:${createHash('sha256').update(stdout).digest('hex')}`);
    expect(JSON.parse(stdout.toString())).toMatchObject({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      artifactType: 'application/x-docs',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', size: 2, data: 'e30=' },
      layers: [
        { mediaType: 'text/plain', annotations: { 'org.opencontainers.image.title': 'sub/notes.txt' } },
        { mediaType: 'application/octet-stream', size: 0 },
      ],
      annotations: { by: 'test' },
    });
    expect((await must('artifact', 'pull', name('docs:1'), '-o', 'pulled')).text).toBe(
      'pulled/sub/notes.txt\npulled/empty\n',
    );
    expect(readFileSync(folder.join('pulled/sub/notes.txt'), 'utf8')).toBe('notes\n');
    expect(readdirSync(folder.join('pulled')).sort()).toEqual(['empty', 'sub']);
    const copied = await run('skopeo', [
      ...['copy', '-q', '--src-tls-verify=false', `docker://${name('docs:1')}`, `oci:${folder.join('by-skopeo')}:1`],
    ]);
    expect([copied.code, copied.stderr]).toEqual([0, '']);
    expect((await must('copy', '-q', 'oci:by-skopeo:1', name('docs:2'))).text).toBe(
      (await must('digest', name('docs:1'))).text,
    );
  });

  test.each(['../outside', '/etc/outside', 'a/../../outside', 'a//b', '', 'line\nbreak'])(
    'that calls a file %j writes nothing',
    async (title) => {
      writeFileSync(folder.join('file'), 'x');
      await must('artifact', 'push', name('base:1'), 'file');
      const manifest = JSON.parse((await must('manifest', name('base:1'))).text);
      manifest.layers[0].annotations = { 'org.opencontainers.image.title': title };
      const sent = await fetch(`${registry.url}/v2/base/manifests/hostile`, {
        method: 'PUT',
        headers: { 'content-type': manifest.mediaType },
        body: JSON.stringify(manifest),
      });
      expect(sent.status).toBe(201);
      mkdirSync(folder.join('in/there'), { recursive: true });
      const pulled = await any('artifact', 'pull', name('base:hostile'), '-o', 'in/there');
      expect([pulled.code, pulled.stderr]).toEqual([1, expect.stringContaining('[manifest-invalid]')]);
      expect([...readdirSync(folder.join('in')), ...readdirSync(folder.join('in/there'))]).toEqual(['there']);
    },
  );

  test('is told from an image and from an index', async () => {
    expect((await any('artifact', 'pull', name('app:all'))).stderr).toContain('is an index, not an artifact');
    expect((await any('artifact', 'push', name('x:1'), 'sub')).stderr).toContain('is not a regular file');
  });
});

describe('a slip', () => {
  const stderrOf = async (...args: string[]) => {
    const { code, stderr } = await any(...args);
    expect(code).not.toBe(0);
    return stderr;
  };
  const withoutNetwork = async (args: readonly string[]) => {
    const env = { HTTPS_PROXY: 'http://127.0.0.1:9' };
    const { code, stderr } = await tsbuild(args, { home: folder.join('home'), cwd: folder.path, env });
    expect(code).not.toBe(0);
    return stderr;
  };

  test.each(['pull', 'digest', 'tree'])('of a tag in %s is answered with the tags there are', async (command) => {
    await must('copy', '-q', name('app:all'), name('tagged:stable'));
    const hint = `hint: Did you mean ${name('tagged:stable')}? ${name('tagged')} has stable.\n`;
    expect(await stderrOf(command, name('tagged:stabel'))).toContain(hint);
    expect(await stderrOf(command, name('taged:stable'))).toContain(`There is no repository ${name('taged')}`);
  });

  test('of a file for an image is told of before a registry is asked', async () => {
    writeFileSync(folder.join('some.tar'), '');
    expect(await stderrOf('copy', 'some.tar', 'store://x:1')).toContain(
      'docker-archive:some.tar or oci-archive:some.tar',
    );
  });

  test.each([
    ['copy oic:layout store://x:1', 'oci:layout'],
    ['copy store://x:1 oci-archiv:./x.tar', 'oci-archive:./x.tar'],
    ['tree docker-archve:x.tar', 'docker-archive:x.tar'],
    ['inspect oic:layout', 'oci:layout'],
    ['inspect dokcer://alpine', 'docker://alpine'],
  ])('of a transport is answered with the one that was meant: %s', async (line, meant) => {
    expect(await withoutNetwork(line.split(' '))).toContain(`hint: Did you mean ${meant}? `);
  });

  test('of a transport in FROM is answered as well, and a name that is like none is left alone', async () => {
    const fails = async (base: string) => {
      writeFileSync(folder.join('Mistyped'), `FROM ${base}\n`);
      return await withoutNetwork(['-f', 'Mistyped', 'context']);
    };
    expect(await fails('oic:layout')).toContain('Did you mean oci:layout?');
    expect(await fails('alpine:3')).not.toContain('Did you mean');
  });

  test.each(['inspect', 'history', 'run'])('of an artifact for an image in %s is told of', async (command) => {
    await must('artifact', 'push', name('no-image:1'), 'context/Dockerfile');
    await must('pull', '-q', name('no-image:1'));
    expect(await stderrOf(command, name('no-image:1'))).toContain('is no image but an artifact of the type');
    expect((await must('images', name('no-image'))).text).toContain('no image');
  });
});

describe('tree', () => {
  test('shows platforms, layers, sizes and what refers to them', async () => {
    writeFileSync(folder.join('note'), 'note');
    await must('copy', '-q', '-a', name('app:all'), name('tree:1'));
    await must('artifact', 'attach', name('tree:1'), 'note', '--artifact-type', 'application/x-note');
    const { text } = await must('tree', '--referrers', '--layers', name('tree:1'));
    const [head, amd64, layer, arm64] = text.split('\n');
    expect(head).toMatch(/\/tree:1 {2}sha256:[0-9a-f]{12} {2}index of 2 manifests$/);
    expect(amd64).toMatch(/^├─ linux\/amd64 {2}sha256:[0-9a-f]{12} {2}1 layer, \d+B$/);
    expect(layer).toMatch(/^│ {2}└─ sha256:[0-9a-f]{12} {2}\d+B {2}tar\+gzip$/);
    expect(arm64).toMatch(/^├─ linux\/arm64 /);
    expect(text).toMatch(/^└─ referrer {2}sha256:[0-9a-f]{12} {2}application\/x-note, 6B$/m);
  });

  test('says which platforms of a stored index are not here', async () => {
    const elsewhere = { home: folder.join('elsewhere'), cwd: folder.path };
    await mustTsbuild(['pull', '-q', '--platform', 'linux/amd64', name('tree:1')], elsewhere);
    const { text } = await mustTsbuild(['tree', `store://${name('tree:1')}`], elsewhere);
    expect(text).toMatch(/linux\/amd64 .* 1 layer/);
    expect(text).toMatch(/linux\/arm64 {2}sha256:[0-9a-f]{12} {2}not here$/m);
  });
});

test('a credential helper that is not installed is told of, and costs only what needs a password', async () => {
  await using closed = await startRegistry({ auth: 'htpasswd' });
  mkdirSync(folder.join('desktop'));
  writeFileSync(folder.join('desktop/config.json'), '{"credsStore":"desktop-of-nobody"}');
  const finished = await tsbuild(['digest', `${closed.host}/app:1`], {
    home: folder.join('home'),
    env: { DOCKER_CONFIG: folder.join('desktop') },
  });
  expect(finished.code).toBe(1);
  expect(finished.stderr).toContain('docker-credential-desktop-of-nobody is not installed: going on without');
  expect(finished.stderr).toContain('[registry-unauthorized]');
  expect(finished.stderr).not.toContain(alice.password);
});
