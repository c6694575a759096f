/** WORKDIR: makes the directory and its parents where they are missing, owned by the USER in force, as BuildKit does. */
import {
  type BytePath,
  bytePathFromText,
  bytePathToText,
  type SourceLocation,
  TsbuildError,
} from '../../core/index.ts';
import type { LayerEntry, LayerRef } from '../../layers/index.ts';
import { resolveUser } from '../copy/index.ts';
import type { MakeDirectory } from '../plan/index.ts';
import { createdMtime, latestMtime } from './created-mtime.ts';
import type { StepContext, StepWork } from './types.ts';

export async function makeDirectoryStep(context: StepContext, operation: MakeDirectory): Promise<StepWork> {
  return { operation, dependsOnBelow: true, inputs: [], execute: () => execute(context, operation) };
}

async function execute(context: StepContext, { path, user }: MakeDirectory): Promise<LayerRef> {
  const { environment, below, ensure, signal, step } = context;
  const { store } = environment;
  const tree = await store.tree(below, { ensure, signal });
  const owner = await resolveUser(user === '' ? '0:0' : user, tree);
  const target = tree.resolve(bytePathFromText(path.slice(1)), { followLast: true });
  const parts = target === '' ? [] : target.split('/');
  const entries: LayerEntry[] = [];
  let made = false;
  for (let depth = 1; depth <= parts.length; depth++) {
    const at = parts.slice(0, depth).join('/') as BytePath;
    const existing = tree.lookup(at);
    if (existing) {
      if (existing.kind !== 'directory') throw inTheWay(at, path, step.location);
      const { inode: _, contentDigest: __, ...entry } = existing;
      entries.push(entry);
      continue;
    }
    made = true;
    entries.push({
      path: at,
      kind: 'directory',
      mode: 0o755,
      ...owner,
      size: 0,
      mtime: createdMtime(environment.request),
    });
  }
  return store.writeLayer(made ? entries : [], { signal, ...latestMtime(environment.request) });
}

function inTheWay(at: BytePath, path: string, source: SourceLocation): TsbuildError {
  return new TsbuildError({
    code: 'copy-onto-file',
    message: `WORKDIR ${path} cannot be made: /${bytePathToText(at)} is not a directory`,
    hint: 'Choose another path, or remove what is there in an earlier RUN.',
    source,
  });
}
