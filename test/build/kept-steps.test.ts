/** `--cache-to` and `--cache-from`: what one machine (a store) did, the next one need not. */
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { mustRun } from '../support/command.ts';
import { type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';

/** Whoever runs a step again gets another image. */
const dockerfile = `
FROM base AS tool
RUN cat /proc/sys/kernel/random/uuid > /tool
FROM base AS middle
RUN cat /proc/sys/kernel/random/uuid > /middle
WORKDIR /app
FROM middle
COPY --from=tool /tool /bin/tool
COPY f /app/
RUN cat /proc/sys/kernel/random/uuid > /end
`;

let work: BuildWorkspace;
let registry: TestRegistry;
/** Stands before the registry and spoils nothing: it knows the requests. */
let proxy: FaultyProxy;
let context: string;
let machines = 0;
let firstImage: string;

beforeAll(async () => {
  work = buildWorkspace('kept-steps');
  registry = await startRegistry();
  proxy = await startFaultyProxy(registry.url, () => undefined);
  context = work.context('context', { Dockerfile: dockerfile, f: 'f\n' });
  const { image } = await elsewhere(
    `--cache-to=type=registry,ref=${proxy.host}/cache,mode=max`,
    `--cache-to=type=registry,ref=${proxy.host}/small:main`,
    `--cache-to=type=local,dest=${work.path}/dir,mode=max,compression=zstd`,
  );
  firstImage = image;
});
afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
  await work[Symbol.asyncDispose]();
});

/** A build on a machine that has never built anything; stdout is the image's ID. */
async function elsewhere(...args: string[]) {
  const home = `${work.path}/machine-${machines++}`;
  const { code, text, stderr } = await work.tryBuild(context, ['-q', ...args], { home });
  return { home, code, stderr, image: text.trim() };
}

async function progress(...args: string[]) {
  const home = `${work.path}/machine-${machines++}`;
  const { code, stderr } = await work.tryBuild(context, args, { home });
  expect(code, stderr).toBe(0);
  return { stderr, cached: stderr.match(/CACHED$/gm)?.length ?? 0 };
}

function requestsSince(before: number): string[] {
  return proxy.requests.slice(before).map(({ method, path }) => `${method} ${path}`);
}

const tagsOf = (repository: string) =>
  readdirSync(`${registry.folder}/storage/docker/registry/v2/repositories/${repository}/_manifests/tags`);

describe('steps left in a registry', () => {
  test('are not done again on the next machine, whose image is the same', async () => {
    const { image, stderr, code } = await elsewhere(`--cache-from=${proxy.host}/cache`);
    expect(code, stderr).toBe(0);
    expect(image).toBe(firstImage);
    const { cached } = await progress(`--cache-from=type=registry,ref=${proxy.host}/cache`);
    expect(cached).toBe(6);
  });

  test('are artifacts that other tools read, one tag a key', async () => {
    const tags = tagsOf('cache');
    expect(tags.length).toBeGreaterThanOrEqual(6);
    expect(tags.every((tag) => /^[0-9a-f]{64}$/.test(tag))).toBe(true);
    const { text } = await mustRun('skopeo', [
      'inspect',
      '--raw',
      '--tls-verify=false',
      `docker://${proxy.host}/cache:${tags[0]}`,
    ]);
    expect(JSON.parse(text)).toMatchObject({ artifactType: 'application/vnd.tsbuild.step.v1', layers: [{}] });
  });

  test('are with mode=min those of the image alone, under tags that begin as asked', async () => {
    const tags = tagsOf('small');
    expect(tags.every((tag) => /^main-[0-9a-f]{64}$/.test(tag))).toBe(true);
    expect(tags.length).toBeLessThan(tagsOf('cache').length);
    const { cached, stderr } = await progress(`--cache-from=${proxy.host}/small:main`);
    // The other stage is built again, so what is copied from it is another file.
    expect(stderr).toMatch(/^#(\d+) \[tool 2\/2\].*\n(?:.*\n)*?#\1 DONE/m);
    expect(cached).toBe(2);
    expect((await progress(`--cache-from=${proxy.host}/small:other`)).cached).toBe(0);
  });

  test('stay there when the image is only pushed, and are mounted into its repository', async () => {
    const name = `${proxy.host}/team/app:1`;
    const before = proxy.requests.length;
    const { home, image, stderr, code } = await elsewhere(`--cache-from=${proxy.host}/cache`, '--push', `-t${name}`);
    expect(code, stderr).toBe(0);
    expect(image).toBe(firstImage);
    const requests = requestsSince(before);
    expect(requests.filter((line) => /^POST \/v2\/team\/app\/.*[?&]from=cache(&|$)/.test(line))).toHaveLength(5);
    const { text } = await mustRun('skopeo', ['inspect', '--tls-verify=false', `docker://${name}`]);
    const { Layers: layers } = JSON.parse(text) as { readonly Layers: readonly string[] };
    const here = readdirSync(`${home}/blobs/sha256`);
    expect(layers.length).toBeGreaterThan(4);
    expect(layers.slice(1).filter((layer) => here.includes(layer.slice(7)))).toEqual([]);
    expect(requests.filter((line) => line.startsWith('GET /v2/cache/blobs/'))).toEqual([]);
    // A later command finds them.
    const archive = `${work.path}/app.tar`;
    await work.tsbuild(['save', '-o', archive, name], { home });
    expect(statSync(archive).size).toBeGreaterThan(1000);
  });

  test('that are there are not sent again', async () => {
    const before = proxy.requests.length;
    const ref = `${proxy.host}/cache`;
    const { code, stderr } = await elsewhere(`--cache-from=${ref}`, `--cache-to=type=registry,ref=${ref},mode=max`);
    expect(code, stderr).toBe(0);
    expect(requestsSince(before).filter((line) => !/^(GET|HEAD) /.test(line))).toEqual([]);
  });

  test('go from one place to another without being done', async () => {
    const folder = `${work.path}/moved`;
    const { code, stderr, image } = await elsewhere(
      `--cache-from=${proxy.host}/cache`,
      `--cache-to=type=local,dest=${folder},mode=max`,
    );
    expect(code, stderr).toBe(0);
    expect(image).toBe(firstImage);
    const again = await elsewhere(`--cache-from=type=local,src=${folder}`);
    expect(again.image, again.stderr).toBe(firstImage);
  });
});

describe('steps left in a directory', () => {
  test('are not done again on the next machine, which needs the directory no longer then', async () => {
    const copy = `${work.path}/copy`;
    await mustRun('cp', ['-r', `${work.path}/dir`, copy]);
    const { home, image, stderr } = await elsewhere(`--cache-from=type=local,src=${copy}`);
    expect(image, stderr).toBe(firstImage);
    rmSync(copy, { recursive: true });
    const again = await work.tryBuild(context, ['-q'], { home });
    expect(again.text.trim(), again.stderr).toBe(firstImage);
  });

  test('have the compression that was asked for', async () => {
    const index = JSON.parse(readFileSync(`${work.path}/dir/index.json`, 'utf8')) as {
      readonly manifests: readonly { readonly digest: string }[];
    };
    const types = index.manifests.map(({ digest }) => {
      const text = readFileSync(`${work.path}/dir/blobs/sha256/${digest.slice(7)}`, 'utf8');
      return (JSON.parse(text) as { readonly layers: readonly { readonly mediaType: string }[] }).layers[0]?.mediaType;
    });
    expect(new Set(types)).toEqual(new Set(['application/vnd.oci.image.layer.v1.tar+zstd']));
  });
});

describe('steps in an image', () => {
  test('are its own layers, which it names', async () => {
    const name = `${proxy.host}/inline:1`;
    const first = await elsewhere('--cache-to=type=inline', '--push', `-t${name}`);
    expect(first.code, first.stderr).toBe(0);
    const second = await elsewhere(`--cache-from=${name}`);
    expect(second.code, second.stderr).toBe(0);
    // The stage that is only copied from is not in the image: what it made is made again.
    const home = `${work.path}/machine-${machines++}`;
    const { stderr } = await work.tryBuild(context, [`--cache-from=${name}`, '--target=middle'], { home });
    expect(stderr.match(/CACHED$/gm), stderr).toHaveLength(2);
    const { code, stderr: said } = await work.tryBuild(
      context,
      [`--cache-from=${name}`, '--build-arg=BUILDKIT_INLINE_CACHE=1', '--push', `-t${name}-2`],
      { home },
    );
    expect(code, said).toBe(0);
    expect((await progress(`--cache-from=${name}-2`, '--target=middle')).cached).toBe(2);
  });

  test('are missed with a word when the image names none', async () => {
    const name = `${proxy.host}/plain:1`;
    await elsewhere('--push', `-t${name}`, '--target=middle');
    const { stderr, cached } = await progress(`--cache-from=${name}`, '--target=middle');
    expect(cached).toBe(0);
    expect(stderr.match(/is an image without steps: one built with --cache-to type=inline has them/g)).toHaveLength(1);
  });
});

describe('a place for steps', () => {
  test('that cannot be read is said, once, and the build goes on', async () => {
    const { stderr, cached } = await progress('--cache-from=127.0.0.1:1/cache');
    expect(stderr.match(/no steps are taken from 127\.0\.0\.1:1\/cache/g)).toHaveLength(1);
    expect(cached).toBe(0);
  });

  test('that cannot be written fails the build after the image is there, unless that may be', async () => {
    const place = '--cache-to=type=registry,ref=127.0.0.1:1/cache';
    const { home, code, stderr } = await elsewhere(place, '-tapp:1');
    expect(code).toBe(1);
    expect(stderr).toContain('127.0.0.1:1');
    expect((await work.tsbuild(['images'], { home })).text).toContain('app');
    const forgiven = await elsewhere(`${place},ignore-error=true`);
    expect(forgiven.code, forgiven.stderr).toBe(0);
  });

  test('is asked first for what comes first', async () => {
    const empty = `type=local,src=${work.path}/no-such-directory`;
    const { image, stderr } = await elsewhere(`--cache-from=${empty}`, `--cache-from=${proxy.host}/cache`);
    expect(image, stderr).toBe(firstImage);
    const fresh = await elsewhere(`--cache-from=${proxy.host}/cache`, '--no-cache');
    expect(fresh.image).not.toBe(firstImage);
  });

  test('gives nothing to a step that reads another file', async () => {
    const other = work.context('other', { Dockerfile: dockerfile, f: 'g\n' });
    const home = `${work.path}/machine-${machines++}`;
    const { code, stderr } = await work.tryBuild(other, [`--cache-from=${proxy.host}/cache`], { home });
    expect(code, stderr).toBe(0);
    expect(stderr.match(/CACHED$/gm)).toHaveLength(4);
  });
});
