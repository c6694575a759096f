/** `--cache-mount`: a cache of one machine (a store) is there on the next one. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { mustRun, run } from '../support/command.ts';
import { startRegistry } from '../support/registry.ts';

/** Adds a line to the cache, unless told not to, and shows what is there. */
const dockerfile = `
FROM base
ARG WORD=
RUN --mount=type=cache,id=things,target=/cache,uid=1000 \\
    if [ -n "$WORD" ]; then echo "$WORD" >> /cache/list; fi; \\
    [ -e /cache/link ] || { ln -s list /cache/link; mkdir -m 750 /cache/sub; touch -d @1000000000 /cache/sub/old; chown 5:6 /cache/sub/old; }; \\
    test $(stat -c %u /cache) = 1000 || exit 1; \\
    echo "[$(tr '\\n' ' ' < /cache/list)]"; stat -c '%n %a %u:%g %Y' /cache/sub /cache/sub/old | sed 's/\\(sub 750 0:0\\).*/\\1/'; readlink /cache/link
`;

let work: BuildWorkspace;
let context: string;
let machines = 0;
/** What three machines said that left their words in the same directory, one after the other. */
const said: string[] = [];
beforeAll(async () => {
  work = buildWorkspace('kept');
  context = work.context('context', { Dockerfile: dockerfile });
  for (const word of ['one', 'two', 'three']) {
    const { code, stderr } = await elsewhere(word, `--cache-mount=id=things,type=dir,path=${work.path}/dir`);
    expect(code, stderr).toBe(0);
    said.push(stderr);
  }
});
afterAll(async () => await work[Symbol.asyncDispose]());

/** A build on a machine that has never built anything. */
function elsewhere(word: string, ...args: string[]) {
  const home = `${work.path}/machine-${machines++}`;
  return work.tryBuild(context, [`--build-arg=WORD=${word}`, '--no-cache', ...args], { home });
}

const kept = (stderr: string) => /\[([a-z ]+ )\]$/m.exec(stderr)?.[1]?.trim();

describe('a directory', () => {
  test('brings a cache to the next machine with owners, modes, times and links', () => {
    const [, second = '', third = ''] = said;
    expect(kept(second), second).toBe('one two');
    expect(second).toContain('/cache/sub 750 0:0');
    expect(second).toContain('/cache/sub/old 644 5:6 1000000000');
    expect(second).toMatch(/ list$/m);
    expect(kept(third)).toBe('one two three');
  });

  test('is written only when the cache has changed, and does not grow with each change', async () => {
    const folder = `${work.path}/dir`;
    const state = () => `${statSync(`${folder}/index.json`).mtimeMs}${readFileSync(`${folder}/index.json`, 'utf8')}`;
    const before = state();
    expect(kept((await elsewhere('', `--cache-mount=id=things,path=${folder}`)).stderr)).toBe('one two three');
    expect(state()).toBe(before);
    expect(readdirSync(`${folder}/blobs/sha256`)).toHaveLength(3);
    expect((await run('grep', ['-r', 'artifactType', folder])).text).toContain('cache-mount');
  });

  test('may be only read, or only written', async () => {
    const source = `--cache-mount=id=things,src=${work.path}/dir`;
    expect(kept((await elsewhere('four', `${source},dest=${work.path}/other`)).stderr)).toBe('one two three four');
    expect(kept((await elsewhere('', source)).stderr)).toBe('one two three');
    expect(kept((await elsewhere('', `--cache-mount=id=things,src=${work.path}/other`)).stderr)).toBe(
      'one two three four',
    );
  });
});

test('a registry brings a cache to the next machine as an artifact', async () => {
  await using registry = await startRegistry();
  const name = `${registry.host}/app:cache`;
  const place = `--cache-mount=id=things,type=registry,ref=${name}`;
  const first = await elsewhere('one', place);
  expect(first.code, first.stderr).toBe(0);
  expect(kept((await elsewhere('two', place)).stderr)).toBe('one two');
  const { text } = await mustRun('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${name}`]);
  expect(JSON.parse(text)).toMatchObject({ artifactType: 'application/vnd.tsbuild.cache-mount.v1' });
  expect(kept((await elsewhere('', place)).stderr)).toBe('one two');
});

test('a namespace does not come into the ID', async () => {
  const place = `--cache-mount=id=things,path=${work.path}/namespaced`;
  const namespace = '--build-arg=BUILDKIT_CACHE_MOUNT_NS=mine';
  await elsewhere('one', place, namespace);
  expect(kept((await elsewhere('two', place, namespace)).stderr)).toBe('one two');
});

test('a cache that this machine has is used as it is', async () => {
  const home = `${work.path}/mine`;
  await work.build(context, ['--build-arg=WORD=own'], { home });
  const { stderr } = await work.build(
    context,
    ['--build-arg=WORD=more', `--cache-mount=id=things,src=${work.path}/dir`],
    { home },
  );
  expect(kept(stderr)).toBe('own more');
});

test.each(['locked', 'private'])(
  'a %s cache is not left elsewhere while another build has it',
  async (sharing) => {
    const home = `${work.path}/home-${sharing}`;
    const cache = `--mount=type=cache,id=things,target=/cache,sharing=${sharing}`;
    const signs = '--mount=type=cache,id=signs,target=/signs';
    const first = work.context(`first-${sharing}`, {
      Dockerfile: `FROM base
RUN ${cache} echo first > /cache/list
RUN ${signs} touch /signs/used; until [ -e /signs/taken ]; do sleep 0.05; done
`,
    });
    const second = work.context(`second-${sharing}`, {
      Dockerfile: `FROM base
RUN ${signs} until [ -e /signs/used ]; do sleep 0.05; done
RUN ${cache} ${signs} echo half >> /cache/list; touch /signs/taken; sleep 1; echo whole >> /cache/list
`,
    });
    const place = `path=${work.path}/dir-${sharing}`;
    await Promise.all([
      work.build(first, [`--cache-mount=id=things,${place}`], { home }),
      work.build(second, [], { home }),
    ]);
    expect(kept((await elsewhere('', `--cache-mount=id=things,${place}`)).stderr)).toBe('first half whole');
  },
  60_000,
);

test('what cannot be had is said, and the build goes on with an empty cache', async () => {
  const image = `${work.path}/image`;
  await work.build(context, ['-o', `type=oci,tar=false,dest=${image}`, '-t', 'cache-mount:1']);
  await mustRun('skopeo', ['copy', `oci:${image}:docker.io/library/cache-mount:1`, `oci:${image}:cache-mount`]);
  const { code, stderr } = await elsewhere('one', `--cache-mount=id=things,src=${image}`);
  expect(code, stderr).toBe(0);
  expect(stderr).toContain(`begins empty: ${image} holds something else than a cache mount`);
  expect(kept(stderr)).toBe('one');
});

test('a place that cannot be written to fails the build unless that is to be ignored', async () => {
  const place = '--cache-mount=id=things,type=registry,ref=127.0.0.1:1/x:y';
  const failed = await elsewhere('one', place);
  expect(failed.code).toBe(1);
  expect(failed.stderr).toContain('[registry-unreachable]');
  const ignored = await elsewhere('one', `${place},ignore-error=true`);
  expect(ignored.code, ignored.stderr).toBe(0);
  expect(ignored.stderr).toContain('was not exported');
}, 180_000);

test('an ID that no RUN has is said, with the nearest', async () => {
  const { code, stderr } = await elsewhere('x', `--cache-mount=id=thing,path=${work.path}/unused`);
  expect(code, stderr).toBe(0);
  expect(stderr).toContain('no RUN of this build has a cache mount with the ID thing; there is one with the ID things');
});

test.each([
  ['type=dir,path=x', 'has no id'],
  ['id=x', 'neither a source nor a destination'],
  ['id=x,type=s3,ref=y', 'dir, registry'],
  ['id=x,type=dir,ref=y', 'has no ref='],
  ['id=x,type=registry,path=y', 'has no path='],
  ['id=x,pth=y', 'Did you mean path?'],
  ['id=x,path=', 'has no value'],
])('--cache-mount=%s is refused', async (text, words) => {
  const { code, stderr } = await work.tryBuild(context, [`--cache-mount=${text}`]);
  expect(code).toBe(2);
  expect(stderr).toContain('[flag-invalid]');
  expect(stderr).toContain(words);
});
