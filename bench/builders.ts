/** The builders that are compared, each with the base image `base` and a storage of its own. */
import { mkdirSync } from 'node:fs';
import { busyboxImage } from '../test/support/base-images.ts';
import { buildahMissing, startBuildah } from '../test/support/buildah.ts';
import { mustRun } from '../test/support/command.ts';
import { dockerdMissing, startDockerd } from '../test/support/dockerd.ts';
import { writeDockerArchive } from '../test/support/image-files.ts';
import { commandPath } from '../test/support/tsbuild.ts';

export interface BuildOptions {
  readonly tag: string;
  readonly cache: 'use' | 'ignore';
  /** A gzip OCI archive of the result. */
  readonly archive?: string;
}

export interface Builder extends AsyncDisposable {
  readonly name: 'tsbuild' | 'buildah' | 'docker';
  /** Process ID of what works in the background, whose memory counts. */
  readonly daemon?: number;
  readonly environment: Readonly<Record<string, string>>;
  /** The commands of one build, to be run in order. */
  commands(context: string, options: BuildOptions): readonly (readonly string[])[];
}

/** Starts those that are installed; says which are not. */
export async function startBuilders(folder: string): Promise<readonly Builder[]> {
  mkdirSync(folder, { recursive: true });
  const archive = `${folder}/base.tar`;
  writeDockerArchive(archive, busyboxImage());
  const builders: Builder[] = [await tsbuildBuilder(folder, archive)];
  const noBuildah = await buildahMissing();
  if (noBuildah) console.log(`without buildah: ${noBuildah}`);
  else builders.push(await buildahBuilder(archive));
  const noDocker = dockerdMissing();
  if (noDocker) console.log(`without docker: ${noDocker}`);
  else builders.push(await dockerBuilder(archive));
  return builders;
}

async function tsbuildBuilder(folder: string, base: string): Promise<Builder> {
  const environment = { TSBUILD_HOME: `${folder}/tsbuild` };
  await mustRun(process.execPath, [commandPath, 'load', '--quiet', '-i', base], { env: environment });
  return {
    name: 'tsbuild',
    environment,
    commands: (context, { tag, cache, archive }) => [
      [
        ...[process.execPath, commandPath, 'build', '--progress', 'plain', '-t', tag],
        ...(cache === 'ignore' ? ['--no-cache'] : []),
        ...(archive === undefined ? [] : ['-o', `type=oci,dest=${archive}`]),
        context,
      ],
    ],
    async [Symbol.asyncDispose]() {},
  };
}

async function buildahBuilder(base: string): Promise<Builder> {
  const buildah = await startBuildah();
  await buildah.load(base, 'base');
  return {
    name: 'buildah',
    environment: {},
    commands: (context, { tag, cache, archive }) => [
      // Layers: only then does buildah keep a cache, as the others do.
      buildah.buildCommand(tag, context, ['--layers', ...(cache === 'ignore' ? ['--no-cache'] : [])]),
      ...(archive === undefined ? [] : [buildah.command(['push', '-q', tag, `oci-archive:${archive}`])]),
    ],
    [Symbol.asyncDispose]: () => buildah[Symbol.asyncDispose](),
  };
}

async function dockerBuilder(base: string): Promise<Builder> {
  const engine = await startDockerd();
  await engine.load(base);
  return {
    name: 'docker',
    ...(engine.pid !== undefined && { daemon: engine.pid }),
    environment: { DOCKER_BUILDKIT: '1' },
    commands: (context, { tag, cache, archive }) => [
      engine.buildCommand(tag, context, cache === 'ignore' ? ['--no-cache'] : []),
      ...(archive === undefined
        ? []
        : [
            [
              'skopeo',
              'copy',
              '-q',
              '--src-daemon-host',
              engine.host,
              `docker-daemon:${tag}`,
              `oci-archive:${archive}`,
            ],
          ]),
    ],
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}
