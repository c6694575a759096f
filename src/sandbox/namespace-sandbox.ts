/**
 * The rungs `root`, `userns` and `chroot`: each step is one run of the helper, which serves them all.
 * Invariant: a command that fails is a result; what keeps it from running is an error.
 */
import { cancelled, distPath, type EventSink, TsbuildError, throwIfAborted } from '../core/index.ts';
import { runAttached } from './attached-step.ts';
import { type ControlGroup, controlGroupName, makeControlGroup } from './control-groups.ts';
import { encodeSpec, serverMode } from './encode-spec.ts';
import { hostsFile, resolvConf } from './etc-files.ts';
import { execMessage, failureOf } from './failures.ts';
import { forwardSockets } from './forward-socket.ts';
import { readText } from './host-facts.ts';
import { type HelperEnd, type HelperRecord, signalName } from './records.ts';
import { type SharedNetwork, shareNetwork } from './shared-network.ts';
import { StepServer } from './step-server.ts';
import type { Rung, RunOptions, Sandbox, StepResult, StepSpec } from './types.ts';

const program = distPath('native/tsbuild-sandbox');
/** Milliseconds for which what was read of the machine, its resolvers for one, is taken to be so. */
const freshness = 1000;

export interface NamespaceSandboxOptions {
  readonly rung: Exclude<Rung, 'none'>;
  readonly singleId: boolean;
  readonly events: EventSink;
  /** Milliseconds between SIGTERM and SIGKILL after an abort. Default 2000. */
  readonly graceMilliseconds?: number;
  /** Arguments that start the helper inside a user namespace of its own: for a probe from outside. */
  readonly launch?: readonly string[];
  /** Behave as on a kernel before 5.2: for tests. */
  readonly legacyMounts?: boolean;
  /** A step could not be set up, whatever its command. */
  readonly onSetupFailed?: () => Promise<void> | undefined;
}

export class NamespaceSandbox implements Sandbox {
  readonly #options: NamespaceSandboxOptions;
  readonly #server: StepServer;
  #shared: Promise<'host' | SharedNetwork> | undefined;
  #steps = 0;
  #resolvers = { text: '', read: Number.NEGATIVE_INFINITY };
  readonly #admitted = new Set<string>();

  constructor(options: NamespaceSandboxOptions) {
    this.#options = options;
    this.#server = new StepServer(program, serverMode(options.rung, options.legacyMounts === true));
  }

  get rung(): Rung {
    return this.#options.rung;
  }

  async run(step: StepSpec, options: RunOptions): Promise<StepResult> {
    throwIfAborted(options.signal);
    if (this.#options.rung === 'chroot' && step.rootfs.kind !== 'directory') {
      throw new TsbuildError({
        code: 'sandbox-setup-failed',
        message: 'the rung chroot needs the root file system of a step as one directory',
        hint: 'run `tsbuild doctor` to see what would enable a rung with overlayfs',
      });
    }
    this.#admit(step);
    const network = await this.#network(step.network);
    throwIfAborted(options.signal);
    const { rung, singleId, graceMilliseconds = 2000, legacyMounts = false } = this.#options;
    const group = makeControlGroup(step.limits, controlGroupName(this.#steps++));
    let sockets: Awaited<ReturnType<typeof forwardSockets>> | undefined;
    try {
      sockets = await forwardSockets(step.mounts);
      const given = { ...step, mounts: sockets.mounts };
      const encode = () =>
        encodeSpec(given, {
          rung,
          // Not checked where another process stands between.
          parent: this.#options.launch === undefined ? process.pid : 0,
          graceMilliseconds,
          singleId,
          attach: options.attach,
          held: options.held !== undefined,
          legacyMounts,
          ...(typeof network === 'string' ? { network } : { network: 'joined', networkNamespace: network.namespace }),
          resolvConf: resolvConf(this.#readResolvers(), network),
          hosts: hostsFile(step),
          cgroupFiles: group?.joinFiles ?? [],
        });
      const { held } = options;
      const { launch } = this.#options;
      const isAttached = options.attach || launch;
      // Nothing but the server holds a step.
      if (isAttached) await held?.rooted.then(() => held.needed);
      throwIfAborted(options.signal);
      const spec = encode();
      const since = this.#resolvers.read;
      const later = () => (Date.now() - since > freshness ? encode() : undefined);
      const end = await (isAttached
        ? runAttached([program, ...(launch ?? ['run'])], spec, options)
        : this.#server.run(spec, options, later));
      throwIfAborted(options.signal);
      await held?.rooted;
      await held?.needed;
      if (find(end, 'error')) await this.#options.onSetupFailed?.();
      return outOfMemory(end, step, group) ?? resultOf(end, step, options);
    } finally {
      await sockets?.close();
      await group?.remove();
    }
  }

  prepare(network: StepSpec['network']): void {
    // It takes longer than the server. Why there is none, the step says that needs it.
    if (network === 'default') this.#network(network).catch(() => {});
    this.#server.start();
  }

  async close(): Promise<void> {
    const network = await this.#shared;
    await Promise.all([this.#server.close(), typeof network === 'object' ? network.close() : undefined]);
  }

  /** Of this machine. */
  #readResolvers(): string {
    const now = Date.now();
    if (now - this.#resolvers.read > freshness) this.#resolvers = { text: readText('/etc/resolv.conf'), read: now };
    return this.#resolvers.text;
  }

  /** What a step's network is here; the fallback of `default` is announced once. */
  async #network(wanted: StepSpec['network']): Promise<'host' | 'none' | SharedNetwork> {
    if (wanted !== 'default') return wanted;
    this.#shared ??= this.#share();
    return this.#shared;
  }

  /** What this rung cannot give a step that asks for it: said once each. */
  #admit({ network, user }: StepSpec): void {
    const { rung, singleId } = this.#options;
    if (rung === 'chroot' && network === 'none') {
      this.#warn(
        'RUN --network=none has no sockets on the rung chroot, not even for its own loopback; setuid programs gain nothing there',
        'network-none',
      );
    }
    if (singleId && !/^(root|0)?(:(root|0)?)?$/.test(user)) {
      this.#warn('USER has no effect: only one user ID is available, and steps run as root of it', 'one-user');
    }
  }

  #warn(message: string, code: string): void {
    if (this.#admitted.has(code)) return;
    this.#admitted.add(code);
    this.#options.events({ kind: 'notice', level: 'warning', message, code });
  }

  async #share(): Promise<'host' | SharedNetwork> {
    const { rung, events } = this.#options;
    const network = rung === 'chroot' ? { because: 'the rung chroot has no namespaces' } : await shareNetwork(rung);
    if (!('because' in network)) return network;
    events({
      kind: 'notice',
      level: 'warning',
      message: `RUN uses the network of this machine, there is no private one: ${network.because}`,
      code: 'network-host',
    });
    return 'host';
  }
}

function find<K extends HelperRecord['kind']>(end: HelperEnd, kind: K): Extract<HelperRecord, { kind: K }> | undefined {
  return end.records.find((record): record is Extract<HelperRecord, { kind: K }> => record.kind === kind);
}

/** Also when it took PID 1 of the step, so that no exit was recorded. */
function outOfMemory(end: HelperEnd, step: StepSpec, group: ControlGroup | undefined): StepResult | undefined {
  const where = step.limits.memory === undefined ? 'no' : (group?.outOfMemory() ?? 'no');
  if (where === 'no') return undefined;
  const exit = find(end, 'exit');
  if (exit?.how === 'exited' && exit.number === 0) return undefined;
  const limit = where === 'here' ? step.limits.memory : undefined;
  return { exit: { kind: 'out-of-memory', limit }, usage: usageOf(exit) };
}

function usageOf(exit: Extract<HelperRecord, { kind: 'exit' }> | undefined): StepResult['usage'] {
  return {
    userMicroseconds: exit?.userMicroseconds ?? 0,
    systemMicroseconds: exit?.systemMicroseconds ?? 0,
    maxResidentBytes: exit?.maxResidentBytes ?? 0,
  };
}

function resultOf(end: HelperEnd, step: StepSpec, options: RunOptions): StepResult {
  const error = find(end, 'error');
  if (error) throw failureOf(error);
  const exit = find(end, 'exit');
  if (!exit) {
    throw new TsbuildError({
      code: 'sandbox-lost',
      message: `the sandbox ended before its step did (${end.signal ?? `exit code ${end.code}`})`,
      hint: 'look in the kernel log for an out-of-memory kill',
      ...(options.signal.aborted && { cause: cancelled(options.signal) }),
    });
  }
  const exec = find(end, 'exec');
  if (exec) void options.onOutput('stderr', Buffer.from(execMessage(exec, step)));
  return {
    exit:
      exit.how === 'killed'
        ? { kind: 'killed', signal: signalName(exit.number) }
        : { kind: 'exited', code: exit.number },
    usage: usageOf(exit),
  };
}
