/**
 * A plan as BuildKit writes build steps into provenance: operations in the JSON form of its LLB (moby/buildkit
 * `solver/pb/ops.proto`), each naming the steps it reads from; which lines of the Dockerfile they stand for, and which
 * layers they made. tsbuild's own steps are told in these words; it has no LLB behind them.
 * Invariant: a step comes after all it reads from, the last one is the result; no value of a secret is known here.
 */
import { assertNever, redactText, type SourceLocation } from '../../core/index.ts';
import { type Descriptor, type Platform, toOciLayerType } from '../../image/index.ts';
import type { LayerRef } from '../../layers/index.ts';
import type { ParsedDockerfile } from '../dockerfile/index.ts';
import {
  type CopyStep,
  imageStages,
  type MakeDirectory,
  type Plan,
  type PlannedMount,
  type PlannedStage,
  type RunOperation,
  type Step,
  scriptFolder,
  type TreeSource,
} from '../plan/index.ts';
import type { StageResult } from '../solve/index.ts';
import type { BuildRequest, ResolvedImage } from '../types.ts';
import { gitUri, imageIdentifier, isAddress, isGitAddress, withoutUser } from './sources.ts';

export interface BuildConfig {
  readonly steps: readonly BuildStep[];
  /** By step: `step3`. */
  readonly locations: Readonly<Record<string, unknown>>;
  /** By output: `step3:0`; chains, lowest layer first. */
  readonly layers: Readonly<Record<string, readonly (readonly Descriptor[])[]>>;
}

interface BuildStep {
  readonly id: string;
  readonly op: unknown;
  readonly inputs?: readonly string[];
}

/** `step3:0`; undefined: nothing at all. */
type Output = string | undefined;

export function buildConfig(
  request: BuildRequest,
  parsed: ParsedDockerfile,
  plan: Plan,
  results: ReadonlyMap<number, StageResult>,
): BuildConfig {
  const graph = new Graph(request, parsed);
  const inImage = imageStages(plan.stages);
  for (const stage of plan.stages) graph.addStage(stage, inImage.includes(stage) ? results.get(stage.id) : undefined);
  return graph.finish();
}

class Graph {
  readonly #request: BuildRequest;
  readonly #parsed: ParsedDockerfile;
  readonly #steps: BuildStep[] = [];
  readonly #locations: Record<string, unknown> = {};
  readonly #layers: Record<string, Descriptor[][]> = {};
  readonly #sources = new Map<string, string>();
  readonly #stages = new Map<number, Output>();
  #last: Output;

  constructor(request: BuildRequest, parsed: ParsedDockerfile) {
    this.#request = request;
    this.#parsed = parsed;
  }

  /** @param result of a stage whose layers are the image's */
  addStage(stage: PlannedStage, result: StageResult | undefined): void {
    const from = this.#parsed.stages[stage.id]?.from.range;
    let output = this.#base(stage, from && { file: this.#parsed.file, text: this.#parsed.text, range: from });
    const beneath = (result?.chain.length ?? 0) - stage.steps.length;
    for (const [index, step] of stage.steps.entries()) {
      output = this.#addStep(step, output, stage.platform);
      if (result) this.#made(output, result.chain.slice(0, beneath + index + 1));
    }
    this.#stages.set(stage.id, output);
    this.#last = output;
  }

  finish(): BuildConfig {
    this.#add({ Op: {} }, this.#last === undefined ? [] : [this.#last]);
    return { steps: this.#steps, locations: this.#locations, layers: this.#layers };
  }

  #add(op: unknown, inputs: readonly string[], location?: SourceLocation): string {
    const id = `step${this.#steps.length}`;
    this.#steps.push({ id, op, ...(inputs.length > 0 && { inputs }) });
    const lines = location && { start: { line: location.range.start.line }, end: { line: location.range.end.line } };
    if (lines) this.#locations[id] = { locations: [{ ranges: [lines] }] };
    return `${id}:0`;
  }

  #made(output: string, chain: readonly LayerRef[]): void {
    this.#layers[output] = [
      chain.map(({ blob }) => ({ mediaType: toOciLayerType(blob.mediaType), digest: blob.digest, size: blob.size })),
    ];
  }

  #base({ base, platform }: PlannedStage, location: SourceLocation | undefined): Output {
    switch (base.kind) {
      case 'scratch':
        return undefined;
      case 'stage':
        return this.#stages.get(base.stage);
      case 'image':
        return this.#image(base.image, platform, location);
      case 'context':
        return this.#context(base.name, location);
      default:
        return assertNever(base);
    }
  }

  #tree(source: TreeSource, platform: Platform): Output {
    switch (source.kind) {
      case 'empty':
        return undefined;
      case 'context':
        return this.#context(undefined);
      case 'named-context':
        return this.#context(source.name);
      case 'stage':
        return this.#stages.get(source.stage);
      case 'image':
        return this.#image(source.image, platform);
      default:
        return assertNever(source);
    }
  }

  #context(name: string | undefined, location?: SourceLocation): string {
    const source = name === undefined ? this.#request.context : this.#request.namedContexts.get(name);
    const isRemote = source?.kind === 'git' || source?.kind === 'http';
    return this.#source(isRemote ? addressIdentifier(source) : `local://${name ?? 'context'}`, location);
  }

  #image(image: ResolvedImage, platform: Platform, location?: SourceLocation): string {
    const output = this.#source(imageIdentifier(image), location, platform);
    if (!this.#layers[output]) this.#made(output, image.layers);
    return output;
  }

  #source(identifier: string, location?: SourceLocation, platform?: Platform): string {
    const known = this.#sources.get(identifier);
    if (known !== undefined) return known;
    const op = {
      Op: { source: { identifier } },
      ...(platform && { platform: platformForm(platform) }),
      constraints: {},
    };
    const output = this.#add(op, [], location);
    this.#sources.set(identifier, output);
    return output;
  }

  #addStep({ operation, location }: Step, below: Output, platform: Platform): string {
    const inputs: string[] = [];
    const inputOf = (output: Output): number => {
      if (output === undefined) return -1;
      if (!inputs.includes(output)) inputs.push(output);
      return inputs.indexOf(output);
    };
    const finish = (op: unknown) =>
      this.#add({ Op: op, platform: platformForm(platform), constraints: {} }, inputs, location);
    switch (operation.kind) {
      case 'run':
        return finish({ exec: this.#exec(operation, inputOf(below), inputOf, platform) });
      case 'make-directory':
        return finish({ file: { actions: [mkdirAction(operation, inputOf(below))] } });
      case 'copy': {
        const isMerged = operation.link && below !== undefined;
        const made = finish({ file: this.#copy(operation, inputOf(isMerged ? undefined : below), inputOf, platform) });
        if (!isMerged) return made;
        const merge = { merge: { inputs: [{ input: 0 }, { input: 1 }] } };
        return this.#add({ Op: merge, constraints: {} }, [below, made], location);
      }
      default:
        return assertNever(operation);
    }
  }

  #exec(
    { args, env, cwd, user, network, security, mounts, script }: RunOperation,
    root: number,
    inputOf: (output: Output) => number,
    platform: Platform,
  ): unknown {
    let agents = 0;
    const others = mounts.flatMap((mount) => {
      const input = mount.kind === 'bind' || mount.kind === 'cache' ? inputOf(this.#tree(mount.source, platform)) : -1;
      return mountForm(mount, input, mount.kind === 'ssh' ? agents++ : 0);
    });
    if (script) others.push({ input: inputOf(this.#script(script)), dest: scriptFolder, output: -1, readonly: true });
    const secretenv = mounts.flatMap((mount) =>
      mount.kind === 'secret' && mount.env !== undefined
        ? [{ ID: mount.id, name: mount.env, ...(!mount.required && { optional: true }) }]
        : [],
    );
    return {
      meta: { args, env: env.map(redactText), cwd, ...(user !== '' && { user }) },
      mounts: [{ input: root, dest: '/', output: 0 }, ...others],
      ...(network !== 'default' && { network: network === 'host' ? 1 : 2 }),
      ...(security === 'insecure' && { security: 1 }),
      ...(secretenv.length > 0 && { secretenv }),
    };
  }

  /** A heredoc with a shebang is a file that is run. */
  #script({ name, text }: NonNullable<RunOperation['script']>): string {
    const mkfile = { path: `/${name}`, mode: 0o755, data: base64(text), timestamp: -1 };
    const action = { input: -1, secondaryInput: -1, output: 0, Action: { mkfile } };
    return this.#add({ Op: { file: { actions: [action] } }, constraints: {} }, []);
  }

  #copy(step: CopyStep, root: number, inputOf: (output: Output) => number, platform: Platform): unknown {
    const { destination, files, patterns, chown, chmod, excludes } = step;
    const owner = chown === undefined ? {} : { owner: ownerForm(chown, Math.max(root, 0)) };
    const copies = patterns.map(({ text }) => {
      const isRemote = step.add && isAddress(text);
      const from = isRemote
        ? this.#source(addressIdentifier({ kind: isGitAddress(text) ? 'git' : 'http', url: text }))
        : this.#tree(step.source, platform);
      const copy = {
        src: isRemote ? '/' : text,
        dest: destination,
        ...owner,
        ...(chmod === undefined ? { mode: -1 } : { modeStr: chmod }),
        followSymlink: true,
        dirCopyContents: true,
        ...(step.add && { attemptUnpackDockerCompatibility: true }),
        createDestPath: true,
        allowWildcard: true,
        timestamp: -1,
        ...(excludes.length > 0 && { exclude_patterns: excludes }),
      };
      return { secondaryInput: inputOf(from), Action: { copy } };
    });
    const made = files.map(({ name, text }) => {
      const path = destination.endsWith('/') ? `${destination}${name}` : destination;
      const mode = /^[0-7]+$/.test(chmod ?? '') ? Number.parseInt(chmod ?? '', 8) : 0o644;
      return { secondaryInput: -1, Action: { mkfile: { path, mode, data: base64(text), ...owner, timestamp: -1 } } };
    });
    // One after the other: each works on what the one before it made, which has its number behind the inputs'.
    const actions = [...copies, ...made];
    const last = actions.length - 1;
    return {
      actions: actions.map((action, index) => ({
        input: index === 0 ? root : this.#inputCount(actions, root) + index - 1,
        ...action,
        output: index === last ? 0 : -1,
      })),
    };
  }

  #inputCount(actions: readonly { readonly secondaryInput: number }[], root: number): number {
    return Math.max(root, ...actions.map(({ secondaryInput }) => secondaryInput)) + 1;
  }
}

function mkdirAction({ path, user }: MakeDirectory, input: number): unknown {
  const mkdir = {
    path,
    mode: 0o755,
    makeParents: true,
    ...(user !== '' && { owner: ownerForm(user, Math.max(input, 0)) }),
    timestamp: -1,
  };
  return { input, secondaryInput: -1, output: 0, Action: { mkdir } };
}

/** `user:group`. @param input whose files say which IDs the names have */
function ownerForm(text: string, input: number): unknown {
  const [user = '', group = user] = text.split(':');
  const form = (name: string) =>
    /^\d+$/.test(name) ? { User: { byId: Number(name) } } : { User: { byName: { name, input } } };
  return { user: form(user), group: form(group) };
}

const mountTypes = { secret: 1, ssh: 2, cache: 3, tmpfs: 4 } as const;
const sharings = { shared: 0, private: 1, locked: 2 } as const;

/** A secret that is a variable alone is no mount. @param agents mounted before it */
function mountForm(mount: PlannedMount, input: number, agents: number): unknown[] {
  const place = (dest: string, type?: number) => ({ input, dest, output: -1, ...(type && { mountType: type }) });
  const selected = (path: string) => (path === '/' ? {} : { selector: path });
  switch (mount.kind) {
    case 'bind':
      return [{ ...place(mount.target), ...selected(mount.sourcePath), ...(mount.readOnly && { readonly: true }) }];
    case 'cache': {
      const cacheOpt = { ID: mount.id, sharing: sharings[mount.sharing] };
      const readonly = mount.readOnly && { readonly: true };
      return [{ ...place(mount.target, mountTypes.cache), ...selected(mount.sourcePath), ...readonly, cacheOpt }];
    }
    case 'tmpfs':
      return [
        { ...place(mount.target, mountTypes.tmpfs), TmpfsOpt: mount.size === undefined ? {} : { size: mount.size } },
      ];
    case 'secret':
      if (mount.target === undefined) return [];
      return [{ ...place(mount.target, mountTypes.secret), secretOpt: accessForm(mount) }];
    case 'ssh':
      return [
        { ...place(mount.target ?? `/run/buildkit/ssh_agent.${agents}`, mountTypes.ssh), SSHOpt: accessForm(mount) },
      ];
    default:
      return assertNever(mount);
  }
}

function accessForm({ id, uid, gid, mode, required }: Extract<PlannedMount, { kind: 'secret' | 'ssh' }>): unknown {
  return { ID: id, uid, gid, mode, ...(!required && { optional: true }) };
}

/** Without credentials. */
function addressIdentifier({ kind, url }: { readonly kind: 'git' | 'http'; readonly url: string }): string {
  return kind === 'git' ? `git://${gitUri(url, true).replace(/^[a-z]+:\/\//, '')}` : withoutUser(url);
}

function platformForm({ os, architecture, variant }: Platform): unknown {
  return { Architecture: architecture, OS: os, ...(variant !== undefined && { Variant: variant }) };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
