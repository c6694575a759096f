/**
 * The registry client's benchmark on loopback: 500 MB in and out beside skopeo, buildah, podman and docker, 100 layers
 * that are up to date, and the start of small commands beside `node -e 0`.
 * Invariant: every tool has an empty storage of its own before each cold run; trust the ratios of one run.
 */
import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { startBuildah } from '../test/support/buildah.ts';
import { mustRun } from '../test/support/command.ts';
import { startDockerd } from '../test/support/dockerd.ts';
import { startRegistry } from '../test/support/registry.ts';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { commandPath } from '../test/support/tsbuild.ts';
import { type Measurement, measure, median } from './measure.ts';

type Commands = readonly (readonly string[])[];

interface Contender {
  readonly name: string;
  readonly daemon?: number;
  /** Before each run, unmeasured. */
  readonly prepare?: () => Promise<unknown>;
  readonly commands: Commands;
}

const tsbuild = [process.execPath, commandPath];

/** @returns the exit code */
export async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: { only: { type: 'string', multiple: true }, runs: { type: 'string' } },
  });
  const runs = Math.max(1, Number(values.runs ?? 3));
  await using folder = temporaryFolder('bench-registry', 0o711);
  await using registry = await startRegistry();
  await using buildah = await startBuildah();
  await using docker = await startDockerd();
  mkdirSync(folder.join('no-config'));
  writeFileSync(folder.join('no-config/config.json'), '{}');
  const environment = { TSBUILD_HOME: folder.join('home'), DOCKER_CONFIG: folder.join('no-config') };
  const large = writeLayout(
    folder.join('large'),
    Array.from({ length: 5 }, () => 100_000_000),
  );
  const many = writeLayout(
    folder.join('many'),
    Array.from({ length: 100 }, () => 20_000),
  );
  const our = (...args: string[]) => mustRun(tsbuild[0] ?? '', [...tsbuild.slice(1), ...args], { env: environment });
  const at = (name: string) => `${registry.host}/${name}:1`;
  const insecure = ['--tls-verify=false', '-q'];
  // The same storage under another program.
  const podman = (args: readonly string[]) => ['podman', ...buildah.command(args).slice(1)];
  let fresh = 0;
  const next = (name: string) => `${registry.host}/${name}${++fresh}:1`;
  await our('copy', '-q', large, at('large'));
  await our('copy', '-q', many, at('many'));
  await our('pull', '-q', at('many'));
  await our('copy', '-q', large, 'store://large:1');
  await mustRun(...split(buildah.command(['pull', ...insecure, `docker://${at('large')}`])));
  await docker.docker(['pull', '-q', at('large')]);
  await docker.docker(['pull', '-q', at('many')]);

  const skopeoTo = folder.join('skopeo');
  const scenarios: Record<string, () => readonly Contender[]> = {
    'pull-500MB': () => [
      {
        name: 'tsbuild',
        prepare: async () => rmSync(folder.join('cold'), { recursive: true, force: true }),
        commands: [['env', `TSBUILD_HOME=${folder.join('cold')}`, ...tsbuild, 'pull', '-q', at('large')]],
      },
      {
        name: 'skopeo',
        prepare: async () => rmSync(skopeoTo, { recursive: true, force: true }),
        commands: [['skopeo', 'copy', '-q', '--src-tls-verify=false', `docker://${at('large')}`, `oci:${skopeoTo}:1`]],
      },
      {
        name: 'buildah',
        prepare: () => mustRun(...split(buildah.command(['rmi', '--all', '--force']))),
        commands: [buildah.command(['pull', ...insecure, `docker://${at('large')}`])],
      },
      {
        name: 'podman',
        prepare: () => mustRun(...split(podman(['rmi', '--all', '--force']))),
        commands: [podman(['pull', ...insecure, `docker://${at('large')}`])],
      },
      {
        name: 'docker',
        ...(docker.pid !== undefined && { daemon: docker.pid }),
        prepare: () => docker.docker(['image', 'rm', '-f', at('large')]),
        commands: [['docker', '-H', docker.host, 'pull', '-q', at('large')]],
      },
    ],
    'push-500MB': () => {
      // A repository nobody pushed to, and a registry that has forgotten the blobs.
      const [ours, theirs, third, fourth] = [next('ours'), next('skopeo'), next('buildah'), next('docker')];
      const fifth = next('podman');
      const forget = async () =>
        rmSync(`${registry.folder}/storage/docker/registry/v2`, { recursive: true, force: true });
      return [
        { name: 'tsbuild', prepare: forget, commands: [[...tsbuild, 'copy', '-q', 'store://large:1', ours]] },
        {
          name: 'skopeo',
          prepare: forget,
          commands: [
            ['skopeo', 'copy', '-q', '--dest-tls-verify=false', `oci:${folder.join('large')}:1`, `docker://${theirs}`],
          ],
        },
        {
          name: 'buildah',
          prepare: forget,
          commands: [buildah.command(['push', ...insecure, at('large'), `docker://${third}`])],
        },
        {
          name: 'podman',
          prepare: forget,
          commands: [podman(['push', ...insecure, at('large'), `docker://${fifth}`])],
        },
        {
          name: 'docker',
          ...(docker.pid !== undefined && { daemon: docker.pid }),
          prepare: async () => {
            await forget();
            await docker.docker(['tag', at('large'), fourth]);
          },
          commands: [['docker', '-H', docker.host, 'push', '-q', fourth]],
        },
      ];
    },
    'uptodate-pull-100-layers': () => [
      {
        name: 'tsbuild',
        prepare: () => our('copy', '-q', many, at('many')),
        commands: [[...tsbuild, 'pull', '-q', at('many')]],
      },
      {
        name: 'docker',
        ...(docker.pid !== undefined && { daemon: docker.pid }),
        commands: [['docker', '-H', docker.host, 'pull', '-q', at('many')]],
      },
    ],
    'uptodate-push-100-layers': () => [
      // Once, so that what publishing makes of the layers is there too.
      {
        name: 'tsbuild',
        prepare: () => our('push', '-q', at('many')),
        commands: [[...tsbuild, 'push', '-q', at('many')]],
      },
      {
        name: 'docker',
        ...(docker.pid !== undefined && { daemon: docker.pid }),
        prepare: () => docker.docker(['push', '-q', at('many')]),
        commands: [['docker', '-H', docker.host, 'push', '-q', at('many')]],
      },
    ],
    'small-commands': () => [
      { name: 'digest', commands: [[...tsbuild, 'digest', at('many')]] },
      { name: 'ls', commands: [[...tsbuild, 'ls', at('many').replace(/:1$/, '')]] },
      { name: 'inspect', commands: [[...tsbuild, 'inspect', at('many')]] },
      { name: 'inspect there', commands: [[...tsbuild, 'inspect', `docker://${at('many')}`]] },
      { name: 'node -e 0', commands: [[process.execPath, '-e', '0']] },
    ],
  };
  for (const [name, contenders] of Object.entries(scenarios)) {
    if (values.only && !values.only.some((part) => name.startsWith(part))) continue;
    const measured = new Map<string, Measurement[]>();
    for (let run = 0; run < runs; run += 1) {
      for (const { name: who, prepare, commands, daemon } of contenders()) {
        await prepare?.();
        const result = await measure(daemon === undefined ? undefined : { daemon }, commands, environment);
        measured.set(who, [...(measured.get(who) ?? []), result]);
      }
    }
    print(name, measured);
  }
  return 0;
}

function print(scenario: string, measured: ReadonlyMap<string, readonly Measurement[]>): void {
  const times = new Map([...measured].map(([who, list]) => [who, median(list.map((one) => one.milliseconds))]));
  const ours = times.get('tsbuild');
  console.log(`\n${scenario}`);
  for (const [who, list] of measured) {
    const time = times.get(who) ?? Number.NaN;
    const peak = Math.max(...list.map((one) => one.peakMemory)) / 2 ** 20;
    const ratio = ours === undefined || who === 'tsbuild' ? '' : `tsbuild / ${who} = ${(ours / time).toFixed(2)}`;
    console.log(
      `  ${who.padEnd(14)} ${time.toFixed(0).padStart(7)} ms ${peak.toFixed(0).padStart(5)} MiB  ${ratio}`.trimEnd(),
    );
  }
}

/** An OCI layout with layers of incompressible tars, whose gzip form is stored blocks: as large on the wire as on disk. */
function writeLayout(folder: string, sizes: readonly number[]): string {
  mkdirSync(`${folder}/blobs/sha256`, { recursive: true });
  const put = (bytes: Uint8Array, mediaType: string) => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    writeFileSync(`${folder}/blobs/sha256/${hex}`, bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.byteLength };
  };
  const layers = sizes.map((size, index) =>
    put(tarOf(folder, `file${index}`, size), 'application/vnd.oci.image.layer.v1.tar'),
  );
  const config = put(
    Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        config: {},
        rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
        history: layers.map(() => ({ created_by: 'bench' })),
      }),
    ),
    'application/vnd.oci.image.config.v1+json',
  );
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = put(Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers })), mediaType);
  const annotations = { 'org.opencontainers.image.ref.name': '1' };
  writeFileSync(
    `${folder}/index.json`,
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }),
  );
  writeFileSync(`${folder}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
  return `oci:${folder}:1`;
}

function tarOf(folder: string, name: string, size: number): Uint8Array {
  const content = `${folder}/content`;
  rmSync(content, { force: true });
  for (let left = size; left > 0; left -= 10_000_000) appendFileSync(content, randomBytes(Math.min(left, 10_000_000)));
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write(
    `0000644\0${'0'.repeat(7)}\0${'0'.repeat(7)}\0${size.toString(8).padStart(11, '0')}\0${'0'.repeat(11)}\0        0`,
    100,
  );
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const padding = Buffer.alloc((512 - (size % 512)) % 512);
  const bytes = Buffer.concat([header, readFileSync(content), padding, Buffer.alloc(1024)]);
  rmSync(content);
  return bytes;
}

function split(command: readonly string[]): [string, string[]] {
  const [program = '', ...args] = command;
  return [program, args];
}
