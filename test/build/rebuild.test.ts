import { readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { readOciArchive, sha256 } from '../support/image-files.ts';
import { flatten } from '../support/tree-compare.ts';

let work: BuildWorkspace;
beforeAll(() => {
  work = buildWorkspace('rebuild');
});
afterAll(async () => await work[Symbol.asyncDispose]());

const app = {
  Dockerfile: `FROM base AS build
ARG VERSION=1
COPY src /src
RUN cat /src/* > /out && date +%s%N > /when
FROM base
WORKDIR /app
COPY --from=build /out /when ./
COPY doc ./doc
RUN date +%s%N > /last
CMD ["cat", "out"]
`,
  'src/a': 'a\n',
  'src/b': 'b\n',
  'doc/readme': 'read me\n',
};

/** The steps a plain log calls cached, and those it does not. */
function steps(log: string): { cached: number; ran: string[] } {
  const titles = new Map(
    [...log.matchAll(/^#(\d+) (\[.*\] (?:RUN|COPY|ADD|WORKDIR) .*)$/gm)].map(([, id, title]) => [id, title]),
  );
  const cached = new Set([...log.matchAll(/^#(\d+) CACHED/gm)].map(([, id]) => id));
  const ran = [...titles].filter(([id]) => !cached.has(id)).map(([, title]) => title ?? '');
  return { cached: titles.size - ran.length, ran };
}

test('an unchanged rebuild runs nothing and gives the same image', async () => {
  const context = work.context('unchanged', app);
  await work.build(context, ['-t', 'unchanged:1']);
  const first = work.image('docker.io/library/unchanged:1');
  const again = await work.build(context, ['-t', 'unchanged:1']);
  expect(steps(again.stderr).ran).toEqual([]);
  expect(steps(again.stderr).cached).toBe(6);
  expect(work.image('docker.io/library/unchanged:1').config.rootfs).toEqual(first.config.rootfs);
});

test('a new time on a file changes nothing, new content only what depends on it', async () => {
  const context = work.context('touched', app);
  await work.build(context, ['-t', 'touched:1']);
  utimesSync(`${context}/src/a`, new Date(), new Date());
  expect(steps((await work.build(context)).stderr).ran).toEqual([]);
  writeFileSync(`${context}/doc/readme`, 'read me again\n');
  const { ran } = steps((await work.build(context)).stderr);
  expect(ran.map((title) => title.replace(/^\[.*?\] /, ''))).toEqual(['COPY doc ./doc', 'RUN date +%s%N > /last']);
});

test('--no-cache runs everything, --no-cache-filter one stage', async () => {
  const context = work.context('forced', app);
  await work.build(context, ['-t', 'forced:1']);
  const once = await work.build(context, ['-t', 'forced:2', '--no-cache']);
  expect(steps(once.stderr).cached).toBe(0);
  const when = (name: string) => flatten(work.image(`docker.io/library/${name}`)).get('last')?.text;
  expect(when('forced:2')).not.toBe(when('forced:1'));
  const filtered = steps((await work.build(context, ['--no-cache-filter', 'build'])).stderr);
  expect(filtered.ran.some((title) => title.includes('cat /src/*'))).toBe(true);
});

test('a build argument misses the cache where its ARG is used, not before', async () => {
  const context = work.context('argument', app);
  await work.build(context);
  const { ran } = steps((await work.build(context, ['--build-arg', 'VERSION=2'])).stderr);
  expect(ran.some((title) => title.includes('cat /src/*'))).toBe(true);
  expect(ran.some((title) => title.includes('COPY src /src'))).toBe(false);
});

test('the same build into two empty stores with SOURCE_DATE_EPOCH gives one digest', async () => {
  const context = work.context('reproducible', {
    Dockerfile: 'FROM layered\nCOPY src /src\nWORKDIR /made/here\nENV a=b\nLABEL c=d\nCMD ["x"]\n',
    'src/a': 'a\n',
    'src/deep/b': 'b\n',
  });
  const digests = [];
  for (const store of ['one', 'two']) {
    await work.build(
      context,
      ['-t', 'same:1', '-o', `type=oci,dest=${work.path}/${store}.tar,rewrite-timestamp=true`],
      {
        home: `${work.path}/${store}`,
        env: { SOURCE_DATE_EPOCH: '1700000000' },
      },
    );
    const image = work.image('docker.io/library/same:1', `${work.path}/${store}`);
    expect(Date.parse(image.config.created ?? '')).toBe(1_700_000_000_000);
    digests.push(sha256(JSON.stringify(image.manifest)));
  }
  expect(digests[0]).toBe(digests[1]);
});

test('rewrite-timestamp clamps the times of new layers and leaves the base alone', async () => {
  const context = work.context('clamped', {
    Dockerfile: 'FROM base\nCOPY new old /\nRUN touch /made\n',
    new: 'n\n',
    old: 'o\n',
  });
  utimesSync(`${context}/old`, 1_500_000_000, 1_500_000_000);
  const archive = `${work.path}/clamped.tar`;
  await work.build(context, ['-o', `type=oci,dest=${archive},rewrite-timestamp=true`], {
    env: { SOURCE_DATE_EPOCH: '1700000000' },
  });
  const tree = flatten(readOciArchive(readFileSync(archive)));
  const times = ['new', 'made', 'old', 'bin/busybox'].map((path) => tree.get(path)?.mtime);
  expect(times).toEqual([1_700_000_000, 1_700_000_000, 1_500_000_000, 1_577_934_245]);
});

test('two processes that build the same at once both succeed', async () => {
  const context = work.context('at-once', app);
  const home = `${work.path}/shared`;
  await Promise.all([1, 2, 3].map((n) => work.build(context, ['-t', `at-once:${n}`], { home })));
  for (const n of [1, 2, 3]) {
    expect(flatten(work.image(`docker.io/library/at-once:${n}`, home)).get('app/out')?.text).toBe('a\nb\n');
  }
});
