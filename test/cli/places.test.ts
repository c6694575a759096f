import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
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

  test('brings an index with what refers to it to a directory and back, byte for byte', async () => {
    writeFileSync(folder.join('sbom.json'), '{"made":"up"}');
    await must('artifact', 'attach', name('app:all'), 'sbom.json', '--artifact-type', 'application/spdx+json');
    const attach = ['artifact', 'attach', '--platform', 'linux/arm64', name('app:all'), 'sbom.json'];
    await must(...attach, '--artifact-type', 'application/x-sig');
    await must('copy', '-q', '-a', '--referrers', name('app:all'), 'oci:whole:1');
    await must('copy', '-q', '-a', '--referrers', 'oci:whole:1', name('again:1'));
    expect((await must('digest', name('again:1'))).text).toBe((await must('digest', name('app:all'))).text);
    for (const platform of [[], ['--platform', 'linux/arm64']]) {
      expect((await must('referrers', ...platform, name('again:1'))).text).toBe(
        (await must('referrers', ...platform, name('app:all'))).text,
      );
    }
    expect((await must('referrers', '--platform', 'linux/arm64', name('again:1'))).text).toContain('application/x-sig');
  });

  test('says what a place cannot hold before it copies anything', async () => {
    const whole = await any('copy', '-a', name('app:all'), 'docker-archive:none.tar');
    expect([whole.code, existsSync(folder.join('none.tar'))]).toEqual([2, false]);
    expect((await any('copy', '--referrers', name('app:all'), 'store://none:1')).stderr).toContain('does not keep');
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
