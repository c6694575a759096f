/**
 * The git work tree a folder lies in, as a hint at where its content comes from: the commit that is checked out and the
 * address of the repository. Its files are read; git is not run, for a repository's settings may name programs.
 * Invariant: what is not the name of a commit or an address without credentials is not told.
 */
import { realpathSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { isTsbuildError, systemErrorCode } from '../../core/index.ts';
import { readRegularFile } from '../context/index.ts';
import { withoutUser } from './sources.ts';

/** Bytes of a file; branches may be many. */
const limit = 16 << 20;

/** By the names BuildKit has for it: `revision`, `source`, `localdir:context`, `localdir:dockerfile`. */
export function workTreeFacts(context: string, dockerfile: string): Readonly<Record<string, string>> {
  const folder = realFolder(context);
  const found = folder && findRepository(folder);
  if (!folder || !found) return {};
  const revision = commitOf(found);
  const source = remoteOf(found);
  const inside = (path: string): string => relative(found.root, path) || '.';
  const places = { context: folder, dockerfile: realFolder(dockerfile) ?? folder };
  return {
    ...Object.fromEntries(
      Object.entries(places)
        .map(([name, path]) => [`localdir:${name}`, inside(path)] as const)
        .filter(([, path]) => !path.startsWith('..')),
    ),
    ...(revision !== undefined && { revision }),
    ...(source !== undefined && { source }),
  };
}

interface Repository {
  /** Of the work tree. */
  readonly root: string;
  /** Of this work tree alone: HEAD. */
  readonly own: string;
  /** Of all work trees: branches, settings. */
  readonly common: string;
}

function findRepository(folder: string): Repository | undefined {
  for (let root = folder; ; root = dirname(root)) {
    const own = gitFolder(root);
    if (own !== undefined) {
      const common = textOf(join(own, 'commondir'))?.trim();
      return { root, own, common: common ? resolve(own, common) : own };
    }
    if (root === dirname(root)) return undefined;
  }
}

/** `.git` is the folder, or in further work trees and submodules a file that names it. */
function gitFolder(root: string): string | undefined {
  const path = join(root, '.git');
  if (textOf(join(path, 'HEAD')) !== undefined) return path;
  const named = /^gitdir: (.+)$/m.exec(textOf(path) ?? '')?.[1];
  return named === undefined ? undefined : resolve(root, named);
}

function commitOf({ own, common }: Repository): string | undefined {
  const head = textOf(join(own, 'HEAD'))?.trim() ?? '';
  const branch = branchOf(head);
  if (branch === undefined) return asCommit(head);
  const loose = textOf(join(own, branch)) ?? textOf(join(common, branch));
  if (loose !== undefined) return asCommit(loose.trim());
  const packed = textOf(join(common, 'packed-refs'))?.split('\n') ?? [];
  return asCommit(packed.find((line) => line.endsWith(` ${branch}`))?.split(' ')[0] ?? '');
}

function branchOf(head: string): string | undefined {
  const branch = /^ref: (refs\/[^\0]+)$/.exec(head)?.[1];
  return branch?.split('/').includes('..') ? undefined : branch;
}

function asCommit(text: string): string | undefined {
  return /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(text) ? text : undefined;
}

/** Where the branch is pushed to, else `origin`, else `upstream`. */
function remoteOf({ own, common }: Repository): string | undefined {
  const sections = sectionsOf(textOf(join(common, 'config')) ?? '');
  const branch = branchOf(textOf(join(own, 'HEAD'))?.trim() ?? '')?.replace(/^refs\/heads\//, '');
  const names = [sections.get(`branch "${branch}"`)?.get('remote'), 'origin', 'upstream'];
  const address = names.map((name) => sections.get(`remote "${name}"`)?.get('url')).find((url) => url !== undefined);
  // A path of this machine says nothing to others.
  return address === undefined || /^[./~]/.test(address) ? undefined : withoutUser(address);
}

/** Git's settings by section; the last of a name counts. */
function sectionsOf(text: string): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const sections = new Map<string, Map<string, string>>();
  let section = new Map<string, string>();
  for (const line of text.split('\n')) {
    const title = /^\s*\[(.+?)\]/.exec(line)?.[1];
    if (title !== undefined) {
      section = sections.get(title) ?? new Map();
      sections.set(title, section);
    }
    const [, name, value] = /^\s*([a-zA-Z][a-zA-Z0-9-]*)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (name !== undefined && value) section.set(name.toLowerCase(), value);
  }
  return sections;
}

/** Undefined where there is no such regular file, or none that may be read. */
function textOf(path: string): string | undefined {
  try {
    return readRegularFile(path, limit)?.toString('utf8');
  } catch (error) {
    if (!isTsbuildError(error) || !['context-unreadable', 'file-too-large'].includes(error.code)) throw error;
    return undefined;
  }
}

function realFolder(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return undefined;
  }
}
