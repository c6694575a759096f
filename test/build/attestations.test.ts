/** Provenance of an image: what it says, where it stands, and that the image itself does not notice. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pullAttested, readAttested, type Statement } from '../support/attested-images.ts';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { mustRun } from '../support/command.ts';
import type { WebServer } from '../support/context-server.ts';
import { readOciLayout, sha256 } from '../support/image-files.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { makeRepository, type ServedRepository, serveFolder, writeFiles } from '../support/source-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

let work: BuildWorkspace;
let registry: TestRegistry;

beforeAll(async () => {
  work = buildWorkspace('attestations');
  registry = await startRegistry();
});
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await work?.[Symbol.asyncDispose]();
});

const platform = `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`;
const dockerfile = [
  'FROM base AS build',
  'ARG WORD=none',
  'RUN --network=none --mount=type=secret,id=canary,env=CANARY --mount=type=ssh,required=false echo $WORD > /made',
  'FROM layered',
  'COPY --from=build /made /made',
  'COPY <<EOF /here',
  'text',
  'EOF',
  '',
].join('\n');

function only<T>(items: readonly T[]): T {
  expect(items).toHaveLength(1);
  return items[0] as T;
}

/** The one statement about the one image of a name in the store. */
function statementOf(name: string, home = work.home): Statement {
  return only(only(readAttested(home, name).attestations).statements);
}

describe('provenance', () => {
  const canary = 'canary-77f0c2';
  let context: string;
  const env = { CANARY: canary };

  beforeAll(async () => {
    context = work.context('app', { Dockerfile: dockerfile });
    const secret = ['--secret', 'id=canary,env=CANARY', '--build-arg', 'WORD=spoken', '--label', 'key=value'];
    await work.build(context, ['-t', 'app:plain', ...secret], { env });
    await work.build(
      context,
      ['-t', 'app:min', '-t', 'host.example:5000/x/app:2', ...secret, '--provenance=mode=min'],
      {
        env,
      },
    );
    await work.build(context, ['-t', 'app:max', ...secret, '--provenance=true'], { env });
  });

  test('stands in an index beside an image that is the same bytes without it', () => {
    const { images, attestations, digest } = readAttested(work.home, 'docker.io/library/app:min');
    const image = only(images);
    const plain = readFileSync(`${work.home}/index.json`, 'utf8');
    expect(plain).toContain(image.entry.digest);
    expect(image.entry.digest).not.toBe(digest);
    expect(`${image.entry.platform?.os}/${image.entry.platform?.architecture}`).toBe(platform);
    const { entry, manifest } = only(attestations);
    expect(entry.platform).toEqual({ os: 'unknown', architecture: 'unknown' });
    expect(entry.annotations).toEqual({
      'vnd.docker.reference.type': 'attestation-manifest',
      'vnd.docker.reference.digest': image.entry.digest,
    });
    expect(manifest).toMatchObject({
      artifactType: 'application/vnd.docker.attestation.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', size: 2, data: 'e30=' },
      subject: { digest: image.entry.digest, size: image.entry.size, mediaType: image.entry.mediaType },
    });
    expect(only(manifest.layers)).toMatchObject({
      mediaType: 'application/vnd.in-toto+json',
      annotations: { 'in-toto.io/predicate-type': 'https://slsa.dev/provenance/v1' },
    });
  });

  test('is about the image under each of its names', () => {
    const { images } = readAttested(work.home, 'docker.io/library/app:min');
    const digest = { sha256: only(images).entry.digest.slice('sha256:'.length) };
    const query = `?platform=${encodeURIComponent(platform)}`;
    expect(statementOf('docker.io/library/app:min')).toMatchObject({
      _type: 'https://in-toto.io/Statement/v1',
      predicateType: 'https://slsa.dev/provenance/v1',
      subject: [
        { name: `pkg:docker/app@min${query}`, digest },
        { name: `pkg:docker/host.example%3A5000/x/app@2${query}`, digest },
      ],
    });
  });

  test('says with mode=min what was read and when, and nothing of arguments, labels and secrets', () => {
    const { predicate } = statementOf('docker.io/library/app:min');
    const { metadata } = predicate.runDetails;
    expect(predicate).toEqual({
      buildDefinition: {
        buildType: 'https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md',
        externalParameters: {
          configSource: { path: 'Dockerfile' },
          request: {
            frontend: 'dockerfile.v0',
            args: {
              'context:base': 'oci-layout://bases:base',
              'context:layered': 'oci-layout://bases:layered',
              'context:onbuild': 'oci-layout://bases:onbuild',
            },
            locals: [{ name: 'context' }, { name: 'dockerfile' }],
          },
        },
        internalParameters: { builderPlatform: platform },
        resolvedDependencies: ['base', 'layered'].map((name) => ({
          uri: `pkg:oci/bases@${name}?platform=${encodeURIComponent(platform)}`,
          digest: { sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
        })),
      },
      runDetails: {
        builder: { id: '', version: { tsbuild: expect.any(String) } },
        metadata: {
          invocationId: expect.stringMatching(/^[0-9a-z]{25}$/),
          startedOn: expect.any(String),
          finishedOn: expect.any(String),
          buildkit_metadata: {},
          buildkit_completeness: { request: false, resolvedDependencies: false },
        },
      },
    });
    expect(Date.now() - Date.parse(metadata.finishedOn)).toBeLessThan(600_000);
    expect(Date.parse(metadata.finishedOn)).toBeGreaterThanOrEqual(Date.parse(metadata.startedOn));
  });

  test('says with mode=max which steps made which layers, and of secrets the IDs', () => {
    const { images } = readAttested(work.home, 'docker.io/library/app:max');
    const { predicate } = statementOf('docker.io/library/app:max');
    const { request } = predicate.buildDefinition.externalParameters;
    expect(request).toMatchObject({
      args: { 'build-arg:WORD': 'spoken', 'label:key': 'value' },
      secrets: [{ id: 'canary', optional: true }],
      ssh: [{ id: 'default', optional: true }],
    });
    const steps = predicate.buildDefinition.internalParameters.buildConfig.llbDefinition;
    const command = steps.find((step: { op: { Op: { exec?: object } } }) => step.op.Op.exec);
    expect(command.op.Op.exec).toMatchObject({
      meta: { args: ['/bin/sh', '-c', 'echo $WORD > /made'], env: ['PATH=/bin', 'WORD=spoken'], cwd: '/' },
      network: 2,
      secretenv: [{ ID: 'canary', name: 'CANARY', optional: true }],
    });
    expect(command.inputs).toEqual(['step0:0']);
    expect(steps.at(-1)).toEqual({
      id: `step${steps.length - 1}`,
      op: { Op: {} },
      inputs: [`step${steps.length - 2}:0`],
    });
    const { source, layers } = predicate.runDetails.metadata.buildkit_metadata;
    expect(Buffer.from(source.infos[0].data, 'base64').toString()).toBe(dockerfile);
    expect(source.locations[command.id]).toEqual({
      locations: [{ ranges: [{ start: { line: 3 }, end: { line: 3 } }] }],
    });
    const chain = layers[`step${steps.length - 2}:0`][0];
    expect(chain.map((layer: { digest: string }) => layer.digest)).toEqual(
      only(images).manifest.layers.map(({ digest }) => digest),
    );
  });

  test('never has the value of a secret, in no file of the store', async () => {
    const { code } = await work.tryBuild(context, ['--provenance=mode=max', '--secret', 'id=canary,env=CANARY'], {
      env,
    });
    expect(code).toBe(0);
    expect(() => execFileSync('grep', ['-rqF', canary, work.home])).toThrow();
    expect(execFileSync('grep', ['-rlF', 'build-arg:WORD', `${work.home}/blobs`]).toString()).not.toBe('');
  });

  test('is taken along to a registry, where it is about the compressed image', async () => {
    const name = `${registry.host}/team/attested:1`;
    await work.build(context, [
      '-t',
      name,
      '--provenance=mode=max',
      '--push',
      '--metadata-file',
      `${work.path}/m.json`,
    ]);
    const pushed = await pullAttested(name, `${work.path}/back`);
    const image = only(pushed.images);
    expect(image.manifest.layers.every(({ mediaType }) => mediaType.endsWith('gzip'))).toBe(true);
    const { entry, manifest, statements } = only(pushed.attestations);
    expect(entry.annotations?.['vnd.docker.reference.digest']).toBe(image.entry.digest);
    expect(manifest.subject?.digest).toBe(image.entry.digest);
    const statement = only(statements);
    expect(statement.subject).toEqual([
      {
        name: `pkg:docker/${encodeURIComponent(registry.host)}/team/attested@1?platform=${encodeURIComponent(platform)}`,
        digest: { sha256: image.entry.digest.slice('sha256:'.length) },
      },
    ]);
    const chains: { digest: string; size: number }[][][] = Object.values(
      statement.predicate.runDetails.metadata.buildkit_metadata.layers,
    );
    expect(chains.map(([chain = []]) => chain.map(({ digest }) => digest))).toContainEqual(
      image.manifest.layers.map(({ digest }) => digest),
    );
    const metadata = JSON.parse(readFileSync(`${work.path}/m.json`, 'utf8'));
    expect(metadata['containerimage.digest']).toBe(pushed.digest);
    expect(metadata['containerimage.config.digest']).toBeUndefined();
    expect(metadata['buildx.build.provenance']).toMatchObject({
      buildType: 'https://mobyproject.org/buildkit@v1',
      invocation: { configSource: { entryPoint: 'Dockerfile' } },
    });
  });

  test('does not stand in the way of who pulls the image by its platform, or builds on it', async () => {
    const name = `${registry.host}/team/pulled:1`;
    await work.build(context, ['-t', name, '--provenance=mode=max', '--push']);
    const plain = readOciLayout(work.home, 'docker.io/library/app:plain').config.rootfs;
    await mustRun('skopeo', ['copy', '-q', '--src-tls-verify=false', `docker://${name}`, `oci:${work.path}/one:1`]);
    expect(readOciLayout(`${work.path}/one`, '1').config.rootfs.diff_ids).toHaveLength(plain.diff_ids.length);
    const home = `${work.path}/elsewhere`;
    await work.tsbuild(['pull', '-q', name], { home });
    expect((await work.tsbuild(['run', name, 'cat', '/made'], { home })).text).toBe('none\n');
    const fields = '{{.Provenance.SLSA.buildDefinition.externalParameters.request.frontend}} {{.SBOM}}';
    const inspected = await work.tsbuild(['inspect', '-f', fields, `docker://${name}`], { home });
    expect(inspected.text).toMatch(/^dockerfile\.v0 /);
    const child = work.context('child', { Dockerfile: `FROM ${name}\nUSER root\nRUN cat /made > /child\n` });
    await work.build(child, ['-t', 'child', '--provenance=mode=min'], { home });
    const { resolvedDependencies } = statementOf('docker.io/library/child:latest', home).predicate.buildDefinition;
    const { text } = await mustRun('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${name}`]);
    expect(only(resolvedDependencies)).toEqual({
      uri: `pkg:docker/${encodeURIComponent(registry.host)}/team/pulled@1?platform=${encodeURIComponent(platform)}`,
      digest: { sha256: sha256(text).slice('sha256:'.length) },
    });
  });

  test('is the same bytes again with SOURCE_DATE_EPOCH', async () => {
    const copied = work.context('copied', { Dockerfile: 'FROM base\nCOPY Dockerfile /\n' });
    const again = async (home: string) => {
      const { text } = await work.build(copied, ['-q', '--provenance=mode=max'], {
        home: `${work.path}/${home}`,
        env: { SOURCE_DATE_EPOCH: '1234567890' },
      });
      return text;
    };
    const [one, two] = [await again('epoch-one'), await again('epoch-two')];
    expect(one).toBe(two);
    const index = readAttested(`${work.path}/epoch-one`);
    expect(one.trim()).toBe(index.digest);
    expect(only(only(index.attestations).statements).predicate.runDetails.metadata).toMatchObject({
      startedOn: '2009-02-13T23:31:30Z',
      finishedOn: '2009-02-13T23:31:30Z',
    });
  });

  test('is in the older form with version=v0.2', async () => {
    const options = 'mode=max,version=v0.2,builder-id=https://ci.example/7,reproducible=true';
    await work.build(context, ['-t', 'app:old', '--attest', `type=provenance,${options}`]);
    const { predicateType, predicate } = statementOf('docker.io/library/app:old');
    expect(predicateType).toBe('https://slsa.dev/provenance/v0.2');
    expect(Object.keys(predicate)).toEqual([
      'builder',
      'buildType',
      'materials',
      'invocation',
      'buildConfig',
      'metadata',
    ]);
    expect(predicate).toMatchObject({
      builder: { id: 'https://ci.example/7' },
      invocation: { environment: { platform } },
      metadata: {
        completeness: { parameters: true, environment: true, materials: false },
        reproducible: true,
        'https://mobyproject.org/buildkit@v1#metadata': { source: {}, layers: {} },
      },
    });
  });

  test('is a file beside the files of -o type=local and type=tar, about each of them', async () => {
    const out = `${work.path}/out`;
    await work.build(context, ['-o', out, '--provenance=mode=min']);
    const statement: Statement = JSON.parse(readFileSync(`${out}/provenance.json`, 'utf8'));
    const made = statement.subject.find(({ name }) => name === 'made');
    expect(made?.digest).toEqual({ sha256: sha256('none\n').slice('sha256:'.length) });
    expect(statement.subject.map(({ name }) => name)).not.toContain('provenance.json');
    const named = ['-o', `type=tar,dest=${out}.tar,attestation-prefix=p-`, '--provenance=filename=from.json'];
    await work.build(context, named);
    expect((await mustRun('tar', ['-xOf', `${out}.tar`, 'p-from.json'])).text).toContain('"name": "made"');
    await work.build(context, ['-o', `type=tar,dest=${out}.tar`, '--provenance=inline-only=true']);
    expect((await mustRun('tar', ['-tf', `${out}.tar`])).text).not.toContain('provenance');
  });

  test('goes into an OCI layout, in the form asked for, unless it is for images alone', async () => {
    const layout = (name: string) => `type=oci,tar=false,dest=${work.path}/${name}`;
    await work.build(context, ['-o', layout('artifact'), '--provenance=mode=min']);
    expect(only(readAttested(`${work.path}/artifact`).attestations).manifest.artifactType).toBeDefined();
    await work.build(context, ['-o', `${layout('legacy')},oci-artifact=false`, '--provenance=mode=min']);
    const { manifest } = only(readAttested(`${work.path}/legacy`).attestations);
    expect(manifest.artifactType).toBeUndefined();
    expect(manifest.subject).toBeUndefined();
    const config = JSON.parse(
      readFileSync(`${work.path}/legacy/blobs/${manifest.config.digest.replace(':', '/')}`, 'utf8'),
    );
    expect(config).toMatchObject({ os: 'unknown', rootfs: { diff_ids: [only(manifest.layers).digest] } });
    await work.build(context, ['-o', layout('bare'), '--provenance=inline-only=true']);
    expect(readAttested(`${work.path}/bare`)).toMatchObject({ images: [], attestations: [] });
  });

  test('of several platforms there is one for each, of one build', async () => {
    const plain = work.context('platforms', { Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' });
    const out = `${work.path}/platforms-out`;
    const platforms = ['--platform', 'linux/amd64,linux/arm/v7'];
    await work.build(plain, [
      '-t',
      'both',
      ...platforms,
      '--provenance=mode=max',
      '-o',
      out,
      '--metadata-file',
      `${out}.json`,
    ]);
    const { images, attestations } = readAttested(work.home, 'docker.io/library/both:latest');
    expect(attestations.map(({ entry }) => entry.annotations?.['vnd.docker.reference.digest'])).toEqual(
      images.map(({ entry }) => entry.digest),
    );
    const names = attestations.map(({ statements }) => only(only(statements).subject).name);
    expect(names).toEqual(['linux%2Famd64', 'linux%2Farm%2Fv7'].map((one) => `pkg:docker/both@latest?platform=${one}`));
    const ids = attestations.map(({ statements }) => only(statements).predicate.runDetails.metadata.invocationId);
    expect(new Set(ids).size).toBe(1);
    expect(only(attestations[1]?.statements ?? []).predicate.runDetails.metadata.buildkit_hermetic).toBeUndefined();
    expect(readFileSync(`${out}/linux_arm_v7/provenance.json`, 'utf8')).toContain('"Variant": "v7"');
    expect(Object.keys(JSON.parse(readFileSync(`${out}.json`, 'utf8')))).toContain(
      'buildx.build.provenance/linux/arm/v7',
    );
  });

  test('stays with the image when the store is looked through, saved, named anew and pruned', async () => {
    const home = `${work.path}/kept`;
    await work.build(context, ['-t', 'kept:1', '--provenance=mode=max', '--iidfile', `${work.path}/iid`], { home });
    const before = readAttested(home, 'docker.io/library/kept:1');
    expect(readFileSync(`${work.path}/iid`, 'utf8')).toBe(before.digest);
    await work.tsbuild(['tag', 'kept:1', 'kept:2'], { home });
    await work.tsbuild(['rmi', 'kept:1'], { home });
    await work.tsbuild(['prune', '--all', '--force'], { home });
    expect((await work.tsbuild(['store', 'check'], { home })).code).toBe(0);
    expect(readAttested(home, 'docker.io/library/kept:2')).toEqual(before);
    expect((await work.tsbuild(['run', 'kept:2', 'cat', '/made'], { home })).text).toBe('none\n');
    expect((await work.tsbuild(['images', '-q', '--no-trunc'], { home })).text.trim().split('\n')).toHaveLength(1);
    await work.tsbuild(['rmi', 'kept:2'], { home });
    await work.tsbuild(['prune', '--all', '--force'], { home });
    expect(() => execFileSync('grep', ['-rqF', 'in-toto', `${home}/blobs`], { stdio: 'ignore' })).toThrow();
  });
});

describe('sources from elsewhere', () => {
  let server: WebServer;
  let repository: ServedRepository;
  const folder = temporaryFolder('attested-sources', 0o755);

  beforeAll(async () => {
    mkdirSync(folder.join('served'));
    repository = makeRepository(folder, folder.join('served'), 'r.git', {
      Dockerfile: 'FROM scratch\nARG AT\nADD $AT/remote.txt /\nADD $AT/r.git#v1 /r/\n',
    });
    writeFiles(folder.join('served'), { 'remote.txt': 'remote\n' });
    server = await serveFolder(folder.join('served'));
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  test('are named with their digests, and nothing was read that nobody else can have', async () => {
    const url = new URL(server.url);
    const withUser = `http://user:pass-4711@${url.host}`;
    const context = `${withUser}/r.git#main`;
    await work.build(context, [
      '-t',
      'remote',
      '--build-arg',
      `AT=${withUser}`,
      '--provenance=mode=max,complete-materials=true',
    ]);
    const { predicate } = statementOf('docker.io/library/remote:latest');
    const commit = { sha1: repository.commit };
    const configSource = { uri: `${server.url}/r.git#main`, digest: commit, path: 'Dockerfile' };
    expect(predicate.buildDefinition.externalParameters.configSource).toEqual(configSource);
    expect(predicate.buildDefinition.resolvedDependencies).toEqual([
      { uri: `${server.url}/r.git#main`, digest: commit },
      { uri: `${server.url}/r.git#v1`, digest: commit },
      { uri: `${server.url}/remote.txt`, digest: { sha256: sha256('remote\n').slice('sha256:'.length) } },
    ]);
    expect(predicate.runDetails.metadata).toMatchObject({
      buildkit_hermetic: true,
      buildkit_completeness: { request: true, resolvedDependencies: true },
    });
    expect(JSON.stringify(predicate)).not.toContain('pass-4711');
  });
});

test('a base that goes by its ID is named by its digest', async () => {
  const context = work.context('by-id', { Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' });
  const id = (await work.build(context, ['-q'])).text.trim();
  const child = work.context('on-id', { Dockerfile: `FROM named\nLABEL a=b\n` });
  await work.build(child, ['-t', 'on-id', '--build-context', `named=store://${id}`, '--provenance=true']);
  const { predicate } = statementOf('docker.io/library/on-id:latest');
  const { uri, digest } = only(predicate.buildDefinition.resolvedDependencies) as {
    uri: string;
    digest: { sha256: string };
  };
  expect(uri).toBe(`pkg:oci/image?digest=sha256:${digest.sha256}&platform=${encodeURIComponent(platform)}`);
});

describe('the work tree a context lies in', () => {
  const place = temporaryFolder('attested-work-tree', 0o755);
  const git = (cwd: string, ...args: string[]) =>
    execFileSync('git', ['-C', cwd, ...args], { encoding: 'utf8' }).trim();
  const vcsOf = async (context: string, env: Record<string, string> = {}) => {
    await work.build(context, ['-t', 'vcs', '--provenance=mode=min'], { env });
    return statementOf('docker.io/library/vcs:latest').predicate.runDetails.metadata.buildkit_metadata.vcs;
  };
  let commit: string;

  beforeAll(() => {
    const files = { 'app/Dockerfile': 'FROM scratch\nCOPY Dockerfile /\n' };
    commit = makeRepository(place, place.path, 'bare.git', files).commit;
    git(place.join('work-bare.git'), 'remote', 'add', 'origin', 'https://user:pass-0815@git.example/a/b.git');
  });
  afterAll(async () => {
    await place[Symbol.asyncDispose]();
  });

  test('is told with the address and the commit that is checked out', async () => {
    const told = { 'localdir:context': 'app', 'localdir:dockerfile': 'app', source: 'https://git.example/a/b.git' };
    const repository = place.join('work-bare.git');
    expect(await vcsOf(`${repository}/app`)).toEqual({ ...told, revision: commit });
    git(repository, 'pack-refs', '--all');
    git(repository, 'worktree', 'add', '-q', place.join('second'), 'next');
    const revision = git(repository, 'rev-parse', 'next');
    expect(await vcsOf(`${place.path}/second/app`)).toEqual({ ...told, revision });
  });

  test('is not told without one, nor when it is not to be', async () => {
    expect(await vcsOf(`${place.join('work-bare.git')}/app`, { BUILDX_GIT_INFO: 'false' })).toBeUndefined();
    const other = work.context('no-git', { Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' });
    expect(await vcsOf(other)).toBeUndefined();
    // A link to a secret of the machine, where a branch should be.
    mkdirSync(`${other}/.git`);
    writeFileSync(`${other}/.git/HEAD`, 'ref: refs/heads/../../../secret\n');
    expect(await vcsOf(other)).toEqual({ 'localdir:context': '.', 'localdir:dockerfile': '.' });
  });
});

describe('what cannot be attested', () => {
  test.each([
    [['-o', 'type=docker,dest=x.tar'], 'a docker archive holds one image and no attestations'],
    [['-o', 'type=image,push=true,name=x.example/a,oci-mediatypes=false'], "Docker's media types have none"],
  ])('%s is refused before anything is built', async (output, message) => {
    const context = work.context('refused', { Dockerfile: 'FROM base\nRUN echo ran\n' });
    const { code, stderr } = await work.tryBuild(context, ['--provenance=true', ...output]);
    expect(code).toBe(1);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('RUN echo');
  });

  test('a build that needs local sources is refused with complete-materials', async () => {
    const context = work.context('incomplete', { Dockerfile: 'FROM scratch\nCOPY Dockerfile /\n' });
    const { code, stderr } = await work.tryBuild(context, ['--provenance=complete-materials=true']);
    expect(code).toBe(1);
    expect(stderr).toContain('nobody else can have context, dockerfile again: local sources [attestation-failed]');
    expect(stderr).not.toContain('COPY');
  });
});
