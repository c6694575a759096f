/** Blobs that lose bytes, change or vanish between two commands. */
import { chmodSync, readFileSync, rmSync, statSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { readOciArchive } from '../support/image-files.ts';
import { namesInStore } from '../support/killed-runs.ts';
import { startRegistry, type TestRegistry } from '../support/registry.ts';
import { flatten } from '../support/tree-compare.ts';
import { tsbuild } from '../support/tsbuild.ts';

const hows = ['cut', 'flipped', 'gone'] as const;
const parts = ['base layer', 'layer of a RUN', 'layer of a COPY', 'configuration', 'manifest'] as const;

let registry: TestRegistry;
let place: BuildWorkspace;
let context: string;
/** What the build prints to the archive when nothing is damaged. */
let honest: Buffer;

const dockerfile = 'FROM base\nRUN seq 30000 >/numbers; touch -d @1600000000 /numbers /\nCOPY file /file\n';
const more = `${dockerfile}RUN cat /numbers /file >/both; ls -a / >/names\nCOPY --from=base /etc/passwd /passwd\n`;

beforeAll(async () => {
  registry = await startRegistry();
  place = buildWorkspace('damage');
  context = place.context('context', { Dockerfile: dockerfile, More: more, file: 'file\n' });
});
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]();
  await place?.[Symbol.asyncDispose]();
});

const archive = () => join(place.path, 'out.tar');
const oci = () => ['-o', `type=oci,dest=${archive()}`];
const epoch = { env: { SOURCE_DATE_EPOCH: '1600000000' } };
const build = (args: readonly string[]) => place.tryBuild(context, ['-t', 'app:1', ...args], epoch);

function howAt(index: number): (typeof hows)[number] {
  return hows[index % hows.length] ?? 'cut';
}

function damage(part: (typeof parts)[number], how: (typeof hows)[number]): string {
  const digest = digestOf(part);
  spoil(pathOf(digest), how);
  return digest;
}

function digestOf(part: (typeof parts)[number]): string {
  const manifestDigest = namesInStore(place.home).get('docker.io/library/app:1') ?? '';
  const manifest = JSON.parse(readFileSync(pathOf(manifestDigest), 'utf8'));
  const [base, run, copy] = manifest.layers.map((layer: { digest: string }) => layer.digest);
  return {
    'base layer': base,
    'layer of a RUN': run,
    'layer of a COPY': copy,
    configuration: manifest.config.digest,
    manifest: manifestDigest,
  }[part];
}

function spoil(path: string, how: (typeof hows)[number]): void {
  chmodSync(path, 0o600);
  if (how === 'gone') unlinkSync(path);
  else if (how === 'cut') truncateSync(path, statSync(path).size >> 1);
  else {
    const bytes = readFileSync(path);
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] ?? 0) ^ 0x41;
    writeFileSync(path, bytes);
  }
}

function pathOf(digest: string): string {
  return join(place.home, 'blobs', digest.replace(':', '/'));
}

describe.each(parts)('a damaged %s', (part) => {
  test('does not stop a build, and is whole afterwards', async () => {
    rmSync(place.home, { recursive: true, force: true });
    expect((await build(oci())).code).toBe(0);
    honest = readFileSync(archive());
    const whole = flatten(readOciArchive(honest));
    const builds = [oci(), ['-o', `type=tar,dest=${archive()}`], ['-f', join(context, 'More'), ...oci()]];
    for (const [i, args] of builds.entries()) {
      // Each way meets each build at some part.
      const how = howAt(parts.indexOf(part) + i);
      const digest = damage(part, how);
      const built = await build(args);
      expect({ code: built.code, stderr: built.stderr }).toEqual({ code: 0, stderr: expect.any(String) });
      // A blob that is there and that nothing needed to read is found by the check.
      const check = await tsbuild(['store', 'check'], { home: place.home });
      if (!built.stderr.includes(digest) && how !== 'gone') expect(check.text).toContain(digest);
      expect((await build(oci())).code).toBe(0);
      expect(readFileSync(archive()).equals(honest)).toBe(true);
      expect((await tsbuild(['store', 'check'], { home: place.home })).text).toContain('Nothing is damaged');
    }
    expect(flatten(readOciArchive(honest))).toEqual(whole);
  });

  test('is named by save and push, and is there again after a build or a load', async () => {
    rmSync(place.home, { recursive: true, force: true });
    expect((await build([])).code).toBe(0);
    const name = `${registry.host}/app:1`;
    const saved = join(place.path, 'saved.tar');
    await place.tsbuild(['tag', 'app:1', name]);
    await place.tsbuild(['push', '-q', name]);
    await place.tsbuild(['save', '--format', 'oci-archive', '-o', saved, 'app:1']);
    const heals = [() => build([]), () => tsbuild(['load', '-q', '-i', saved], { home: place.home })];
    for (const [i, heal] of heals.entries()) {
      const how = howAt(parts.indexOf(part) + i);
      const digest = damage(part, how);
      const asked = [
        await tsbuild(['save', '-o', join(place.path, 'again.tar'), 'app:1'], { home: place.home }),
        await tsbuild(['push', '-q', `${registry.host}/other/app:1`], { home: place.home }),
        await tsbuild(['push', '-q', name], { home: place.home }),
      ];
      for (const { code, stderr } of asked) {
        // Where another form of the layer was at hand nothing was missed; what is in the registry is not sent again.
        if (code !== 0) expect(stderr).toMatch(/sha256:[0-9a-f]{64}|has no image/);
      }
      await tsbuild(['store', 'check'], { home: place.home });
      expect((await heal()).code, `${digest}`).toBe(0);
      const check = await place.tsbuild(['store', 'check']);
      expect(check.text).toContain('Nothing is damaged');
      await place.tsbuild(['save', '-o', join(place.path, 'again.tar'), 'app:1']);
    }
  });
});

describe('a layer that was exported with gzip before', () => {
  const own = 'layer of a RUN';
  const again = () => join(place.path, 'again.tar');
  /** What reads the layer itself, each from a store in which only its compressed form is whole. */
  const commands = {
    build: () => build(['--progress', 'plain']),
    'build -o type=tar': () => build(['--progress', 'plain', '-o', `type=tar,dest=${again()}`]),
    save: () => tsbuild(['save', '-o', again(), 'app:1'], { home: place.home }),
    push: () => tsbuild(['push', '--compression', 'uncompressed', `${registry.host}/twin:1`], { home: place.home }),
    run: () => tsbuild(['run', 'app:1', 'cat', '/numbers'], { home: place.home }),
    'copy from the store': () => tsbuild(['copy', 'store://app:1', `oci-archive:${again()}`], { home: place.home }),
  };

  beforeAll(async () => {
    rmSync(place.home, { recursive: true, force: true });
    expect((await build(oci())).code).toBe(0);
    honest = readFileSync(archive());
    await place.tsbuild(['tag', 'app:1', `${registry.host}/twin:1`]);
  });

  test.each(Object.entries(commands))('is made again from it by %s, in one line', async (name, command) => {
    const digest = digestOf(own);
    spoil(pathOf(digest), 'gone');
    rmSync(join(place.home, 'snapshots'), { recursive: true, force: true });
    const { code, stderr } = await command();
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) });
    const lines = stderr.split('\n').filter((line) => line.includes('made again'));
    expect(lines).toEqual([expect.stringContaining(digest)]);
    // No step ran for it.
    if (name.startsWith('build')) expect(stderr.match(/CACHED/g)).toHaveLength(2);
    expect((await place.tsbuild(['store', 'check'])).text).toContain('Nothing is damaged');
  });

  test.each(['cut', 'flipped'] as const)('is made again from it when it was %s and a save met that', async (how) => {
    const digest = digestOf(own);
    spoil(pathOf(digest), how);
    const { code, stderr } = await tsbuild(['save', '-o', again(), 'app:1'], { home: place.home });
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining(digest) });
    expect((await place.tsbuild(['store', 'check'])).text).toContain('Nothing is damaged');
  });

  test.each(hows)('is made again from it by the check when it was %s', async (how) => {
    const digest = digestOf(own);
    spoil(pathOf(digest), how);
    const found = await tsbuild(['store', 'check'], { home: place.home });
    expect(found.code).toBe(1);
    expect(found.text).toContain(`made again from another form of it: ${digest}`);
    expect((await place.tsbuild(['store', 'check'])).text).toContain('Nothing is damaged');
  });

  test.each(hows)('is compressed again when the compressed form was %s', async (how) => {
    const twin = compressedTwin();
    spoil(pathOf(twin), how);
    expect((await build(oci())).code).toBe(0);
    expect(readFileSync(archive()).equals(honest)).toBe(true);
    expect((await place.tsbuild(['store', 'check'])).text).toContain('Nothing is damaged');
  });

  test('is built again when no form of it is whole', async () => {
    const digest = digestOf(own);
    spoil(pathOf(compressedTwin()), 'cut');
    spoil(pathOf(digest), 'gone');
    const { code, stderr } = await build(['--progress', 'plain', ...oci()]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) });
    expect(stderr.match(/CACHED/g)).toHaveLength(1);
    expect(readFileSync(archive()).equals(honest)).toBe(true);
    expect((await place.tsbuild(['store', 'check'])).text).toContain('Nothing is damaged');
  });

  /** Of the layer of the RUN, as the exported archive names it. */
  function compressedTwin(): string {
    const image = readOciArchive(honest);
    return image.manifest?.layers[1]?.digest ?? '';
  }
});
