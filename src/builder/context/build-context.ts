/**
 * The face every kind of build context shows: a folder of this machine, an unpacked stream or download, a git checkout.
 * Whatever it came from, it is a folder by then, and what the Dockerfile sees of it is a Tree under ignore rules.
 * Invariant: the Dockerfile and the ignore file are read whether or not they are ignored, and never from outside the root.
 */
import { realpathSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { bytePathFromText, systemErrorCode, TsbuildError } from '../../core/index.ts';
import type { Digest } from '../../image/index.ts';
import type { Tree } from '../../layers/index.ts';
import { type DirectoryTreeOptions, openDirectoryTree } from './directory-tree.ts';
import { type IgnoreRules, parseIgnoreFile } from './ignore.ts';
import { cleanPath } from './pattern-set.ts';
import { readRegularFile } from './regular-file.ts';

export type KnownOfTree = Pick<DirectoryTreeOptions, 'memo' | 'scan'>;

export interface BuildContext extends AsyncDisposable {
  /** For messages: `the folder .`, `https://…` without secrets. */
  readonly description: string;
  /** Set when the stream or download was no archive but a Dockerfile alone; the tree is empty then. */
  readonly dockerfile: Buffer | undefined;
  /** The commit of a git context. */
  readonly commit: string | undefined;
  /** Of the file a downloaded context came as. */
  readonly digest?: Digest;
  /** When its content was made, in seconds since 1970, where the place it came from says so: what a git commit or a
   * server's Last-Modified tells, else the newest entry of a downloaded archive. */
  readonly time: number | undefined;
  /** Stays the same from build to build when the context does: what a memo of its hashes is filed under. */
  readonly key: string;
  /**
   * What COPY sees.
   * @param ignoreFor the Dockerfile whose `<name>.dockerignore` beats `.dockerignore`: a path in the context, or an
   * absolute path of this machine for one outside of it
   * @param known gives its entries the content digests that are known, and spares reading directories that somebody has
   * looked at; a tree of an archive has no use for it
   * @throws TsbuildError `ignore-pattern-invalid`, `file-too-large`
   */
  tree(ignoreFor?: string, known?: KnownOfTree): Promise<Tree>;
  /** A regular file of the context, ignored or not, symlinks resolved inside; undefined when there is none. */
  readFile(path: string, limit: number): Promise<Buffer | undefined>;
}

export interface FolderContextInit {
  readonly folder: string;
  readonly description: string;
  readonly key: string;
  readonly dockerfile?: Buffer;
  readonly commit?: string;
  readonly time?: number;
  /** Removed when the context is disposed. */
  readonly temporary?: string;
  /** A folder below `folder`, resolved in-root, that is the context. */
  readonly subfolder?: string;
}

/** @throws TsbuildError `context-invalid` */
export function openFolderContext(init: FolderContextInit): BuildContext {
  const root = openRoot(init);
  const whole = openDirectoryTree(root);
  return {
    description: init.description,
    dockerfile: init.dockerfile,
    commit: init.commit,
    time: init.time,
    key: init.key,
    tree: async (ignoreFor, known) => {
      const ignore = await readIgnoreRules(whole, ignoreFor);
      return openDirectoryTree(root, { ...known, ...(ignore && { ignore }) });
    },
    readFile: (path, limit) => whole.readFile(bytePathFromText(cleanPath(`/${path}`).slice(1)), limit),
    [Symbol.asyncDispose]: async () => {
      if (init.temporary !== undefined) await rm(init.temporary, { recursive: true, force: true });
    },
  };
}

/** The real path of a folder, or of one below it that is resolved in-root. @throws TsbuildError `context-invalid` */
export function openRoot(init: Pick<FolderContextInit, 'folder' | 'description' | 'subfolder'>): string {
  let folder: string;
  try {
    folder = realpathSync(init.folder);
    if (!statSync(folder).isDirectory()) throw notAFolder(init, 'it is not a directory');
  } catch (cause) {
    if (cause instanceof TsbuildError) throw cause;
    throw notAFolder(init, systemErrorCode(cause) === 'ENOENT' ? 'it does not exist' : String(cause), cause);
  }
  if (!init.subfolder) return folder;
  // Resolved as text inside the root, so that a link in a repository leads nowhere else.
  const tree = openDirectoryTree(folder);
  const path = tree.resolve(bytePathFromText(cleanPath(`/${init.subfolder}`).slice(1)));
  if (tree.lookup(path)?.kind !== 'directory') {
    throw notAFolder(init, `it has no directory ${JSON.stringify(init.subfolder)}`);
  }
  return path === '' ? folder : `${folder}/${Buffer.from(path, 'latin1').toString('utf8')}`;
}

function notAFolder(init: { readonly description: string }, reason: string, cause?: unknown): TsbuildError {
  return new TsbuildError({
    code: 'context-invalid',
    message: `${init.description} cannot be the build context: ${reason}`,
    hint: 'Name a directory, a git address, an archive or - for standard input.',
    cause,
  });
}

const ignoreLimit = 16 * 1024 * 1024;

/** The rules that count for a Dockerfile; undefined when there are none. */
export async function readIgnoreRules(
  tree: Pick<Tree, 'readFile'>,
  ignoreFor: string | undefined,
): Promise<IgnoreRules | undefined> {
  if (ignoreFor?.startsWith('/')) {
    const bytes = readRegularFile(`${ignoreFor}.dockerignore`, ignoreLimit);
    if (bytes) return parseIgnoreFile(bytes.toString('utf8'), `${ignoreFor}.dockerignore`);
  } else if (ignoreFor !== undefined) {
    const name = `${cleanPath(ignoreFor)}.dockerignore`;
    const bytes = await tree.readFile(bytePathFromText(cleanPath(`/${name}`).slice(1)), ignoreLimit);
    if (bytes) return parseIgnoreFile(bytes.toString('utf8'), name);
  }
  const bytes = await tree.readFile(bytePathFromText('.dockerignore'), ignoreLimit);
  return bytes ? parseIgnoreFile(bytes.toString('utf8'), '.dockerignore') : undefined;
}
