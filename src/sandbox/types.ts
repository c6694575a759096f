/** What the sandbox room offers: run one command isolated in a root made of directories. Types only. */

/** The isolation ladder, best first (see ARCHITECTURE.md, "trust"). */
export type Rung = 'root' | 'userns' | 'chroot' | 'none';

export type RootFs =
  /**
   * overlayfs, mounted inside the step's own mount namespace. Lowers highest first. As the tree of a bind mount `upper`
   * and `work` may be empty texts: then nothing can write to it.
   */
  | { readonly kind: 'overlay'; readonly lowers: readonly string[]; readonly upper: string; readonly work: string }
  /** A directory used as it is, written in place. */
  | { readonly kind: 'directory'; readonly path: string };

export type StepMount =
  /** `root` is the tree `source` is resolved in, never outside; writes are thrown away when `discardWrites`. */
  | {
      readonly kind: 'bind';
      readonly root: RootFs | string;
      readonly source: string;
      readonly target: string;
      readonly readOnly: boolean;
      readonly discardWrites?: boolean;
    }
  /** `size` bytes; undefined: the kernel's default. */
  | { readonly kind: 'tmpfs'; readonly target: string; readonly size?: number; readonly mode?: number }
  /** Content placed on a tmpfs of the step. */
  | {
      readonly kind: 'secret';
      readonly target: string;
      readonly content: Uint8Array;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  /** A Unix socket of the host; the step sees a forwarded one with this owner and mode. */
  | {
      readonly kind: 'socket';
      readonly source: string;
      readonly target: string;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    };

export interface StepLimits {
  /** Bytes. */
  readonly memory?: number;
  /** Bytes, memory included; -1: unlimited. */
  readonly memorySwap?: number;
  readonly cpuShares?: number;
  /** Microseconds. */
  readonly cpuPeriod?: number;
  readonly cpuQuota?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly pids?: number;
  /** Bytes of /dev/shm. Default 64 MiB. */
  readonly shmSize?: number;
  readonly ulimits?: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly cgroupParent?: string;
}

export interface StepSpec {
  readonly rootfs: RootFs;
  /** Program and arguments; the program is looked up in the step's PATH inside the root. */
  readonly args: readonly string[];
  /** `NAME=value`. HOME is added from the image's passwd when it is missing. */
  readonly env: readonly string[];
  /** Absolute, inside the root; made (0755) when missing. */
  readonly cwd: string;
  /** As USER has it: `''`, `name`, `uid`, `name:group`, `uid:gid`; names are looked up inside the root. */
  readonly user: string;
  readonly hostname: string;
  readonly network: 'default' | 'none' | 'host';
  readonly security: 'sandbox' | 'insecure';
  readonly mounts: readonly StepMount[];
  /** Lines added to /etc/hosts. */
  readonly extraHosts: readonly { readonly host: string; readonly address: string }[];
  readonly limits: StepLimits;
}

export interface RunOptions {
  readonly signal: AbortSignal;
  /** A promise holds the step's output back until it settles. With a terminal it is called for tsbuild's own words only. */
  readonly onOutput: (stream: 'stdout' | 'stderr', chunk: Uint8Array) => unknown;
  /** What of this process's streams the step has. Default: nothing to read, and its output goes to `onOutput`. */
  readonly attach?: {
    /** Its stdin is ours. */
    readonly input: boolean;
    /** It has a terminal of its own, shown on our stdin and stdout. */
    readonly terminal: boolean;
  };
  /** Whether the step is needed shows later. */
  readonly held?: RunHold;
  /** Called when the step runs, with what sends signals to its main process. */
  readonly onStart?: (send: (signal: NodeJS.Signals) => void) => void;
}

/** All of a step is made ready but its program. Where a promise rejects, there will be no program, and `run` rejects, too. */
export interface RunHold {
  /** Resolves when the directories of the root hold what they are to hold. */
  readonly rooted: Promise<unknown>;
  /** Resolves when the program may start. Settles in any case. */
  readonly needed: Promise<void>;
  /** Its making ready has begun, so that this thread can do something else. */
  readonly onBegun: () => void;
  /** Called at most once: the directories of the root are open, their names may change. */
  readonly onRootOpen: () => void;
}

export interface StepResult {
  readonly exit:
    | { readonly kind: 'exited'; readonly code: number }
    | { readonly kind: 'killed'; readonly signal: string }
    /** The kernel's out-of-memory killer ended it. `limit`: the step's in bytes; undefined when a group above has a lower one. */
    | { readonly kind: 'out-of-memory'; readonly limit: number | undefined };
  readonly usage: {
    readonly userMicroseconds: number;
    readonly systemMicroseconds: number;
    readonly maxResidentBytes: number;
  };
}

export interface Sandbox {
  readonly rung: Rung;
  /** Starts what a step with this network will need, so that it is there when the root is. */
  prepare(network: StepSpec['network']): void;
  /**
   * Runs a step to its end and leaves nothing of it behind: no process, mount, or mount point it had to make.
   * A command that fails is a result, not an error.
   * @throws TsbuildError `sandbox-*` when the step could not be started; `cancelled` after an abort, when all its processes are gone
   */
  run(spec: StepSpec, options: RunOptions): Promise<StepResult>;
  /** After the last step: ends what stands ready for another one, and waits until its processes are gone. */
  close(): Promise<void>;
}

/** What a rung would need here: the findings of `tsbuild doctor`. */
export interface RungReport {
  readonly rung: Rung;
  readonly available: boolean;
  /** Why not, or what is weaker; empty when there is nothing to say. */
  readonly findings: readonly { readonly what: string; readonly remedy?: string }[];
}
