import { existsSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { mustRun } from '../support/command.ts';
import { type SeenRequest, startFaultyProxy } from '../support/faulty-proxy.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { flatten, treeDifferences } from '../support/tree-compare.ts';

let work: BuildWorkspace;
let registry: TestRegistry;

beforeAll(async () => {
  work = buildWorkspace('push');
  registry = await startRegistry();
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await work[Symbol.asyncDispose]();
});

const dockerfile = 'FROM layered\nUSER root\nRUN echo pushed > /pushed\nCOPY file /file\nCMD ["cat", "/pushed"]\n';

test('--push puts the image into a registry, and another store pulls the same image', async () => {
  const context = work.context('app', { Dockerfile: dockerfile, file: 'f\n' });
  const name = `${registry.host}/team/app:1`;
  await work.build(context, ['-t', name, '--push']);
  const elsewhere = `${work.path}/elsewhere`;
  await work.tsbuild(['pull', name], { home: elsewhere });
  const [built, pulled] = [work.image(name), work.image(name, elsewhere)];
  expect(pulled.config).toEqual(built.config);
  expect(treeDifferences(flatten(built), flatten(pulled), 'the registry', { without: [] })).toEqual([]);
});

test('what was pushed is read by skopeo under the digest the build wrote', async () => {
  const context = work.context('digest', { Dockerfile: dockerfile, file: 'digest\n' });
  const name = `${registry.host}/team/digest:1`;
  await work.build(context, ['-t', name, '--push', '--metadata-file', `${work.path}/metadata.json`]);
  const { text } = await mustRun('skopeo', ['inspect', '--tls-verify=false', `docker://${name}`]);
  const metadata = JSON.parse((await mustRun('cat', [`${work.path}/metadata.json`])).text);
  expect(JSON.parse(text).Digest).toBe(metadata['containerimage.digest']);
});

test('FROM a registry builds on the image that lies there', async () => {
  const parent = work.context('parent', { Dockerfile: 'FROM base\nRUN echo parent > /parent\nENV P=1\n' });
  const name = `${registry.host}/team/parent:1`;
  await work.build(parent, ['-t', name, '--push']);
  const child = work.context('child', { Dockerfile: `FROM ${name}\nRUN cat /parent > /child && echo $P >> /child\n` });
  const elsewhere = `${work.path}/child-home`;
  await work.build(child, ['-t', 'child:1'], { home: elsewhere });
  expect(flatten(work.image('docker.io/library/child:1', elsewhere)).get('child')?.text).toBe('parent\n1\n');
});

test('a base whose layers no step needs is pushed on without being unpacked', async () => {
  const parent = work.context('unneeded', { Dockerfile: 'FROM base\nRUN echo x > /x\n' });
  const name = `${registry.host}/team/unneeded:1`;
  await work.build(parent, ['-t', name, '--push']);
  const child = work.context('label', { Dockerfile: `FROM ${name}\nLABEL a=b\nCOPY f /f\n`, f: 'f\n' });
  const elsewhere = `${work.path}/label-home`;
  await work.build(child, ['-t', `${registry.host}/team/labelled:1`, '--push'], { home: elsewhere });
  const { text } = await mustRun('sh', ['-c', `ls ${elsewhere}/snapshots 2>/dev/null | wc -l`]);
  expect(text.trim()).toBe('0');
  const inspected = await mustRun('skopeo', [
    'inspect',
    '--tls-verify=false',
    `docker://${registry.host}/team/labelled:1`,
  ]);
  expect(JSON.parse(inspected.text).Labels).toEqual({ a: 'b' });
});

test('the lower layers of a base are unpacked while one above them is still on its way', async () => {
  const parent = work.context('tall', { Dockerfile: 'FROM base\nRUN echo a > /a\nRUN echo b > /b\n' });
  await work.build(parent, ['-t', `${registry.host}/team/tall:1`, '--push']);
  const accept = 'application/vnd.oci.image.manifest.v1+json';
  const answer = await fetch(`${registry.url}/v2/team/tall/manifests/1`, { headers: { accept } });
  const { layers } = (await answer.json()) as { layers: { digest: string }[] };
  let release: () => void = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const isTop = ({ method, path }: SeenRequest) => method === 'GET' && path.endsWith(`/blobs/${layers.at(-1)?.digest}`);
  await using slow = await startFaultyProxy(registry.url, (request) =>
    isTop(request) ? { kind: 'held', until: released } : undefined,
  );
  const child = work.context('on-tall', { Dockerfile: `FROM ${slow.host}/team/tall:1\nRUN cat /a /b > /both\n` });
  const elsewhere = `${work.path}/tall-home`;
  const building = work.tryBuild(child, ['-t', 'tall:1'], { home: elsewhere });
  const unpacked = () => (existsSync(`${elsewhere}/snapshots`) ? readdirSync(`${elsewhere}/snapshots`).length : 0);
  // At most 30 s: the machine may be busy.
  for (let attempt = 0; attempt < 300 && unpacked() < layers.length - 1; attempt += 1) await sleep(100);
  const before = unpacked();
  release();
  expect(await building).toMatchObject({ code: 0 });
  expect(slow.requests.filter(isTop)).toHaveLength(1);
  expect(before).toBe(layers.length - 1);
});
