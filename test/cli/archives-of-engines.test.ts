/** Archives between tsbuild and a real Docker engine, both ways. */
import { execFileSync } from 'node:child_process';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { type Dockerd, dockerdMissing, startDockerd } from '../support/dockerd.ts';
import { requirement } from '../support/requirement.ts';

const missing = dockerdMissing();
requirement('a Docker engine', missing);

/** Bytes of random content in every image, so that an image that is sent shows. */
const randomBytes = 3_000_000;
const dockerfile = `
FROM base
ARG WHO
RUN head -c ${randomBytes} /dev/urandom >/random; echo "made $WHO" >/made
CMD ["cat", "/made"]
`;

describe.skipIf(missing !== undefined)('a Docker engine', () => {
  let engine: Dockerd;
  let place: BuildWorkspace;
  let context: string;
  beforeAll(async () => {
    engine = await startDockerd();
    place = buildWorkspace('engines');
    context = place.context('context', { Dockerfile: dockerfile });
    await place.build(context, ['-t', 'one:1', '--build-arg', 'WHO=one']);
    await place.build(context, ['-t', 'two:1', '-t', 'team/two:other', '--build-arg', 'WHO=two']);
  }, 120_000);
  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]();
    await place?.[Symbol.asyncDispose]();
  });

  const file = (name: string) => join(place.path, name);
  const imageId = async (name: string) => (await place.tsbuild(['images', '-q', '--no-trunc', name])).text.trim();
  /** What the engine says it loaded. */
  const load = async (archive: string) => (await engine.docker(['load', '-i', archive])).text;
  const run = async (image: string) => (await engine.docker(['run', '--rm', '--network', 'none', image])).text;
  const forget = (...images: string[]) => engine.docker(['rmi', '--force', ...images]);

  test('loads and runs what save wrote: one image, several with all that they are called, and one by its ID', async () => {
    await place.tsbuild(['save', '-o', file('one.tar'), 'one:1']);
    expect(await load(file('one.tar'))).toBe('Loaded image: one:1\n');
    expect(await run('one:1')).toBe('made one\n');
    await forget('one:1');
    await place.tsbuild(['save', '-o', file('both.tar'), 'one:1', 'two:1', 'team/two:other']);
    expect((await load(file('both.tar'))).split('\n').sort().slice(1)).toEqual(
      ['one:1', 'team/two:other', 'two:1'].map((name) => `Loaded image: ${name}`),
    );
    expect([await run('one:1'), await run('team/two:other')]).toEqual(['made one\n', 'made two\n']);
    await forget('one:1', 'two:1', 'team/two:other');
    const id = await imageId('two:1');
    await place.tsbuild(['save', '-o', file('id.tar'), id.slice('sha256:'.length, 'sha256:'.length + 12)]);
    expect(await load(file('id.tar'))).toBe(`Loaded image ID: ${id}\n`);
    expect(await run(id)).toBe('made two\n');
    await forget(id);
  });

  const exported = async (compression: string) => {
    const archive = file(`${compression}.tar`);
    const output = `type=docker,dest=${archive},compression=${compression}`;
    const { stderr } = await place.build(context, ['--build-arg', 'WHO=one', '-o', output]);
    const member = (name: string) => execFileSync('tar', ['-xOf', archive, name], { maxBuffer: 64 * 1024 * 1024 });
    const layer: string = JSON.parse(member('manifest.json').toString())[0].Layers.at(-1);
    return { archive, stderr, magic: member(layer).toString('hex', 0, 4) };
  };

  test.each(['uncompressed', 'gzip'])('loads and runs what a build exported with %s layers', async (compression) => {
    const { archive, magic } = await exported(compression);
    expect(magic.startsWith('1f8b')).toBe(compression === 'gzip');
    const id = await imageId('one:1');
    expect(await load(archive)).toBe(`Loaded image ID: ${id}\n`);
    expect(await run(id)).toBe('made one\n');
    await forget(id);
  });

  test('may not load zstd layers, and the build says so; skopeo reads them', async () => {
    const { archive, magic, stderr } = await exported('zstd');
    expect(magic).toBe('28b52ffd');
    expect(stderr).toContain('docker load takes no zstd layers');
    const copy = ['--insecure-policy', 'copy', '-q', `docker-archive:${archive}`, `oci:${file('zstd-copy')}`];
    execFileSync('skopeo', copy, { stdio: 'pipe' });
  });

  test('gives what it saves to load, and takes it back as the image it was', async () => {
    await place.tsbuild(['save', '-o', file('there.tar'), 'two:1']);
    await load(file('there.tar'));
    await engine.docker(['save', '-o', file('back.tar'), 'two:1']);
    const home = file('second-home');
    expect((await place.tsbuild(['load', '-i', file('back.tar')], { home })).text).toBe('Loaded image: two:1\n');
    const id = (await place.tsbuild(['images', '-q', '--no-trunc', 'two:1'], { home })).text.trim();
    expect(id).toBe(await imageId('two:1'));
    await forget('two:1');
    await place.tsbuild(['save', '-o', file('again.tar'), 'two:1'], { home });
    expect(await load(file('again.tar'))).toBe('Loaded image: two:1\n');
    expect(await run('two:1')).toBe('made two\n');
    expect((await engine.docker(['images', '-q', '--no-trunc', 'two:1'])).text.trim()).toBe(id);
    expect((await place.tsbuild(['store', 'check'], { home })).text).toContain('Nothing is damaged');
    await forget('two:1');
  });

  test('is sent an image once, and nothing of it when it has it', async () => {
    await using wire = await countedSocket(engine.socketPath, file('counted.sock'));
    const build = () =>
      place.build(context, ['-t', 'one:1', '--build-arg', 'WHO=one', '--load'], {
        env: { DOCKER_HOST: `unix://${wire.path}` },
      });
    await build();
    expect(wire.sent()).toBeGreaterThan(randomBytes);
    const before = wire.sent();
    expect((await build()).stderr).toContain('nothing was sent');
    // Some requests without a body.
    expect(wire.sent() - before).toBeLessThan(10_000);
    expect(await run('one:1')).toBe('made one\n');
  });
});

/** A socket that passes all on to another, and counts the bytes that go there. */
async function countedSocket(
  target: string,
  path: string,
): Promise<AsyncDisposable & { readonly path: string; sent(): number }> {
  let sent = 0;
  const server: Server = createServer((client) => {
    const engine = connect(target);
    client.on('data', (chunk) => {
      sent += chunk.length;
    });
    client.pipe(engine).pipe(client);
    for (const [one, other] of [
      [client, engine],
      [engine, client],
    ] as const) {
      one.on('error', () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    path,
    sent: () => sent,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
