import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { registrySettings } from '../../src/registry/index.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { neverAborted, pushTo, rejectionOf, repositoryOf, session } from '../support/registry-session.ts';
import { addImage } from '../support/sample-images.ts';

async function pushAndResolve(registry: TestRegistry, options: Parameters<typeof session>[0]): Promise<void> {
  const store = new MemoryStore();
  const image = addImage(store, [30_000]);
  await using client = session(options);
  const repository = repositoryOf(client, `${registry.host}/app`);
  await pushTo(repository, store, image.manifest);
  expect(await repository.resolve('latest', neverAborted)).toMatchObject({ digest: image.manifest.digest });
}

describe('a registry with a certificate of a private authority', () => {
  test('is refused without the authority, and the error says what to give', async () => {
    await using registry = await startRegistry({ tls: 'server' });
    await using client = session();
    const error = await rejectionOf(repositoryOf(client, `${registry.host}/app`).resolve('latest', neverAborted));
    expect(error).toMatchObject({ code: 'registry-tls', hint: expect.stringContaining('"ca"') });
  });

  test('is trusted with the authority from certs.d', async () => {
    await using registry = await startRegistry({ tls: 'server' });
    const folder = join(registry.folder, 'certs.d');
    mkdirSync(join(folder, registry.host), { recursive: true });
    writeFileSync(join(folder, registry.host, 'ca.crt'), registry.authority?.certificate ?? '');
    await pushAndResolve(registry, { settings: registrySettings({ certsFolders: [folder] }) });
  });

  test('is trusted unseen when it is declared insecure', async () => {
    await using registry = await startRegistry({ tls: 'server' });
    await pushAndResolve(registry, { settings: () => ({ insecure: true }) });
  });
});

describe('a registry that wants a client certificate', () => {
  test('gets it from certs.d', async () => {
    await using registry = await startRegistry({ tls: 'mutual' });
    const own = registry.authority?.issue('client.example');
    const folder = join(registry.folder, 'certs.d');
    mkdirSync(join(folder, registry.host), { recursive: true });
    writeFileSync(join(folder, registry.host, 'ca.crt'), registry.authority?.certificate ?? '');
    writeFileSync(join(folder, registry.host, 'client.cert'), own?.certificate ?? '');
    writeFileSync(join(folder, registry.host, 'client.key'), own?.key ?? '');
    await pushAndResolve(registry, { settings: registrySettings({ certsFolders: [folder] }) });
  });

  test('refuses us without one, in one clear error', async () => {
    await using registry = await startRegistry({ tls: 'mutual' });
    await using client = session({ settings: () => ({ ca: [registry.authority?.certificate ?? ''] }) });
    const error = await rejectionOf(repositoryOf(client, `${registry.host}/app`).resolve('latest', neverAborted));
    expect(error).toMatchObject({
      code: expect.stringMatching(/^registry-(tls|unreachable)$/),
      hint: expect.stringContaining('client certificate'),
    });
  });
});
