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
  const read = (digest: string) => JSON.parse(readFileSync(pathOf(digest), 'utf8'));
  const manifestDigest = namesInStore(place.home).get('docker.io/library/app:1') ?? '';
  const manifest = read(manifestDigest);
  const [base, run, copy] = manifest.layers.map((layer: { digest: string }) => layer.digest);
  const digest = {
    'base layer': base,
    'layer of a RUN': run,
    'layer of a COPY': copy,
    configuration: manifest.config.digest,
    manifest: manifestDigest,
  }[part];
  const path = pathOf(digest);
  chmodSync(path, 0o600);
  if (how === 'gone') unlinkSync(path);
  else if (how === 'cut') truncateSync(path, statSync(path).size >> 1);
  else {
    const bytes = readFileSync(path);
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] ?? 0) ^ 0x41;
    writeFileSync(path, bytes);
  }
  return digest;
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
