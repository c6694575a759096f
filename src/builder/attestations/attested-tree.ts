/** A tree with the attestations of its image as files beside its own, for folders and tars of files. */
import { type BytePath, bytePathFromText, bytePathToText, compareBytePaths, TsbuildError } from '../../core/index.ts';
import type { EntryContent, Store, Tree, TreeEntry } from '../../layers/index.ts';
import { type Attestation, digestSet, type Subject, statementOf } from './statements.ts';

export interface AttestedTreeOptions {
  readonly store: Store;
  /** Stands before the names. */
  readonly prefix?: string;
  /** Of the files: nanoseconds since 1970. */
  readonly mtime: bigint;
  readonly signal: AbortSignal;
}

/** The tree itself when there is nothing to say of it. The statements are about its regular files. */
export async function attestedTree(
  tree: Tree,
  attestations: readonly Attestation[],
  { store, prefix = '', mtime, signal }: AttestedTreeOptions,
): Promise<Tree> {
  const told = attestations.filter(({ inlineOnly }) => !inlineOnly);
  if (told.length === 0) return tree;
  const subjects = await fileSubjects(tree, store, signal);
  const files = new Map<BytePath, TreeEntry>();
  for (const attestation of told) {
    const path = bytePathFromText(`${prefix}${attestation.fileName}`);
    if (files.has(path)) throw sameName(bytePathToText(path));
    const bytes = Buffer.from(JSON.stringify(statementOf(attestation, subjects), null, 2));
    const content = { kind: 'bytes', bytes } as const;
    files.set(path, {
      path,
      kind: 'file',
      mode: 0o600,
      uid: 0,
      gid: 0,
      size: bytes.byteLength,
      mtime,
      inode: 0,
      content,
    });
  }
  return withFiles(tree, files);
}

async function fileSubjects(tree: Tree, store: Store, signal: AbortSignal): Promise<Subject[]> {
  const files = [...regularFiles(tree, '' as BytePath)];
  const contents = files.flatMap(({ content }) => (content ? [content] : []));
  await tree.provide?.(contents, signal);
  const digests = await store.hashContents(contents, signal);
  const known = new Map(contents.map((content, index) => [content, digests[index]]));
  return files.flatMap(({ path, content }) => {
    const digest = content && known.get(content);
    return digest ? [{ name: bytePathToText(path), digest: digestSet(digest) }] : [];
  });
}

function* regularFiles(tree: Tree, folder: BytePath): Generator<TreeEntry> {
  for (const entry of tree.list(folder)) {
    if (entry.kind === 'file') yield entry.content ? entry : { ...entry, content: empty };
    else if (entry.kind === 'directory') yield* regularFiles(tree, entry.path);
  }
}

const empty: EntryContent = { kind: 'bytes', bytes: new Uint8Array() };

/** @param files of the root; they hide what the tree has of the same names */
function withFiles(tree: Tree, files: ReadonlyMap<BytePath, TreeEntry>): Tree {
  const { provide } = tree;
  return {
    lookup: (path) => files.get(path) ?? tree.lookup(path),
    resolve: (path, options) => (files.has(path) ? path : tree.resolve(path, options)),
    list: (path) => {
      const own = tree.list(path);
      if (path !== '') return own;
      const others = own.filter((entry) => !files.has(entry.path));
      return [...others, ...files.values()].sort((a, b) => compareBytePaths(a.path, b.path));
    },
    readFile: (path, limit) => tree.readFile(path, limit),
    ...(provide && {
      provide: (contents: Iterable<EntryContent>, signal: AbortSignal) =>
        provide.call(
          tree,
          [...contents].filter(({ kind }) => kind !== 'bytes'),
          signal,
        ),
    }),
  };
}

function sameName(name: string): TsbuildError {
  return new TsbuildError({
    code: 'export-invalid',
    message: `two attestations would have the name ${name}`,
    hint: 'Give one another name with --provenance filename=NAME.',
  });
}
