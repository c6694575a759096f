/**
 * A Dockerfile as typed instructions. Pure data: nothing here is expanded, resolved or checked against a context.
 * Invariant: every range lies in the text that was parsed; a Dockerfile with an `error` diagnostic still has every
 * instruction that could be read.
 */
import type { Range } from '../../core/index.ts';

/** A word as written: quotes, escapes and `$` still in it; `expandWord` reads it. */
export interface Word {
  readonly raw: string;
  readonly range: Range;
}

export interface Heredoc {
  /** The delimiter without quotes. */
  readonly name: string;
  /** False when the delimiter was quoted. */
  readonly expand: boolean;
  /** `<<-`: leading tabs are stripped (already done in `content`). */
  readonly stripTabs: boolean;
  /** `3<<EOF` has 3; default 0. */
  readonly fd: number;
  readonly content: string;
  /** The lines as written, tabs included, without the terminator. */
  readonly raw: string;
  /** Of the word that announces it, `<<EOF`. */
  readonly range: Range;
}

/** Shell form keeps its text; JSON form its strings. */
export type Command =
  | { readonly form: 'shell'; readonly text: string }
  | { readonly form: 'exec'; readonly args: readonly string[] };

interface Common {
  /** The keyword as written, `run` or `RUN`. */
  readonly keyword: string;
  readonly range: Range;
  /** The instruction with continuations joined and comments dropped, heredoc bodies left out. */
  readonly original: string;
  /** The comment lines directly above, without `#`: descriptions, and `check=skip=…` for this instruction. */
  readonly comments?: readonly string[];
  /** An empty line stands between the comments and the instruction: they describe something else. */
  readonly commentsDetached?: true;
  /** The last empty line inside its continuations. */
  readonly emptyContinuation?: Range;
}

export interface FromInstruction extends Common {
  readonly kind: 'from';
  readonly image: Word;
  readonly platform?: Word;
  /** Lower case. */
  readonly name?: string;
  /** As written. */
  readonly nameWord?: Word;
  /** `AS` as written. */
  readonly asKeyword?: string;
}

/** One `--mount=…`: its fields in order, values unexpanded; keys and literal values are validated. */
export interface MountFlag {
  readonly range: Range;
  readonly raw: string;
  readonly type: 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh';
  readonly fields: readonly { readonly key: string; readonly value: string | undefined }[];
}

export interface RunInstruction extends Common {
  readonly kind: 'run';
  readonly command: Command;
  readonly heredocs: readonly Heredoc[];
  readonly mounts: readonly MountFlag[];
  readonly network?: Word;
  readonly security?: Word;
  /** `--device=…`, as written. */
  readonly devices?: readonly Word[];
}

export type CopySource =
  | { readonly kind: 'path'; readonly word: Word }
  | { readonly kind: 'heredoc'; readonly heredoc: Heredoc };

export interface CopyInstruction extends Common {
  readonly kind: 'copy' | 'add';
  readonly sources: readonly CopySource[];
  readonly destination: Word;
  readonly from?: Word;
  readonly chown?: Word;
  readonly chmod?: Word;
  readonly link: boolean;
  readonly parents: boolean;
  readonly excludes: readonly Word[];
  readonly checksum?: Word;
  readonly keepGitDir?: boolean;
  readonly unpack?: boolean;
}

export interface Pair {
  readonly name: Word;
  readonly value: Word;
}

export interface EnvInstruction extends Common {
  readonly kind: 'env';
  readonly pairs: readonly Pair[];
  /** `ENV k v`. */
  readonly legacy: boolean;
}

export interface LabelInstruction extends Common {
  readonly kind: 'label';
  readonly pairs: readonly Pair[];
  readonly legacy: boolean;
}

export interface ArgInstruction extends Common {
  readonly kind: 'arg';
  readonly args: readonly { readonly name: Word; readonly value?: Word }[];
}

export interface CommandInstruction extends Common {
  readonly kind: 'cmd' | 'entrypoint';
  readonly command: Command;
}

export interface ShellInstruction extends Common {
  readonly kind: 'shell';
  readonly args: readonly string[];
}

export interface WordInstruction extends Common {
  readonly kind: 'workdir' | 'user' | 'stopsignal' | 'maintainer';
  readonly word: Word;
}

export interface WordsInstruction extends Common {
  readonly kind: 'expose' | 'volume';
  readonly words: readonly Word[];
}

export interface HealthcheckInstruction extends Common {
  readonly kind: 'healthcheck';
  readonly check:
    | { readonly kind: 'none' }
    | {
        readonly kind: 'command';
        readonly command: Command;
        /** Nanoseconds; 0: inherit. */
        readonly interval: number;
        readonly timeout: number;
        readonly startPeriod: number;
        readonly startInterval: number;
        readonly retries: number;
      };
}

export interface OnbuildInstruction extends Common {
  readonly kind: 'onbuild';
  /** What goes into the image's configuration: the trigger's text with heredocs. */
  readonly trigger: string;
}

export type StageInstruction =
  | RunInstruction
  | CopyInstruction
  | EnvInstruction
  | LabelInstruction
  | ArgInstruction
  | CommandInstruction
  | ShellInstruction
  | WordInstruction
  | WordsInstruction
  | HealthcheckInstruction
  | OnbuildInstruction;

export type Instruction = FromInstruction | StageInstruction;

export interface ParsedStage {
  readonly from: FromInstruction;
  readonly instructions: readonly StageInstruction[];
}

export interface Diagnostic {
  readonly severity: 'error' | 'warning';
  /** An ErrorCode for errors; a build check's rule name (`StageNameCasing`) for warnings. */
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  readonly range: Range;
  /** An error only if the stage it stands in is built: BuildKit reads mounts when it reaches them. */
  readonly whenBuilt?: true;
}

export interface Directives {
  /** `# syntax=`: a version hint, never fetched. */
  readonly syntax?: string;
  readonly escape: '\\' | '`';
  readonly check?: {
    readonly skip: readonly string[];
    readonly skipAll: boolean;
    readonly error: boolean;
    readonly experimental: readonly string[];
  };
}

export interface ParsedDockerfile {
  /** For messages. */
  readonly file: string;
  readonly text: string;
  readonly directives: Directives;
  /** ARGs before the first FROM. */
  readonly globalArgs: readonly ArgInstruction[];
  readonly stages: readonly ParsedStage[];
  /** In the order of the text. */
  readonly diagnostics: readonly Diagnostic[];
}
