import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { mustRun } from '../support/command.ts';
import { type Dockerd, dockerdMissing, startDockerd } from '../support/dockerd.ts';
import { readDockerArchive, readOciArchive } from '../support/image-files.ts';
import { requirement } from '../support/requirement.ts';
import { flatten, treeDifferences } from '../support/tree-compare.ts';

const greeter = {
  Dockerfile: `FROM base AS build
RUN echo 'built as' $(id -un) > /built
FROM layered
USER root
RUN rm -r /data/keep
COPY --from=build /built /built
COPY greet /bin/greet
USER app
WORKDIR /data
ENV GREETING=hello
ENTRYPOINT ["greet"]
CMD ["world"]
`,
  'greet*': '#!/bin/sh\necho "$GREETING $1 from $(id -un) in $PWD: $(cat /built), $(ls)"\n',
};
const greeting =
  'hello world from app in /data: built as root, link\nlinked-a\nlinked-b\nopaque\nowned\nreplaced\nsetuid\nwas-directory\nwas-file\n';

const missing = dockerdMissing();
let work: BuildWorkspace;
let context: string;

beforeAll(async () => {
  work = buildWorkspace('engines');
  context = work.context('greeter', greeter);
  await work.build(context, ['-t', 'greeter:1', '-t', 'other.example/team/greeter:2']);
});
afterAll(async () => await work[Symbol.asyncDispose]());

requirement('a docker engine', missing);

describe.skipIf(missing !== undefined)('a docker engine', () => {
  let engine: Dockerd;
  beforeAll(async () => {
    engine = await startDockerd();
  });
  afterAll(async () => await engine[Symbol.asyncDispose]());

  test('loads an archive of type=docker and runs the image', async () => {
    await work.build(context, ['-t', 'archived:1', '-o', `type=docker,dest=${work.path}/app.tar`]);
    await engine.load(`${work.path}/app.tar`);
    const { text } = await engine.docker(['run', '--rm', '--network', 'none', 'archived:1']);
    expect(text).toBe(greeting);
  });

  test('takes arguments and the environment of the image from what was loaded', async () => {
    await work.build(context, ['-t', 'arguments:1', '-o', `type=docker,dest=${work.path}/arguments.tar`]);
    await engine.load(`${work.path}/arguments.tar`);
    const { text } = await engine.docker([
      'run',
      '--rm',
      '--network',
      'none',
      '-e',
      'GREETING=good day',
      'arguments:1',
      'moon',
    ]);
    expect(text).toMatch(/^good day moon from app in \/data/);
  });

  test('is loaded into over its socket by --load, under every tag', async () => {
    await work.build(context, ['-t', 'loaded:1', '-t', 'loaded:2', '--load'], { env: { DOCKER_HOST: engine.host } });
    const { text } = await engine.docker(['image', 'inspect', '-f', '{{.Id}}', 'loaded:1', 'loaded:2']);
    const [first, second] = text.trim().split('\n');
    expect(first).toBe(second);
    const run = await engine.docker(['run', '--rm', '--network', 'none', 'loaded:2']);
    expect(run.text).toBe(greeting);
  });

  test('knows the image by the ID the build wrote', async () => {
    await work.build(context, ['-t', 'identified:1', '--load', '--iidfile', `${work.path}/iid`], {
      env: { DOCKER_HOST: engine.host },
    });
    const id = readFileSync(`${work.path}/iid`, 'utf8');
    const { text } = await engine.docker(['image', 'inspect', '-f', '{{.Id}}', 'identified:1']);
    expect(text.trim()).toBe(id.trim());
  });

  test('loads what tsbuild save wrote, and tsbuild load reads what docker save wrote', async () => {
    await work.tsbuild(['save', '-o', `${work.path}/saved.tar`, 'greeter:1']);
    await engine.load(`${work.path}/saved.tar`);
    expect((await engine.docker(['run', '--rm', '--network', 'none', 'greeter:1'])).text).toBe(greeting);
    await engine.docker(['tag', 'greeter:1', 'back:1']);
    await engine.docker(['save', '-o', `${work.path}/back.tar`, 'back:1']);
    await work.tsbuild(['load', '-i', `${work.path}/back.tar`]);
    const [built, back] = [work.image('docker.io/library/greeter:1'), work.image('docker.io/library/back:1')];
    expect(back.config.config).toEqual(built.config.config);
    expect(treeDifferences(flatten(built), flatten(back), 'docker save', { without: [] })).toEqual([]);
  });

  test('runs a base image of its own that tsbuild only added metadata to', async () => {
    const metadata = work.context('metadata', { Dockerfile: 'FROM base\nCMD ["echo", "only metadata"]\n' });
    await work.build(metadata, ['-t', 'metadata:1', '--load'], { env: { DOCKER_HOST: engine.host } });
    const { text } = await engine.docker(['run', '--rm', '--network', 'none', 'metadata:1']);
    expect(text).toBe('only metadata\n');
  });
});

describe('the store', () => {
  test('is an OCI layout skopeo reads, images by their digest and layers verified', async () => {
    await mustRun('skopeo', ['copy', `oci:${work.home}:${await refName('greeter:1')}`, `dir:${work.path}/skopeo`]);
    const { text } = await mustRun('skopeo', ['inspect', '--config', `dir:${work.path}/skopeo`]);
    expect(JSON.parse(text).config.Entrypoint).toEqual(['greet']);
  });

  test('is an OCI layout umoci unpacks to the tree that was built', async () => {
    const bundle = `${work.path}/bundle`;
    await mustRun('umoci', ['unpack', '--image', `${work.home}:${await refName('greeter:1')}`, bundle]);
    const { text } = await mustRun('sh', ['-c', 'ls data && cat built && stat -c "%a %u:%g" data/owned'], {
      cwd: `${bundle}/rootfs`,
    });
    expect(text).toBe(
      'link\nlinked-a\nlinked-b\nopaque\nowned\nreplaced\nsetuid\nwas-directory\nwas-file\nbuilt as root\n640 1000:2000\n',
    );
  });

  async function refName(name: string): Promise<string> {
    const index = JSON.parse(readFileSync(`${work.home}/index.json`, 'utf8')) as {
      manifests: { annotations?: Record<string, string> }[];
    };
    const refs = index.manifests.map(({ annotations }) => annotations?.['org.opencontainers.image.ref.name'] ?? '');
    return refs.find((ref) => ref === name || ref.endsWith(`/${name}`) || ref === name.split(':')[1]) ?? name;
  }
});

describe('an archive', () => {
  test('of type=oci is a layout skopeo reads, with gzip layers of the claimed digests', async () => {
    const archive = `${work.path}/oci.tar`;
    await work.build(context, ['-t', 'archived:2', '-o', `type=oci,dest=${archive}`]);
    const image = readOciArchive(readFileSync(archive));
    expect(image.manifest?.layers.at(-1)?.mediaType).toBe('application/vnd.oci.image.layer.v1.tar+gzip');
    const { text } = await mustRun('skopeo', ['inspect', `oci-archive:${archive}`]);
    expect(JSON.parse(text).Layers).toEqual(image.manifest?.layers.map(({ digest }) => digest));
  });

  test('of type=docker and type=oci hold the same image', async () => {
    await work.build(context, ['-t', 'same:1', '-o', `type=oci,dest=${work.path}/a.tar`]);
    await work.build(context, ['-t', 'same:1', '-o', `type=docker,dest=${work.path}/b.tar`]);
    const [oci, docker] = [readFileSync(`${work.path}/a.tar`), readFileSync(`${work.path}/b.tar`)];
    expect(readDockerArchive(docker).config.rootfs).toEqual(readOciArchive(oci).config.rootfs);
  });

  test('of type=tar and a directory of type=local are the flattened tree', async () => {
    const only = work.context('only', { Dockerfile: 'FROM scratch\nCOPY a b /x/\n', a: 'a\n', b: 'b\n' });
    await work.build(only, ['-o', `type=tar,dest=${work.path}/tree.tar`]);
    await work.build(only, ['-o', `type=local,dest=${work.path}/tree`]);
    const { text } = await mustRun('tar', ['-tf', `${work.path}/tree.tar`]);
    expect(
      text
        .split('\n')
        .filter(Boolean)
        .map((line) => line.replace(/^\.\/|\/$/g, ''))
        .filter(Boolean),
    ).toEqual(['x', 'x/a', 'x/b']);
    expect(readFileSync(`${work.path}/tree/x/b`, 'utf8')).toBe('b\n');
  });
});
