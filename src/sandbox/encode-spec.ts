/**
 * A step in the helper's wire form (version 1; native/spec.h has the other side).
 * Invariant: a text with a NUL never reaches the helper; order matters only in that a mount's entries follow it.
 */
import { TsbuildError } from '../core/index.ts';
import type { RootFs, RunOptions, StepMount, StepSpec } from './types.ts';

const tags = {
  rung: 1,
  parent: 2,
  grace: 3,
  legacyMounts: 4,
  singleId: 5,
  terminal: 6,
  input: 7,
  held: 8,
  lower: 10,
  upper: 11,
  work: 12,
  directory: 13,
  argument: 20,
  variable: 21,
  cwd: 22,
  user: 23,
  hostname: 24,
  network: 25,
  insecure: 26,
  resolvConf: 27,
  hosts: 28,
  shmSize: 29,
  resourceLimit: 30,
  cgroup: 31,
  networkNamespace: 32,
  mount: 40,
  target: 41,
  source: 42,
  readOnly: 43,
  discard: 44,
  size: 45,
  mode: 46,
  uid: 47,
  gid: 48,
  content: 49,
} as const;

/** Bytes of the whole and of an entry, before what they hold. */
const [headerSize, entryHeader] = [8, 5];

/** What the tags of a mount's tree are more than those of the step's own. */
const mountRootOffset = 40;
const rungNumbers = { root: 0, userns: 1, chroot: 2 } as const;
const networkNumbers = { host: 0, none: 1, joined: 2 } as const;
const mountKinds = { bind: 0, tmpfs: 1, secret: 2, socket: 3 } as const;

/** Linux's numbers of the limits `--ulimit` names. */
const resources: Readonly<Record<string, number>> = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
};

/** What the sandbox decides about a step, beyond what the step says. */
export interface StepSetting {
  readonly rung: keyof typeof rungNumbers;
  /** Process ID of this process: the helper ends when it is another's child. */
  readonly parent: number;
  /** Milliseconds between SIGTERM and SIGKILL after an abort. */
  readonly graceMilliseconds: number;
  readonly singleId: boolean;
  readonly attach?: RunOptions['attach'];
  /** Its program waits for `requests.begin` (step-server.ts); of an attached step it does not. */
  readonly held: boolean;
  /** Behave as on a kernel before 5.2. */
  readonly legacyMounts: boolean;
  readonly network: keyof typeof networkNumbers;
  /** For `joined`: a file that stands for a network namespace. */
  readonly networkNamespace?: string;
  readonly resolvConf: string;
  readonly hosts: string;
  /** Files the step's process ID is written to. */
  readonly cgroupFiles: readonly string[];
}

/** The arguments of a server (native/main.c): what its steps have in common, and so can be prepared for them. */
export function serverMode(rung: StepSetting['rung'], legacyMounts: boolean): string[] {
  return [String(rungNumbers[rung]), legacyMounts ? '1' : '0'];
}

/** @throws TsbuildError `sandbox-step-invalid` for a NUL in a text or an unknown limit */
export function encodeSpec(step: StepSpec, setting: StepSetting): Buffer {
  const writer = new SpecWriter();
  putSetting(writer, setting);
  putStep(writer, step);
  for (const mount of step.mounts) putMount(writer, mount);
  return writer.spec();
}

/** One buffer, which grows: a spec has some fifty entries of a few bytes. */
class SpecWriter implements Writer {
  #data = Buffer.allocUnsafe(4096);
  #size = headerSize;

  bytes(tag: number, value: Uint8Array): void {
    this.#begin(tag, value.byteLength);
    this.#data.set(value, this.#size);
    this.#size += value.byteLength;
  }

  text(tag: number, value: string): void {
    if (value.includes('\0')) {
      throw new TsbuildError({
        code: 'sandbox-step-invalid',
        message: `${JSON.stringify(value)} contains a NUL character`,
      });
    }
    const length = Buffer.byteLength(value) + 1;
    this.#begin(tag, length);
    this.#data.write(value, this.#size);
    this.#data[this.#size + length - 1] = 0;
    this.#size += length;
  }

  number(tag: number, value: number): void {
    this.bytes(tag, numbers([value]));
  }

  flag(tag: number, value: boolean): void {
    if (value) this.number(tag, 1);
  }

  spec(): Buffer {
    this.#data.write('TSB1', 0, 'latin1');
    this.#data.writeUInt32LE(this.#size - headerSize, 4);
    return this.#data.subarray(0, this.#size);
  }

  #begin(tag: number, length: number): void {
    const end = this.#size + entryHeader + length;
    if (end > this.#data.length) this.#data = Buffer.concat([this.#data], 2 * end);
    this.#data[this.#size] = tag;
    this.#data.writeUInt32LE(length, this.#size + 1);
    this.#size += entryHeader;
  }
}

interface Writer {
  bytes(tag: number, value: Uint8Array): void;
  text(tag: number, value: string): void;
  number(tag: number, value: number): void;
  /** Absent means false. */
  flag(tag: number, value: boolean): void;
}

function putSetting(writer: Writer, setting: StepSetting): void {
  writer.number(tags.rung, rungNumbers[setting.rung]);
  writer.number(tags.parent, setting.parent);
  writer.number(tags.grace, setting.graceMilliseconds);
  writer.flag(tags.legacyMounts, setting.legacyMounts);
  writer.flag(tags.singleId, setting.singleId);
  writer.flag(tags.terminal, setting.attach?.terminal === true);
  writer.flag(tags.input, setting.attach?.input === true);
  writer.flag(tags.held, setting.held);
  writer.number(tags.network, networkNumbers[setting.network]);
  if (setting.networkNamespace !== undefined) writer.text(tags.networkNamespace, setting.networkNamespace);
  writer.bytes(tags.resolvConf, Buffer.from(setting.resolvConf));
  writer.bytes(tags.hosts, Buffer.from(setting.hosts));
  for (const file of setting.cgroupFiles) writer.text(tags.cgroup, file);
}

function putStep(writer: Writer, step: StepSpec): void {
  putRoot(writer, step.rootfs, 0);
  for (const argument of step.args) writer.text(tags.argument, argument);
  for (const variable of step.env) writer.text(tags.variable, variable);
  writer.text(tags.cwd, step.cwd);
  writer.text(tags.user, step.user);
  writer.text(tags.hostname, step.hostname);
  writer.flag(tags.insecure, step.security === 'insecure');
  writer.number(tags.shmSize, step.limits.shmSize ?? 64 * 1024 * 1024);
  for (const { name, soft, hard } of step.limits.ulimits ?? []) {
    const resource = resources[name];
    if (resource === undefined) {
      throw new TsbuildError({
        code: 'sandbox-step-invalid',
        message: `there is no resource limit named ${name}`,
        hint: `use one of ${Object.keys(resources).join(', ')}`,
      });
    }
    writer.bytes(tags.resourceLimit, numbers([resource, soft, hard]));
  }
}

/** An empty `upper` makes an overlay nothing can write to. */
function putRoot(writer: Writer, root: RootFs, offset: number): void {
  if (root.kind === 'directory') return writer.text(tags.directory + offset, root.path);
  for (const lower of root.lowers) writer.text(tags.lower + offset, lower);
  if (root.upper === '') return;
  writer.text(tags.upper + offset, root.upper);
  writer.text(tags.work + offset, root.work);
}

function putMount(writer: Writer, mount: StepMount): void {
  writer.number(tags.mount, mountKinds[mount.kind]);
  writer.text(tags.target, mount.target);
  switch (mount.kind) {
    case 'bind':
      writer.text(tags.source, mount.source);
      writer.flag(tags.readOnly, mount.readOnly);
      writer.flag(tags.discard, mount.discardWrites === true && !mount.readOnly);
      putRoot(
        writer,
        typeof mount.root === 'string' ? { kind: 'directory', path: mount.root } : mount.root,
        mountRootOffset,
      );
      return;
    case 'tmpfs':
      writer.number(tags.mode, mount.mode ?? 0o1777);
      if (mount.size !== undefined) writer.number(tags.size, mount.size);
      return;
    case 'secret':
      writer.bytes(tags.content, mount.content);
      return putOwner(writer, mount);
    case 'socket':
      writer.text(tags.source, mount.source);
      return putOwner(writer, mount);
  }
}

function putOwner(writer: Writer, owner: { readonly mode: number; readonly uid: number; readonly gid: number }): void {
  writer.number(tags.mode, owner.mode);
  writer.number(tags.uid, owner.uid);
  writer.number(tags.gid, owner.gid);
}

/** -1 is "unlimited". */
function numbers(values: readonly number[]): Buffer {
  const data = Buffer.alloc(8 * values.length);
  values.forEach((value, index) => {
    data.writeBigUInt64LE(value === -1 ? 0xffff_ffff_ffff_ffffn : BigInt(Math.trunc(value)), 8 * index);
  });
  return data;
}
