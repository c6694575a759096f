/**
 * Content digests of context files, remembered between builds by (device, inode, size, mtime, ctime): an unchanged context
 * is not read again. One compact file per context under the store's `cache/`; losing it costs time only.
 *
 * Invariant: a file that was changed less than two seconds before the memo was opened, or later, is not remembered, for
 * a second change could leave its times as they are (git calls such entries racily clean).
 */
import { type Digest, digestHex, digestOf } from '../../image/index.ts';
import type { FileStamp, Store, TreeEntry } from '../../layers/index.ts';
import { HashRecords } from './hash-records.ts';
import { memoFile, readMemoFile, writeMemoFile } from './memo-file.ts';

export interface HashMemo {
  /** The digest of a file's content by its stamp; a tree that is opened with the memo asks for every file. */
  recall(stamp: FileStamp): Digest | undefined;
  /** Digests of the contents of file entries; what is not known is read by the store's workers. */
  digests(entries: readonly TreeEntry[], signal: AbortSignal): Promise<ReadonlyMap<TreeEntry, Digest>>;
  /** Remembers what was read of an entry whose digest was not known. */
  set(entry: TreeEntry, digest: Digest): void;
  /** Writes what is new. Never fails a build: a memo that cannot be written is only not there next time. */
  save(): Promise<void>;
}

/** What the memo needs of a store. */
export type HashingStore = Pick<Store, 'root' | 'hashContents'>;

/**
 * @param contextKey `BuildContext.key`
 * @param now milliseconds since 1970
 */
export function createHashMemo(store: HashingStore, contextKey: string, now: () => number = Date.now): HashMemo {
  const file = memoFile(store.root, digestHex(digestOf(contextKey)));
  let read: HashRecords | undefined;
  /** Read when it is first asked: of an unchanged context, nobody asks (see ContextScan). */
  const records = () => {
    read ??= new HashRecords(readMemoFile(file));
    return read;
  };
  /** Nanoseconds; whatever is remembered was read later. */
  const opened = BigInt(now()) * 1_000_000n;
  let isChanged = false;

  const remember = (entry: TreeEntry, digest: Digest): void => {
    const stamp = stampOf(entry);
    if (!stamp || !digest.startsWith('sha256:')) return;
    if (stamp.records.integer(stamp.entry, 'ctime') > opened - racy || entry.mtime > opened - racy) {
      isChanged = records().delete(stamp) || isChanged;
      return;
    }
    records().set(stamp, digest);
    isChanged = true;
  };

  return {
    recall: (stamp) => records().get(stamp),
    set: remember,

    async digests(entries, signal) {
      const found = new Map<TreeEntry, Digest>();
      const unknown: TreeEntry[] = [];
      for (const entry of entries) {
        const stamp = stampOf(entry);
        const digest = entry.contentDigest ?? (stamp && records().get(stamp));
        if (digest) found.set(entry, digest);
        else if (entry.content) unknown.push(entry);
      }
      if (unknown.length === 0) return found;
      const contents = unknown.flatMap((entry) => (entry.content ? [entry.content] : []));
      const digests = await store.hashContents(contents, signal);
      for (const [index, entry] of unknown.entries()) {
        const digest = digests[index];
        if (!digest) continue;
        found.set(entry, digest);
        remember(entry, digest);
      }
      return found;
    },

    async save() {
      if (!isChanged) return;
      if (await writeMemoFile(file, [records().format()])) isChanged = false;
    },
  };
}

/** Nanoseconds. */
const racy = 2_000_000_000n;

/** Entries of folders of this machine have one. */
function stampOf(entry: TreeEntry & { readonly stamp?: FileStamp }): FileStamp | undefined {
  return entry.stamp;
}
