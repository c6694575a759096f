/**
 * Content digests of context files, remembered between builds by (device, inode, size, mtime, ctime): an unchanged context
 * is not read again. One compact file per context under the store's `cache/`; losing it costs time only.
 *
 * Invariant: a file that was changed within two seconds of being hashed is not remembered, for a second change could
 * leave its times as they are (git calls such entries racily clean).
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '../../core/index.ts';
import { type Digest, digestHex, digestOf, parseDigest } from '../../image/index.ts';
import type { Store, TreeEntry } from '../../layers/index.ts';
import type { DirectoryEntry, FileIdentity } from './directory-tree.ts';

export interface HashMemo {
  /** Digests of the contents of file entries; what is not known is read by the store's workers. */
  digests(entries: readonly TreeEntry[], signal: AbortSignal): Promise<ReadonlyMap<TreeEntry, Digest>>;
  /** What is remembered for one entry. Ask before reading: the time of the question decides what `set` may remember. */
  get(entry: TreeEntry): Digest | undefined;
  /** Remembers what was read after `get` knew nothing. */
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
export async function createHashMemo(
  store: HashingStore,
  contextKey: string,
  now: () => number = Date.now,
): Promise<HashMemo> {
  const folder = join(store.root, 'cache', 'context-hashes');
  const file = join(folder, digestHex(digestOf(contextKey)));
  const records = new Map<bigint, MemoRecord>(parseRecords(await readOptional(file)));
  const used = new Set<bigint>();
  /** When an entry was asked for in vain, nanoseconds: not later than the reading of its content. */
  const asked = new WeakMap<TreeEntry, bigint>();
  let isChanged = false;

  const known = (entry: TreeEntry): Digest | undefined => {
    if (entry.contentDigest) return entry.contentDigest;
    const identity = identityOf(entry);
    const record = identity && records.get(identity.inode);
    if (!record || !sameIdentity(record.identity, identity)) {
      asked.set(entry, BigInt(now()) * 1_000_000n);
      return undefined;
    }
    used.add(identity.inode);
    return record.digest;
  };

  const remember = (entry: TreeEntry, digest: Digest): void => {
    const identity = identityOf(entry);
    const hashedAt = asked.get(entry);
    if (!identity || hashedAt === undefined || !digest.startsWith('sha256:')) return;
    if (identity.ctime > hashedAt - racy || identity.mtime > hashedAt - racy) {
      isChanged = records.delete(identity.inode) || isChanged;
      return;
    }
    records.set(identity.inode, { identity, digest });
    used.add(identity.inode);
    isChanged = true;
  };

  return {
    get: known,
    set: remember,

    async digests(entries, signal) {
      const found = new Map<TreeEntry, Digest>();
      const unknown: TreeEntry[] = [];
      for (const entry of entries) {
        const digest = known(entry);
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
      // Records of files that are gone would gather for ever.
      const kept = [...records].filter(([inode]) => used.has(inode) || records.size < 2 * used.size + spare);
      const draft = `${file}.${randomUUID()}`;
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        await writeFile(draft, formatRecords(kept.map(([, record]) => record)), { mode: 0o600 });
        await rename(draft, file);
        isChanged = false;
      } catch {
        // Any cause (ENOSPC, EROFS, EACCES, ...) leaves the old memo, which stays right.
        await rm(draft, { force: true }).catch(() => {});
      }
    },
  };
}

interface MemoRecord {
  readonly identity: FileIdentity;
  readonly digest: Digest;
}

/** Nanoseconds. */
const racy = 2_000_000_000n;
const spare = 50_000;
const magic = 'tsbhash1';
const recordSize = 5 * 8 + 32;
const sumSize = 32;

function identityOf(entry: TreeEntry): FileIdentity | undefined {
  return 'identity' in entry ? (entry as DirectoryEntry).identity : undefined;
}

function sameIdentity(a: FileIdentity, b: FileIdentity): boolean {
  return (
    a.inode === b.inode && a.size === b.size && a.mtime === b.mtime && a.ctime === b.ctime && a.device === b.device
  );
}

/** Little-endian: magic, records of (device, inode, size, mtime, ctime, sha256), sha256 of all before. */
function formatRecords(records: readonly MemoRecord[]): Buffer {
  const bytes = Buffer.alloc(magic.length + records.length * recordSize + sumSize);
  bytes.write(magic, 'latin1');
  let at = magic.length;
  for (const { identity, digest } of records) {
    for (const value of [identity.device, identity.inode, identity.size, identity.mtime, identity.ctime]) {
      bytes.writeBigInt64LE(BigInt.asIntN(64, value), at);
      at += 8;
    }
    at += bytes.write(digestHex(digest), at, 'hex');
  }
  createHash('sha256').update(bytes.subarray(0, at)).digest().copy(bytes, at);
  return bytes;
}

/** Nothing when the file is missing, damaged or of another version. */
function* parseRecords(bytes: Buffer | undefined): Generator<[bigint, MemoRecord]> {
  const end = (bytes?.length ?? 0) - sumSize;
  if (!bytes || end < magic.length || (end - magic.length) % recordSize !== 0) return;
  if (bytes.toString('latin1', 0, magic.length) !== magic) return;
  if (!createHash('sha256').update(bytes.subarray(0, end)).digest().equals(bytes.subarray(end))) return;
  for (let at = magic.length; at < end; at += recordSize) {
    const value = (index: number): bigint => bytes.readBigInt64LE(at + 8 * index);
    const identity = {
      device: BigInt.asUintN(64, value(0)),
      inode: BigInt.asUintN(64, value(1)),
      size: value(2),
      mtime: value(3),
      ctime: value(4),
    };
    yield [
      identity.inode,
      { identity, digest: parseDigest(`sha256:${bytes.toString('hex', at + 40, at + recordSize)}`) },
    ];
  }
}

async function readOptional(file: string): Promise<Buffer | undefined> {
  try {
    return await readFile(file);
  } catch (error) {
    // ENOENT is the first build; anything else is treated the same, because the memo is only an optimisation.
    if (systemErrorCode(error) === undefined) throw error;
    return undefined;
  }
}
