import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { copyGraph } from '../../src/image/index.ts';
import { parseRegistriesSection, registrySettings } from '../../src/registry/index.ts';
import { startCanary, startFaultyProxy } from '../support/faulty-proxy.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { startRegistry } from '../support/registry.ts';
import { neverAborted, pushTo, repositoryOf, session } from '../support/registry-session.ts';
import { addImage } from '../support/sample-images.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tsbuild-settings-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('settings of registries', () => {
  test('come from daemon.json where tsbuild has none of its own', () => {
    const daemonJson = join(folder, 'daemon.json');
    writeFileSync(
      daemonJson,
      JSON.stringify({
        'registry-mirrors': ['https://mirror.example'],
        'insecure-registries': ['r.example:5000', '10.0.0.0/8'],
      }),
    );
    const settings = registrySettings({ daemonJson, registries: { 'docker.io': { mirrors: ['own.example'] } } });
    expect(settings('docker.io')).toEqual({ mirrors: ['own.example'] });
    expect(registrySettings({ daemonJson })('docker.io')).toEqual({ mirrors: ['https://mirror.example'] });
    expect(settings('r.example:5000')).toEqual({ insecure: true });
    expect(settings('10.1.2.3:5000')).toEqual({ insecure: true });
    expect(settings('r.example')).toEqual({});
    expect(settings('constructor')).toEqual({});
    expect(registrySettings({ daemonJson: join(folder, 'none') })('docker.io')).toEqual({});
  });

  test('are refused with the member that is wrong', () => {
    const parse = (value: unknown) => parseRegistriesSection(value, (path) => `PEM of ${path}`);
    expect(parse({ a: { ca: '/x.pem', mirrors: ['m'], plainHttp: true } })).toEqual({
      a: { ca: ['PEM of /x.pem'], mirrors: ['m'], plainHttp: true },
    });
    for (const [value, where] of [
      [[], 'registries is'],
      [{ a: 1 }, 'registries.a is'],
      [{ a: { mirror: 'x' } }, 'registries.a.mirror is not known'],
      [{ a: { insecure: 'yes' } }, 'registries.a.insecure'],
      [{ a: { mirrors: [1] } }, 'registries.a.mirrors'],
      [{ a: { cert: 'x' } }, 'registries.a.cert and key'],
    ] as const) {
      expect(() => parse(value)).toThrow(where);
    }
  });

  test('of certificates never leave their folder', () => {
    mkdirSync(join(folder, 'certs.d'));
    writeFileSync(join(folder, 'ca.crt'), 'outside');
    const settings = registrySettings({ certsFolders: [join(folder, 'certs.d')] });
    expect(settings('..')).toEqual({});
    expect(settings('../certs.d')).toEqual({});
  });
});

describe('a mirror', () => {
  test('serves what is read, under its prefix, and never what is written', async () => {
    await using origin = await startRegistry();
    await using mirror = await startRegistry();
    const store = new MemoryStore();
    const image = addImage(store, [10_000]);
    await using direct = session();
    await pushTo(repositoryOf(direct, `${origin.host}/app`), store, image.manifest);
    await pushTo(repositoryOf(direct, `${mirror.host}/cache/hub/app`), store, image.manifest);
    await using watched = await startFaultyProxy(origin.url, () => undefined);
    await using client = session({
      settings: (host) => (host === watched.host ? { mirrors: [`http://${mirror.host}/cache/hub`] } : {}),
    });
    const repository = repositoryOf(client, `${watched.host}/app`);
    const pulled = new MemoryStore();
    await copyGraph(repository, pulled, await repository.resolve('latest', neverAborted), { signal: neverAborted });
    expect(pulled.blobs.size).toBe(store.blobs.size);
    expect(watched.requests).toHaveLength(0);
    await repository.tag(image.manifest, 'v2', neverAborted);
    expect(watched.requests.map(({ method }) => method)).toEqual(['GET', 'PUT']);
  });

  test('that is down, empty, or breaks off is stood in for by the registry', async () => {
    await using origin = await startRegistry();
    await using empty = await startCanary();
    const store = new MemoryStore();
    const image = addImage(store, [100_000]);
    await using direct = session();
    await pushTo(repositoryOf(direct, `${origin.host}/app`), store, image.manifest);
    await using breaking = await startFaultyProxy(origin.url, (request) =>
      request.path.includes('/blobs/') ? { kind: 'truncated' } : undefined,
    );
    for (const mirrors of [['http://127.0.0.1:1'], [`http://${empty.host}`], [`http://${breaking.host}`]]) {
      await using client = session({ settings: (host) => (host === origin.host ? { mirrors } : {}) });
      const repository = repositoryOf(client, `${origin.host}/app`);
      const pulled = new MemoryStore();
      await copyGraph(repository, pulled, await repository.resolve('latest', neverAborted), { signal: neverAborted });
      expect(pulled.blobs.size).toBe(store.blobs.size);
    }
  });
});
