import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isTsbuildError } from '../../src/core/index.ts';
import { copyGraph, type Descriptor, parseReference } from '../../src/image/index.ts';
import { createRegistryClient, type RegistryClientOptions } from '../../src/registry/index.ts';
import { type Fault, type SeenRequest, startFaultyProxy } from '../support/faulty-proxy.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { addImage, type SampleImage } from '../support/sample-images.ts';

const signal = new AbortController().signal;
const options: RegistryClientOptions = {
  retry: { attempts: 4, baseDelay: 1, maxDelay: 2_000 },
  timeouts: { headers: 400, upload: 400, bodyIdle: 400 },
};

/** After these a second attempt must succeed by itself. */
const passing: Readonly<Record<string, Fault>> = {
  'a reset': { kind: 'reset' },
  'a lost answer': { kind: 'lost-answer' },
  'a 500': { kind: 'status', status: 500 },
  'a 502': { kind: 'status', status: 502 },
  'a 429 with Retry-After': { kind: 'status', status: 429, headers: { 'retry-after': '0' } },
  'a truncated answer': { kind: 'truncated' },
};
/** After these there may be one clear error. */
const lying: Readonly<Record<string, Fault>> = {
  'a wrong digest': { kind: 'wrong-digest' },
  'a wrong length': { kind: 'wrong-length' },
  'a wrong content type': { kind: 'wrong-type' },
  'a redirect to where nothing is': { kind: 'redirect', to: 'http://127.0.0.1:1/' },
  'a redirect loop': { kind: 'redirect-loop' },
  'a 404': { kind: 'status', status: 404 },
};

let registry: TestRegistry;
beforeAll(async () => {
  registry = await startRegistry();
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
});

let names = 0;
const freshName = (): string => {
  names += 1;
  return `fault/${names}`;
};

async function push(host: string, name: string, store: MemoryStore, image: SampleImage): Promise<void> {
  const client = createRegistryClient(options);
  try {
    const repository = client.repository(parseReference(`${host}/${name}`));
    await copyGraph(store, repository, image.manifest, { signal });
    await repository.tag(image.manifest, 'latest', signal);
  } finally {
    await client.close();
  }
}

async function pull(host: string, name: string, store: MemoryStore): Promise<void> {
  const client = createRegistryClient(options);
  try {
    const repository = client.repository(parseReference(`${host}/${name}`));
    await copyGraph(repository, store, await repository.resolve('latest', signal), { signal });
  } finally {
    await client.close();
  }
}

/** Which bytes went over the wire, of one or more runs of an operation of which one request was struck. */
interface Traffic {
  readonly requests: readonly SeenRequest[];
  readonly struck: SeenRequest | undefined;
}

const about = ({ requests }: Traffic, { digest }: Descriptor) =>
  requests.filter(({ path }) => path.includes(digest) || path.includes(encodeURIComponent(digest)));

/** What the registry took whole is not sent again, whether we heard that it did or not. */
function expectSentOnce(traffic: Traffic, image: SampleImage, where: string): void {
  for (const blob of [image.config, ...image.layers]) {
    const received = about(traffic, blob).reduce((sum, request) => sum + request.received, 0);
    expect(received, `${where}: ${blob.size} bytes of ${blob.digest}`).toBeLessThanOrEqual(blob.size);
  }
}

/** In one run what arrived is not fetched again, but for the one answer that was not what the registry has. */
function expectFetchedOnce(traffic: Traffic, image: SampleImage, fault: Fault, where: string): void {
  const isHonest = fault.kind === 'truncated' || fault.kind === 'stall' || fault.kind === 'lost-answer';
  for (const blob of [image.config, ...image.layers]) {
    const answers = about(traffic, blob).filter((request) => isHonest || request !== traffic.struck);
    const sent = answers.reduce((sum, request) => sum + request.sent, 0);
    expect(sent, `${where}: ${blob.size} bytes of ${blob.digest}`).toBeLessThanOrEqual(blob.size);
  }
}

/** Runs the operation with the fault at its first, second, … request until it no longer gets that far. */
async function atEachRequest(
  fault: Fault,
  operation: (host: string) => Promise<void>,
  afterwards: (error: unknown, where: string, traffic: Traffic) => Promise<void>,
): Promise<number> {
  for (let at = 0; ; at += 1) {
    await using proxy = await startFaultyProxy(registry.url, (_request, number) => (number === at ? fault : undefined));
    let failure: unknown;
    try {
      await operation(proxy.host);
    } catch (error) {
      failure = error;
    }
    const struck = proxy.requests[at];
    const where = struck ? `${struck.method} ${struck.path}` : 'no request';
    await afterwards(failure, where, { requests: proxy.requests, struck });
    if (!struck) return at;
    if (at > 60) throw new Error('the operation does not end');
  }
}

function expectClear(error: unknown, where: string): void {
  expect(isTsbuildError(error), `${where}: ${error}`).toBe(true);
  if (!isTsbuildError(error)) return;
  expect(error.code, where).toMatch(/^(registry|manifest)-/);
  expect(error.hint, `${where}: ${error.message}`).toBeTruthy();
}

describe('a pull in which each request in turn meets', () => {
  let image: SampleImage;
  let original: MemoryStore;
  beforeAll(async () => {
    original = new MemoryStore();
    image = addImage(original, [200_000, 3_000]);
    await push(registry.host, 'fault/pull', original, image);
  });

  const complete = (store: MemoryStore) =>
    expect([...store.blobs.keys()].sort()).toEqual([...original.blobs.keys()].sort());

  test.each(Object.entries(passing))('%s ends well', async (_name, fault) => {
    let store = new MemoryStore();
    const requests = await atEachRequest(
      fault,
      (host) => {
        store = new MemoryStore();
        return pull(host, 'fault/pull', store);
      },
      async (error, where, traffic) => {
        expect(error, `${where}: ${error}`).toBeUndefined();
        complete(store);
        expectFetchedOnce(traffic, image, fault, where);
      },
    );
    expect(requests).toBeGreaterThanOrEqual(5);
  });

  test.each(Object.entries(lying))(
    '%s ends well or with one clear error, and goes on where it stopped',
    async (_name, fault) => {
      let store = new MemoryStore();
      await atEachRequest(
        fault,
        (host) => {
          store = new MemoryStore();
          return pull(host, 'fault/pull', store);
        },
        async (error, where, traffic) => {
          if (error !== undefined) expectClear(error, where);
          expectFetchedOnce(traffic, image, fault, where);
          const held = [...store.blobs.keys()];
          await using second = await startFaultyProxy(registry.url, () => undefined);
          await pull(second.host, 'fault/pull', store);
          complete(store);
          const again = second.requests.filter(({ method, path }) => method === 'GET' && path.includes('/blobs/'));
          expect(again.filter(({ path }) => held.some((digest) => path.includes(digest)))).toEqual([]);
          const blobs = store.writes.filter((digest) => digest !== image.manifest.digest);
          expect(blobs).toHaveLength(3);
        },
      );
    },
  );

  test('a stalled answer ends well', async () => {
    let store = new MemoryStore();
    await atEachRequest(
      { kind: 'stall' },
      (host) => {
        store = new MemoryStore();
        return pull(host, 'fault/pull', store);
      },
      async (error, where, traffic) => {
        expect(error, `${where}: ${error}`).toBeUndefined();
        complete(store);
        expectFetchedOnce(traffic, image, { kind: 'stall' }, where);
      },
    );
  });

  test('a truncated blob is fetched on from where it broke off', async () => {
    await using proxy = await startFaultyProxy(registry.url, (request) =>
      request.path.endsWith(image.layers[0]?.digest ?? '') && request.headers.range === undefined
        ? { kind: 'truncated' }
        : undefined,
    );
    const store = new MemoryStore();
    await pull(proxy.host, 'fault/pull', store);
    complete(store);
    const total = [...original.blobs.values()].reduce((sum, bytes) => sum + bytes.byteLength, 0);
    expect(proxy.requests.filter((request) => request.headers.range !== undefined)).toHaveLength(1);
    expect(proxy.sent).toBeLessThan(total + 1_000);
  });
});

describe('a push in which each request in turn meets', () => {
  test.each([...Object.entries(passing), ...Object.entries({ 'a stalled answer': { kind: 'stall' } as Fault })])(
    '%s ends well',
    async (_name, fault) => {
      let name = '';
      let store = new MemoryStore();
      let image: SampleImage | undefined;
      const requests = await atEachRequest(
        fault,
        async (host) => {
          name = freshName();
          store = new MemoryStore();
          image = addImage(store, [200_000, 3_000]);
          await push(host, name, store, image);
        },
        async (error, where, traffic) => {
          expect(error, `${where}: ${error}`).toBeUndefined();
          if (image) expectSentOnce(traffic, image, where);
          const pulled = new MemoryStore();
          await pull(registry.host, name, pulled);
          expect([...pulled.blobs.keys()].sort()).toEqual([...store.blobs.keys()].sort());
        },
      );
      expect(requests).toBeGreaterThanOrEqual(12);
    },
  );

  test.each(Object.entries(lying))(
    '%s ends well or with one clear error, and goes on where it stopped',
    async (_name, fault) => {
      let name = '';
      let store = new MemoryStore();
      let image: SampleImage | undefined;
      await atEachRequest(
        fault,
        async (host) => {
          name = freshName();
          store = new MemoryStore();
          image = addImage(store, [200_000, 3_000]);
          await push(host, name, store, image);
        },
        async (error, where, { requests, struck }) => {
          if (error !== undefined) expectClear(error, where);
          if (image) {
            await using second = await startFaultyProxy(registry.url, () => undefined);
            await push(second.host, name, store, image);
            expectSentOnce({ requests: [...requests, ...second.requests], struck }, image, where);
          }
          const pulled = new MemoryStore();
          await pull(registry.host, name, pulled);
          expect([...pulled.blobs.keys()].sort()).toEqual([...store.blobs.keys()].sort());
        },
      );
    },
  );

  test('a second push sends one request for what is there already', async () => {
    const store = new MemoryStore();
    const image = addImage(store, [1_000, 2_000, 3_000]);
    const name = freshName();
    await push(registry.host, name, store, image);
    await using proxy = await startFaultyProxy(registry.url, () => undefined);
    store.opens.length = 0;
    await push(proxy.host, name, store, image);
    expect(proxy.requests.map(({ method }) => method)).toEqual(['GET', 'HEAD', 'HEAD']);
    expect(store.opens).toEqual([]);
  });
});
