/**
 * The build graph of one platform: which trees are made, by which steps, from what. Pure data, fully expanded; nothing
 * in it depends on the file system or the network beyond the configurations of the base images.
 * Invariant: a stage refers only to stages that stand before it in `Plan.stages`.
 */
import type { Range, SourceLocation } from '../../core/index.ts';
import type { ImageConfig, Platform } from '../../image/index.ts';
import type { ResolvedImage } from '../types.ts';

export interface Plan {
  readonly platform: Platform;
  /** Reachable from the target, dependencies first; the target is the last. */
  readonly stages: readonly PlannedStage[];
}

export interface PlannedStage {
  /** Position of its FROM among all stages of the Dockerfile. */
  readonly id: number;
  /** Its name, or `stage-2`; '' when it is the only stage and has no name. */
  readonly label: string;
  readonly platform: Platform;
  readonly base: StageBase;
  readonly steps: readonly Step[];
  /** The configuration of the stage's image; rootfs and history are the base's and are completed when it is built. */
  readonly config: ImageConfig;
  /** The history entries the stage adds, in order. */
  readonly history: readonly PlannedHistory[];
  /** Look-ups of the cache are skipped. */
  readonly ignoreCache: boolean;
  /** The ARGs of this stage's own instructions, in order. */
  readonly args?: readonly PlannedArgument[];
}

export interface PlannedArgument {
  readonly name: string;
  readonly value?: string;
  /** False: it repeats an ARG that stands before the first FROM, or a predefined one. */
  readonly own: boolean;
  readonly range: Range;
  readonly description?: string;
}

export type StageBase =
  | { readonly kind: 'scratch' }
  | { readonly kind: 'stage'; readonly stage: number }
  | { readonly kind: 'image'; readonly image: ResolvedImage }
  /** A directory, git or http context used by FROM. */
  | { readonly kind: 'context'; readonly name: string };

/** Where COPY, ADD and mounts read from. */
export type TreeSource =
  | { readonly kind: 'context' }
  | { readonly kind: 'named-context'; readonly name: string }
  | { readonly kind: 'stage'; readonly stage: number }
  | { readonly kind: 'image'; readonly image: ResolvedImage }
  | { readonly kind: 'empty' };

export interface PlannedHistory {
  readonly createdBy: string;
  /** Index in `steps` of the step whose layer this entry stands for; undefined: no layer. */
  readonly step?: number;
}

export interface Step {
  /** `[build 2/5] RUN make` */
  readonly title: string;
  readonly location: SourceLocation;
  readonly operation: Operation;
}

export type Operation = RunOperation | CopyStep | MakeDirectory;

export interface RunOperation {
  readonly kind: 'run';
  readonly args: readonly string[];
  /** ENV and ARG, `NAME=value`. */
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: string;
  readonly network: 'default' | 'none' | 'host';
  readonly security: 'sandbox' | 'insecure';
  readonly mounts: readonly PlannedMount[];
  /** A heredoc with a shebang, run as the file /dev/pipes/<name>. */
  readonly script?: { readonly name: string; readonly text: string };
}

export type PlannedMount =
  | {
      readonly kind: 'bind';
      readonly source: TreeSource;
      readonly sourcePath: string;
      readonly target: string;
      readonly readOnly: boolean;
    }
  | {
      readonly kind: 'cache';
      readonly id: string;
      readonly sharing: 'shared' | 'private' | 'locked';
      readonly source: TreeSource;
      readonly sourcePath: string;
      readonly target: string;
      readonly readOnly: boolean;
      readonly mode?: number;
      readonly uid?: number;
      readonly gid?: number;
    }
  | { readonly kind: 'tmpfs'; readonly target: string; readonly size?: number }
  | {
      readonly kind: 'secret';
      readonly id: string;
      /** A file at this path, an environment variable, or both. */
      readonly target?: string;
      readonly env?: string;
      readonly required: boolean;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  | {
      readonly kind: 'ssh';
      readonly id: string;
      readonly target?: string;
      readonly required: boolean;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    };

export interface CopyStep {
  readonly kind: 'copy';
  /** ADD or COPY. */
  readonly add: boolean;
  readonly source: TreeSource;
  readonly patterns: readonly { readonly text: string; readonly location: SourceLocation }[];
  /** Heredocs: inline files. */
  readonly files: readonly { readonly name: string; readonly text: string }[];
  readonly destination: string;
  readonly workdir: string;
  readonly chown?: string;
  readonly chmod?: string;
  readonly link: boolean;
  readonly parents: boolean;
  readonly excludes: readonly string[];
  readonly checksum?: string;
  readonly keepGitDir?: boolean;
  readonly unpack?: boolean;
}

export interface MakeDirectory {
  readonly kind: 'make-directory';
  readonly path: string;
  /** USER at that point, '' for root. */
  readonly user: string;
}
