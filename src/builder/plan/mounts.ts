/** `RUN --mount=…` with its variables put in: what the reader resolved, in the words of the solver. */
import posix from 'node:path/posix';
import { type MountFlag, type ResolvedMount, type RunInstruction, resolveMount } from '../dockerfile/index.ts';
import type { StageState } from './stage-state.ts';
import type { PlannedMount, TreeSource } from './types.ts';
import { tryExpand } from './variables.ts';

/** @throws TsbuildError `plan-value-invalid` at the mount */
export function planMount(state: StageState, run: RunInstruction, flag: MountFlag): PlannedMount {
  const expand = tryExpand(state.setting.parsed, state.lookup);
  const outcome = resolveMount(flag, expand);
  if (!outcome.ok) throw state.fail(flag.range, { code: 'plan-value-invalid', ...outcome.problem });
  const { mount } = outcome;
  const target = mount.target === '' ? undefined : posix.resolve('/', state.workdir, mount.target);
  const needTarget = (): string => {
    if (target !== undefined && target !== '/') return target;
    throw state.fail(flag.range, {
      code: 'plan-value-invalid',
      message: `--mount=${flag.raw}: ${target === '/' ? 'the target cannot be /' : 'it has no target'}`,
      hint: target === '/' ? 'Mount onto a directory below the root.' : 'Add target=/path.',
    });
  };
  const source = (otherwise: TreeSource): TreeSource =>
    mount.from === undefined || mount.from === '' ? otherwise : state.setting.source(mount.from, run);
  const { readOnly, required } = mount;
  const sourcePath = posix.resolve('/', mount.source);

  switch (mount.type) {
    case 'bind':
      return { kind: 'bind', source: source({ kind: 'context' }), sourcePath, target: needTarget(), readOnly };
    case 'cache': {
      const namespace = state.setting.options.buildArgs.BUILDKIT_CACHE_MOUNT_NS ?? '';
      return {
        kind: 'cache',
        id: `${namespace}/${mount.id || posix.normalize(mount.target)}`,
        sharing: mount.sharing ?? 'shared',
        source: source({ kind: 'empty' }),
        sourcePath,
        target: needTarget(),
        readOnly,
        ...(mount.mode !== undefined && { mode: mount.mode }),
        ...(mount.uid !== undefined && { uid: mount.uid }),
        ...(mount.gid !== undefined && { gid: mount.gid }),
      };
    }
    case 'tmpfs':
      return { kind: 'tmpfs', target: needTarget(), ...(mount.size > 0 && { size: mount.size }) };
    case 'secret': {
      const id = mount.id || mount.source || posix.basename(mount.target);
      const env = mount.env === undefined ? undefined : mount.env || id;
      // Asked for as a variable only, a secret is no file.
      const file = target ?? (env === undefined ? `/run/secrets/${posix.basename(id)}` : undefined);
      return {
        kind: 'secret',
        id,
        ...(file !== undefined && { target: file }),
        ...(env !== undefined && { env }),
        required,
        ...ownerOf(mount, 0o400),
      };
    }
    case 'ssh':
      return {
        kind: 'ssh',
        id: mount.id || 'default',
        ...(target !== undefined && { target }),
        required,
        ...ownerOf(mount, 0o600),
      };
  }
}

function ownerOf({ mode, uid, gid }: ResolvedMount, otherwise: number) {
  return { mode: mode ?? otherwise, uid: uid ?? 0, gid: gid ?? 0 };
}
