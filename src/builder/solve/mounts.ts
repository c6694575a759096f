/** The mounts of a RUN: what of them belongs into its key, and the directories, files and sockets behind them. */
import { chmodSync, chownSync, writeFileSync } from 'node:fs';
import { posix } from 'node:path';
import { assertNever, bytePathFromText, systemErrorCode, TsbuildError } from '../../core/index.ts';
import { type Digest, digestHex, digestOf } from '../../image/index.ts';
import { exportTree, type Store } from '../../layers/index.ts';
import type { StepMount } from '../../sandbox/index.ts';
import type { PlannedMount, RunOperation } from '../plan/index.ts';
import { scriptFolder, variableName } from '../plan/index.ts';
import { contentOf, layerOf } from './subtree.ts';
import type { Chain, OpenedSource, StepContext } from './types.ts';

/** The part of a mount that decides the step's result, and the digest of what it shows. Secrets and caches have none. */
export async function mountInputs(
  context: StepContext,
  mount: PlannedMount,
): Promise<{ key: unknown; input?: Digest | null }> {
  switch (mount.kind) {
    case 'bind': {
      const { source: _, ...key } = mount;
      const digest = await context.sourceDigest(mount.source);
      if (digest !== undefined) return { key, input: digest };
      const opened = await context.openSource(mount.source);
      return { key, input: await contentOf(context.environment, opened, mount.sourcePath, context.signal) };
    }
    case 'cache': {
      // The seed of a cache is no part of the result.
      const { source: _, ...key } = mount;
      return { key };
    }
    case 'tmpfs':
    case 'secret':
    case 'ssh':
      return { key: mount };
    default:
      return assertNever(mount);
  }
}

export interface OpenedMounts {
  readonly mounts: readonly StepMount[];
  /** Secrets given as variables, and where the SSH agent is. */
  readonly env: readonly string[];
  release(): Promise<void>;
}

export async function openMounts(context: StepContext, operation: RunOperation): Promise<OpenedMounts> {
  const mounts: StepMount[] = [];
  const env: string[] = [];
  const agents: string[] = [];
  const releases: (() => Promise<void>)[] = [];
  const release = async () => {
    for (const one of releases.reverse()) await one();
  };
  try {
    if (operation.script) mounts.push(scriptMount(context, operation.script));
    for (const mount of operation.mounts) {
      switch (mount.kind) {
        case 'bind':
          mounts.push(await bindMount(context, mount, releases));
          break;
        case 'cache':
          mounts.push(await cacheMount(context, mount, releases));
          break;
        case 'tmpfs':
          mounts.push({ kind: 'tmpfs', target: mount.target, ...(mount.size !== undefined && { size: mount.size }) });
          break;
        case 'secret': {
          const content = await secretContent(context, mount);
          if (!content) break;
          const { target, mode, uid, gid } = mount;
          if (target !== undefined) mounts.push({ kind: 'secret', target, content, mode, uid, gid });
          if (mount.env !== undefined) env.push(`${mount.env}=${Buffer.from(content).toString('utf8')}`);
          break;
        }
        case 'ssh': {
          const { target = `/run/buildkit/ssh_agent.${agents.length}`, mode, uid, gid } = mount;
          agents.push(target);
          const source = agentSocket(context, mount);
          if (source !== undefined) mounts.push({ kind: 'socket', source, target, mode, uid, gid });
          break;
        }
        default:
          assertNever(mount);
      }
    }
    // As in BuildKit: that of the first, whether it was given or not, unless the Dockerfile says another.
    const [first] = agents;
    const isSet = operation.env.some((entry) => variableName(entry) === 'SSH_AUTH_SOCK');
    if (first !== undefined && !isSet) env.push(`SSH_AUTH_SOCK=${first}`);
    return { mounts, env, release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** A folder that holds the script alone: it must be executable, which files of secrets are not. */
function scriptMount(
  { environment }: StepContext,
  { name, text }: { readonly name: string; readonly text: string },
): StepMount {
  const folder = openFolder(environment.store);
  const file = posix.join(folder, name);
  writeFileSync(file, text, { mode: 0o755 });
  // The umask took bits away.
  chmodSync(file, 0o755);
  return { kind: 'bind', root: folder, source: '/', target: scriptFolder, readOnly: true };
}

/** An empty folder that goes with the build. The step's user may be anyone. */
function openFolder(store: Store): string {
  const folder = store.temporaryFolder();
  chmodSync(folder, 0o755);
  return folder;
}

/** What a bind shows is mounted from layers, so that owners are as COPY would have them and ignored files are not seen. */
async function bindMount(
  context: StepContext,
  mount: Extract<PlannedMount, { kind: 'bind' }>,
  releases: (() => Promise<void>)[],
): Promise<StepMount> {
  const { environment, signal, ensure, onNote } = context;
  const opened = await context.openSource(mount.source);
  requireSource(context, opened, mount.sourcePath);
  const chain: Chain = opened.chain ?? [await layerOf(environment, opened, mount.sourcePath, signal)];
  const { target, readOnly } = mount;
  if (chain.length === 0) return { kind: 'bind', root: openFolder(environment.store), source: '/', target, readOnly };
  const lowers = await environment.store.lowers(chain, { ensure, signal, onNote });
  const draft = await environment.store.draft();
  releases.push(() => draft.discard());
  return {
    kind: 'bind',
    root: { kind: 'overlay', lowers, upper: draft.upper, work: draft.work },
    source: mount.sourcePath,
    target,
    readOnly,
    discardWrites: true,
  };
}

function requireSource({ step }: StepContext, { tree }: OpenedSource, path: string): void {
  const resolved = tree.resolve(bytePathFromText(path.slice(1)), { followLast: true });
  if (tree.lookup(resolved)) return;
  throw new TsbuildError({
    code: 'copy-source-missing',
    message: `the mount's source ${path} does not exist`,
    hint: 'Check the path, and that the ignore file does not leave it out; it is relative to the root of what from= names, else of the build context.',
    source: step.location,
  });
}

async function cacheMount(
  context: StepContext,
  mount: Extract<PlannedMount, { kind: 'cache' }>,
  releases: (() => Promise<void>)[],
): Promise<StepMount> {
  const { store, cacheMounts } = context.environment;
  const opened = await context.openSource(mount.source);
  if (mount.source.kind !== 'empty') requireSource(context, opened, mount.sourcePath);
  const identity = digestHex(digestOf(JSON.stringify([mount.id, opened.digest ?? null, mount.sourcePath])));
  const { name, lock } = await claimSlot(context, identity, mount.sharing, releases);
  const fill = async (folder: string): Promise<void> => {
    if (!(await cacheMounts.fill(mount.id, folder, context.signal))) await seed(opened, mount.sourcePath, folder);
    if (mount.mode !== undefined) chmodSync(folder, mount.mode);
    if (mount.uid !== undefined || mount.gid !== undefined) giveTo(context, folder, mount.uid ?? 0, mount.gid ?? 0);
  };
  const data = await store.cacheMount(name, fill, context.signal);
  cacheMounts.use(mount.id, data, lock);
  return { kind: 'bind', root: data, source: '/', target: mount.target, readOnly: mount.readOnly };
}

/** An ID without a mapping here has no processes either that could want the cache. */
function giveTo({ onNote }: StepContext, folder: string, uid: number, gid: number): void {
  try {
    chownSync(folder, uid, gid);
  } catch (error) {
    if (!['EINVAL', 'EPERM'].includes(systemErrorCode(error) ?? '')) throw error;
    onNote('a cache mount belongs to root: its uid and gid are not mapped here');
  }
}

interface Slot {
  readonly name: string;
  /** What whoever uses it alone holds. */
  readonly lock?: string;
}

/** shared: everyone uses the one directory; locked: one step at a time; private: a free directory, or a new one. */
async function claimSlot(
  context: StepContext,
  identity: string,
  sharing: 'shared' | 'locked' | 'private',
  releases: (() => Promise<void>)[],
): Promise<Slot> {
  const { store } = context.environment;
  if (sharing === 'shared') return { name: identity };
  for (let number = 0; ; number++) {
    const name = number === 0 ? identity : `${identity}-${number}`;
    const lock = `cache-mount-${name}`;
    const held =
      sharing === 'locked'
        ? await store.lock(lock, 'exclusive', context.signal)
        : await store.tryLock(lock, 'exclusive');
    if (!held) continue;
    releases.push(async () => held[Symbol.asyncDispose]());
    return { name, lock };
  }
}

/** A new cache begins as what `from` and `source` show, else empty. */
async function seed(opened: OpenedSource, sourcePath: string, data: string): Promise<void> {
  const root = opened.tree.resolve(bytePathFromText(sourcePath.slice(1)), { followLast: true });
  if (opened.tree.list(root).length > 0) {
    await exportTree(opened.tree, { kind: 'directory', path: data, from: root });
  }
}

async function secretContent(
  context: StepContext,
  mount: Extract<PlannedMount, { kind: 'secret' }>,
): Promise<Uint8Array | undefined> {
  const source = context.environment.request.secrets.get(mount.id);
  if (source) return context.environment.readSecret(source);
  if (!mount.required) return undefined;
  throw new TsbuildError({
    code: 'build-secret-missing',
    message: `the step needs the secret ${JSON.stringify(mount.id)}, which was not given`,
    hint: `Add --secret id=${mount.id},src=FILE or --secret id=${mount.id},env=VARIABLE.`,
    source: context.step.location,
  });
}

function agentSocket(context: StepContext, mount: Extract<PlannedMount, { kind: 'ssh' }>): string | undefined {
  const socket = context.environment.sshAgents.get(mount.id);
  if (socket !== undefined || !mount.required) return socket;
  throw new TsbuildError({
    code: 'build-secret-missing',
    message: `the step needs the SSH agent ${JSON.stringify(mount.id)}, which was not given`,
    hint:
      mount.id === 'default'
        ? 'Add --ssh default with SSH_AUTH_SOCK set, or --ssh default=KEYFILE.'
        : `Add --ssh ${mount.id}=SOCKET or --ssh ${mount.id}=KEYFILE.`,
    source: context.step.location,
  });
}
