/**
 * What every path of a directory is at one moment: what tells, when it is taken again after a step, what that step did.
 * Columns of numbers and one text, so that a hundred thousand paths cross between threads in milliseconds.
 * Invariant: paths come parents first, the names of a directory in byte order.
 */
import { createHash } from 'node:crypto';
import type { BytePath } from '../../core/index.ts';
import { native } from '../native/addon.ts';
import { DirectoryHandles } from '../native/directory-handles.ts';
import { type FileStat, fileType, isWhiteoutDevice } from '../native/stat.ts';
import { scanRecords } from '../native/stat-records.ts';
import { isLayerXattr, readXattrs } from '../native/xattrs.ts';
import { childPath } from '../tree/resolve-place.ts';

/** Crosses between threads as it is. */
export interface RootRecord {
  /** Ended by NUL each. */
  readonly paths: string;
  readonly numbers: Float64Array;
  readonly integers: BigInt64Array;
  /** By entry number: a symlink's text, the digest of the attributes. */
  readonly links: ReadonlyMap<number, string>;
  readonly xattrs: ReadonlyMap<number, string>;
  /** The latest change of metadata or content: nanoseconds since 1970. */
  readonly youngest: bigint;
}

export interface RecordedEntry extends FileStat {
  readonly path: BytePath;
  readonly ctime: bigint;
  readonly link: string;
  readonly xattrs: string;
}

const numberColumns = ['mode', 'uid', 'gid', 'size', 'links', 'deviceMajor', 'deviceMinor'] as const;
const integerColumns = ['inode', 'mtime', 'ctime'] as const;

/**
 * Looks at everything below a directory.
 * @param known what was there before: attributes and link texts of what has not changed since are taken from it
 */
export function takeRecord(root: number, known: RecordView | undefined, eachDirectory: () => void): RootRecord {
  const paths: string[] = [];
  const numbers: number[] = [];
  const integers: bigint[] = [];
  const links = new Map<number, string>();
  const xattrs = new Map<number, string>();
  let youngest = 0n;
  const handles = new DirectoryHandles(root, 128);
  const visit = (directory: BytePath): void => {
    eachDirectory();
    const records = scanRecords(handles.fd(directory));
    for (const [entry, name] of records.names.entries()) {
      const path = childPath(directory, name) as BytePath;
      const number = paths.length;
      const mode = records.number(entry, 'mode');
      const ctime = records.integer(entry, 'ctime');
      paths.push(path);
      for (const column of numberColumns) numbers.push(records.number(entry, column));
      for (const column of integerColumns) integers.push(records.integer(entry, column));
      if (ctime > youngest) youngest = ctime;
      const before = known?.sameAs(path, records.integer(entry, 'inode'), ctime);
      const type = mode & fileType.mask;
      const dir = handles.fd(directory);
      if (type === fileType.symlink) links.set(number, before?.link ?? native.readlinkAt(dir, name));
      const attributes = before?.xattrs ?? digestOfXattrs(readXattrs(dir, name, isLayerXattr));
      if (attributes !== '') xattrs.set(number, attributes);
      if (type === fileType.directory) visit(path);
    }
  };
  try {
    visit('' as BytePath);
  } finally {
    handles.close();
  }
  return {
    paths: paths.map((path) => `${path}\0`).join(''),
    numbers: Float64Array.from(numbers),
    integers: BigInt64Array.from(integers),
    links,
    xattrs,
    youngest,
  };
}

export class RecordView {
  readonly #record: RootRecord;
  readonly #numberOf = new Map<string, number>();
  readonly #children = new Map<string, BytePath[]>();

  constructor(record: RootRecord) {
    this.#record = record;
    for (const [number, path] of record.paths.split('\0').slice(0, -1).entries()) {
      this.#numberOf.set(path, number);
      const slash = path.lastIndexOf('/');
      const directory = slash < 0 ? '' : path.slice(0, slash);
      const siblings = this.#children.get(directory);
      if (siblings) siblings.push(path as BytePath);
      else this.#children.set(directory, [path as BytePath]);
    }
  }

  get paths(): Iterable<string> {
    return this.#numberOf.keys();
  }

  entry(path: string): RecordedEntry | undefined {
    const number = this.#numberOf.get(path);
    return number === undefined ? undefined : this.#entryAt(number, path as BytePath);
  }

  /** What a directory holds: paths in byte order of their names. */
  children(directory: string): readonly BytePath[] {
    return this.#children.get(directory) ?? [];
  }

  /** The entry, when it has these still. */
  sameAs(path: string, inode: bigint, ctime: bigint): RecordedEntry | undefined {
    const number = this.#numberOf.get(path);
    if (number === undefined) return undefined;
    const { integers } = this.#record;
    const at = number * integerColumns.length;
    return integers[at] === inode && integers[at + 2] === ctime ? this.#entryAt(number, path as BytePath) : undefined;
  }

  #entryAt(number: number, path: BytePath): RecordedEntry {
    const { numbers, integers, links, xattrs } = this.#record;
    const from = number * numberColumns.length;
    const at = number * integerColumns.length;
    const mode = numbers[from] ?? 0;
    return {
      path,
      type: mode & fileType.mask,
      mode: mode & 0o7777,
      uid: numbers[from + 1] ?? 0,
      gid: numbers[from + 2] ?? 0,
      size: numbers[from + 3] ?? 0,
      links: numbers[from + 4] ?? 0,
      major: numbers[from + 5] ?? 0,
      minor: numbers[from + 6] ?? 0,
      blocks: 0,
      fileSystem: 0n,
      inode: integers[at] ?? 0n,
      mtime: integers[at + 1] ?? 0n,
      ctime: integers[at + 2] ?? 0n,
      link: links.get(number) ?? '',
      xattrs: xattrs.get(number) ?? '',
    };
  }
}

/** A character device 0/0 is nothing an image can hold: on an overlay it would be a deletion. */
export function countsAsNothing(entry: FileStat): boolean {
  return entry.type === fileType.socket || isWhiteoutDevice(entry);
}

function digestOfXattrs(attributes: ReadonlyMap<string, Uint8Array> | undefined): string {
  if (!attributes) return '';
  const hash = createHash('sha256');
  for (const [name, value] of attributes) hash.update(`${name}\0${value.length}\0`).update(value);
  return hash.digest('base64');
}
