/**
 * One command in an image, in the sandbox that RUN has: to look at what was built without an engine.
 * Invariant: the image is not changed; what the command writes to its root is thrown away.
 */
import { statSync } from 'node:fs';
import { posix } from 'node:path';
import { TsbuildError } from '../core/index.ts';
import type { RuntimeConfig } from '../image/index.ts';
import {
  createSandbox,
  type RunOptions,
  type Sandbox,
  type StepLimits,
  type StepMount,
  type StepResult,
  type StepSpec,
} from '../sandbox/index.ts';
import { fetchMissing } from './fetch-missing.ts';
import { findShell } from './find-shell.ts';
import { emulatorFor } from './foreign-platforms.ts';
import { probeMemory } from './probe-memory.ts';
import { openStepRoot, type StepRoot } from './solve/step-root.ts';
import { chainDigest } from './solve/types.ts';
import type { BuildPorts, BuildRequest, ResolvedImage } from './types.ts';

export interface RunRequest {
  /** After the entrypoint, in place of the image's command; `shell`: the shell the image has, without its entrypoint. */
  readonly command: readonly string[] | 'shell';
  /** Instead of the image's; [] for none. */
  readonly entrypoint?: readonly string[];
  /** `NAME=value`, over the image's. */
  readonly env: readonly string[];
  readonly cwd?: string;
  readonly user?: string;
  readonly hostname: string;
  readonly network: BuildRequest['network'];
  readonly extraHosts: BuildRequest['extraHosts'];
  readonly volumes: readonly Volume[];
  readonly tmpfs: readonly string[];
  readonly limits: StepLimits;
  readonly isolation: BuildRequest['isolation'];
}

/** A file or directory of this machine. */
export interface Volume {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

export interface PreparedRun extends AsyncDisposable {
  run(options: RunOptions): Promise<StepResult>;
}

export type RunPorts = Pick<BuildPorts, 'store' | 'baseImages' | 'events' | 'signal'>;

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Brings the layers here and unpacks them, so that `run` only runs.
 * @throws TsbuildError `usage` for an image without a command, `shell-missing`, `sandbox-*`
 */
export async function prepareRun(image: ResolvedImage, request: RunRequest, ports: RunPorts): Promise<PreparedRun> {
  const { store, events, signal } = ports;
  const chain = {
    signal,
    ensure: fetchMissing(ports),
    onNote: (message: string) => events({ kind: 'notice', level: 'warning', message }),
  };
  const args = argumentsOf(image.config.config, request);
  const command = args === 'shell' ? [findShell(await store.tree(image.layers, chain))] : args;
  if (command.length === 0) {
    throw new TsbuildError({
      code: 'usage',
      message: `${image.reference} has neither an ENTRYPOINT nor a CMD`,
      hint: `Name a command: tsbuild run ${image.reference} COMMAND`,
    });
  }
  const mounts = [...emulatorFor(image.platform), ...mountsOf(request)];
  const sandbox = await createSandbox({
    isolation: request.isolation,
    events,
    scratch: store.temporaryFolder(),
    memory: probeMemory(store),
  });
  let root: StepRoot | undefined;
  const release = async () => {
    await root?.release();
    await sandbox.close();
  };
  try {
    refuseVolumes(sandbox, request.volumes);
    root = await openStepRoot(
      { ...chain, store, below: image.layers, belowDigest: chainDigest(image.layers) },
      sandbox.rung,
    );
    const { User = '', WorkingDir = '' } = image.config.config;
    const spec: StepSpec = {
      rootfs: root.rootfs,
      args: command,
      env: environmentOf(image.config.config, request),
      cwd: request.cwd ?? (WorkingDir || '/'),
      user: request.user ?? User,
      hostname: request.hostname,
      network: request.network,
      security: 'sandbox',
      mounts: await root.place(mounts),
      extraHosts: request.extraHosts,
      limits: request.limits,
    };
    return { run: (options) => sandbox.run(spec, options), [Symbol.asyncDispose]: release };
  } catch (error) {
    await release();
    throw error;
  }
}

function argumentsOf({ Entrypoint = [], Cmd = [] }: RuntimeConfig, request: RunRequest): readonly string[] | 'shell' {
  const { command, entrypoint } = request;
  if (command === 'shell') return command;
  // As docker: an entrypoint of one's own takes the image's command away.
  const own = entrypoint === undefined && command.length === 0 ? Cmd : command;
  return [...(entrypoint ?? Entrypoint), ...own];
}

/** Later ones win; an image without PATH gets docker's. */
function environmentOf({ Env = [] }: RuntimeConfig, request: RunRequest): readonly string[] {
  const entries = [`PATH=${defaultPath}`, `HOSTNAME=${request.hostname}`, ...Env, ...request.env];
  return [...new Map(entries.map((entry) => [entry.slice(0, entry.indexOf('=')), entry])).values()];
}

function mountsOf({ volumes, tmpfs }: RunRequest): readonly StepMount[] {
  return [...volumes.map(volumeMount), ...tmpfs.map((target) => ({ kind: 'tmpfs', target }) as const)];
}

/** A single file is bound from the directory it lies in. */
function volumeMount({ source, target, readOnly }: Volume): StepMount {
  const status = statSync(source, { throwIfNoEntry: false });
  if (!status) {
    throw new TsbuildError({
      code: 'sandbox-mount-failed',
      message: `the volume ${source} does not exist`,
      hint: 'Make the file or directory first.',
    });
  }
  const isDirectory = status.isDirectory();
  return {
    kind: 'bind',
    root: isDirectory ? source : posix.dirname(source),
    source: isDirectory ? '/' : `/${posix.basename(source)}`,
    target,
    readOnly,
  };
}

/** There a mount is a copy that would take the place of what it is a copy of. */
function refuseVolumes({ rung }: Sandbox, volumes: readonly Volume[]): void {
  const writable = volumes.find(({ readOnly }) => !readOnly);
  if (rung !== 'chroot' || !writable) return;
  throw new TsbuildError({
    code: 'sandbox-mount-failed',
    message: `the volume ${writable.source} cannot be written to on the rung chroot, where mounts are copies`,
    hint: `Add :ro, or run \`tsbuild doctor\` to see what would enable a rung that mounts.`,
  });
}
