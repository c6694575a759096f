import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type FaultyProxy, type SeenRequest, startFaultyProxy } from '../support/faulty-proxy.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { pushTo, repositoryOf, session } from '../support/registry-session.ts';
import { addImage, type SampleImage } from '../support/sample-images.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { commandPath, mustTsbuild, tsbuildEnvironment } from '../support/tsbuild.ts';

const layerSize = 3_000_000;
let folder: TemporaryFolder;
let registry: TestRegistry;
let image: SampleImage;
let home = '';
let homes = 0;

beforeAll(async () => {
  folder = temporaryFolder('registry-transfers');
  registry = await startRegistry();
  image = await publish('app', [layerSize]);
});
beforeEach(() => {
  homes += 1;
  home = folder.join(`home${homes}`);
});
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const must = (...args: string[]) => mustTsbuild(args, { home, cwd: folder.path });

async function publish(name: string, layers: readonly number[]): Promise<SampleImage> {
  await using client = session();
  const store = new MemoryStore();
  const sample = addImage(store, layers);
  await pushTo(repositoryOf(client, `${registry.host}/${name}`), store, sample.manifest);
  return sample;
}

const isLayerGet = (request: SeenRequest) =>
  request.method === 'GET' && request.path.endsWith(image.layers[0]?.digest ?? '?');

function startPull(name: string): ChildProcess {
  return spawn(process.execPath, [commandPath, 'pull', '-q', name], {
    env: { ...process.env, ...tsbuildEnvironment(home) },
    stdio: 'ignore',
  });
}

async function until(isSo: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !isSo(); waited += 20) {
    if (waited > 60_000) throw new Error(`it did not come to pass that ${what}`);
    await sleep(20);
  }
}

/** Pulls until half of the layer has arrived, then ends the process. Resolves to the partial file. */
async function pullHalf(proxy: FaultyProxy, signal: NodeJS.Signals): Promise<string> {
  const child = startPull(`${proxy.host}/app`);
  const ended = once(child, 'exit');
  const partial = () => `${home}/downloads/${image.layers[0]?.digest.replace(':', '-')}`;
  const arrived = () => statSync(partial(), { throwIfNoEntry: false })?.size ?? 0;
  await until(() => arrived() > layerSize / 4, 'a part of the layer arrived');
  child.kill(signal);
  await ended;
  return partial();
}

describe('a pull that was ended midway', () => {
  let proxy: FaultyProxy;
  beforeEach(async () => {
    let struck = false;
    proxy = await startFaultyProxy(registry.url, (request) => {
      if (struck || !isLayerGet(request)) return undefined;
      struck = true;
      return { kind: 'half' };
    });
    return () => proxy[Symbol.asyncDispose]();
  });

  test.each(['SIGINT', 'SIGKILL'] as const)('by %s goes on where it stopped when it is run again', async (signal) => {
    const held = statSync(await pullHalf(proxy, signal)).size;
    await must('pull', '-q', `${proxy.host}/app`);
    const again = proxy.requests.filter(isLayerGet).slice(1);
    expect(again.map(({ headers }) => headers.range)).toEqual([`bytes=${held}-`]);
    expect((await must('store', 'check')).code).toBe(0);
    expect(readdirSync(`${home}/downloads`)).toEqual([]);
  });

  test('does not believe what lies there: a damaged part is fetched again', async () => {
    const partial = await pullHalf(proxy, 'SIGKILL');
    const bytes = readFileSync(partial);
    bytes[1000] = (bytes[1000] ?? 0) ^ 1;
    writeFileSync(partial, bytes);
    await must('pull', '-q', `${proxy.host}/app`);
    const again = proxy.requests.filter(isLayerGet).slice(1);
    expect(again.map(({ headers }) => headers.range)).toEqual([`bytes=${bytes.length}-`, undefined]);
    expect((await must('store', 'check')).code).toBe(0);
  });

  test('leaves a part that prune removes and df counts', async () => {
    await pullHalf(proxy, 'SIGKILL');
    expect((await must('df')).text).toMatch(/drafts .*[1-9]/i);
    await must('prune', '--force');
    expect(readdirSync(`${home}/downloads`)).toEqual([]);
  });
});

test('two pulls at once on one store fetch each blob once', async () => {
  const manifestPath = /\/manifests\//;
  let bothAsked: () => void = () => {};
  const released = new Promise<void>((resolve) => {
    bothAsked = resolve;
  });
  await using proxy = await startFaultyProxy(registry.url, (request) =>
    isLayerGet(request) ? { kind: 'held', until: released } : undefined,
  );
  const pulls = [startPull(`${proxy.host}/app`), startPull(`${proxy.host}/app`)];
  const ended = pulls.map((child) => once(child, 'exit'));
  await until(
    () => proxy.requests.filter(({ method, path }) => method === 'GET' && manifestPath.test(path)).length === 2,
    'both have read the manifest',
  );
  // Long enough for the second to ask for the layer, if it were to.
  await sleep(500);
  bothAsked();
  expect((await Promise.all(ended)).map(([code]) => code)).toEqual([0, 0]);
  const blobs = proxy.requests.filter(({ path }) => path.includes('/blobs/')).map(({ path }) => path);
  expect(blobs.sort()).toEqual([...new Set(blobs)]);
  expect(blobs).toHaveLength(2);
});

describe('an image of 100 layers that is up to date', () => {
  test('is pulled and pushed with as many requests as one of a single layer', async () => {
    await publish('many', Array(100).fill(100));
    await using proxy = await startFaultyProxy(registry.url, () => undefined);
    const name = `${proxy.host}/many`;
    await must('pull', '-q', name);
    const requestsOf = async (command: string) => {
      proxy.requests.length = 0;
      await must(command, '-q', name);
      return proxy.requests.map(({ method, path }) => `${method} ${path.replace(/sha256:.*/, 'DIGEST')}`);
    };
    expect(await requestsOf('pull')).toEqual(['HEAD /v2/many/manifests/latest']);
    const [byDigest, byTag, ...more] = (await requestsOf('push')).filter((request) => request !== 'GET /v2/');
    expect([byDigest, byTag]).toEqual(['HEAD /v2/many/manifests/DIGEST', 'HEAD /v2/many/manifests/latest']);
    expect(more).toEqual([]);
  });
});

test('a base image in the registry that is pushed to is mounted, and never downloaded', async () => {
  const base = await publish('base', [50_000, 60_000]);
  await using proxy = await startFaultyProxy(registry.url, () => undefined);
  mkdirSync(folder.join('context'), { recursive: true });
  writeFileSync(
    folder.join('context/Dockerfile'),
    `FROM ${proxy.host}/base\nCOPY --link Dockerfile /\nENV derived=yes\n`,
  );
  await must('-q', '-t', `${proxy.host}/derived`, '--push', folder.join('context'));
  const layers = base.layers.map(({ digest }) => digest);
  const about = proxy.requests.filter(({ path }) => layers.some((digest) => path.includes(encodeURIComponent(digest))));
  expect(about.filter(({ method }) => method === 'GET' || method === 'PUT')).toEqual([]);
  expect(about.filter(({ method, path }) => method === 'POST' && path.includes('mount='))).toHaveLength(2);
  const plain = proxy.requests.filter(({ path }) => layers.some((digest) => path.includes(digest)));
  expect(plain.filter(({ method }) => method !== 'HEAD')).toEqual([]);
});
