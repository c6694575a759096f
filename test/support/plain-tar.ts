/**
 * A small tar of our own, written and read without src/: judges must not share the code they judge.
 * Reads ustar, PAX and GNU long names, whole archives in memory. Writes ustar with PAX where ustar is too small.
 */

export type TarKind = 'file' | 'hardlink' | 'symlink' | 'char' | 'block' | 'directory' | 'fifo';

export interface TarEntry {
  /** Latin1: one character per byte; no leading `./`, no trailing slash; the root is ''. */
  readonly path: string;
  readonly kind: TarKind;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970, with fraction. */
  readonly mtime: number;
  readonly content?: Buffer;
  readonly linkTarget?: string;
  readonly device?: string;
  /** Attribute names to latin1 bytes. */
  readonly xattrs?: Readonly<Record<string, string>>;
}

const kinds: Readonly<Record<string, TarKind>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};
const flags = { file: '0', hardlink: '1', symlink: '2', char: '3', block: '4', directory: '5', fifo: '6' } as const;

/** @throws Error when the archive is cut short or has a type this reader does not know */
export function readTar(archive: Buffer): TarEntry[] {
  const entries: TarEntry[] = [];
  let global: Record<string, string> = {};
  let pax: Record<string, string> = {};
  let offset = 0;
  while (offset + 512 <= archive.length) {
    const header = archive.subarray(offset, offset + 512);
    if (header.every((byte) => byte === 0)) break;
    checkSum(header, offset);
    const attributes: Record<string, string> = { ...global, ...pax };
    const flag = String.fromCharCode(header[156] ?? 0);
    const declared = number(header, 124, 12);
    const size = flag !== 'x' && flag !== 'g' && attributes.size !== undefined ? Number(attributes.size) : declared;
    const body = archive.subarray(offset + 512, offset + 512 + size);
    if (body.length !== size) throw new Error(`tar cut short at byte ${offset}`);
    offset += 512 + Math.ceil(size / 512) * 512;
    if (flag === 'g') global = { ...global, ...readPax(body) };
    else if (flag === 'x') pax = { ...pax, ...readPax(body) };
    else if (flag === 'L') pax = { ...pax, path: body.toString('latin1').replace(/\0+$/, '') };
    else if (flag === 'K') pax = { ...pax, linkpath: body.toString('latin1').replace(/\0+$/, '') };
    else {
      entries.push(entryOf(header, flag, attributes, body));
      pax = {};
    }
  }
  return entries;
}

function entryOf(header: Buffer, flag: string, pax: Readonly<Record<string, string>>, body: Buffer): TarEntry {
  const prefix = header.toString('latin1', 257, 262) === 'ustar' ? text(header, 345, 155) : '';
  const name = pax.path ?? (prefix === '' ? text(header, 0, 100) : `${prefix}/${text(header, 0, 100)}`);
  // Archives older than POSIX mark a directory by its name alone.
  const kind = (flag === '0' || flag === '\0') && name.endsWith('/') ? 'directory' : kinds[flag];
  if (kind === undefined) throw new Error(`tar entry ${name} has the unknown type ${JSON.stringify(flag)}`);
  const xattrs = Object.fromEntries(
    Object.entries(pax)
      .filter(([key]) => key.startsWith('SCHILY.xattr.'))
      .map(([key, value]) => [key.slice('SCHILY.xattr.'.length), value]),
  );
  return {
    path: cleanPath(name),
    kind,
    mode: number(header, 100, 8) & 0o7777,
    uid: pax.uid === undefined ? number(header, 108, 8) : Number(pax.uid),
    gid: pax.gid === undefined ? number(header, 116, 8) : Number(pax.gid),
    mtime: pax.mtime === undefined ? number(header, 136, 12) : Number(pax.mtime),
    ...(kind === 'file' && { content: body }),
    ...((kind === 'symlink' || kind === 'hardlink') && {
      linkTarget: kind === 'hardlink' ? cleanPath(linkOf(header, pax)) : linkOf(header, pax),
    }),
    ...((kind === 'char' || kind === 'block') && { device: `${number(header, 329, 8)}:${number(header, 337, 8)}` }),
    ...(Object.keys(xattrs).length > 0 && { xattrs }),
  };
}

function linkOf(header: Buffer, pax: Readonly<Record<string, string>>): string {
  return pax.linkpath ?? text(header, 157, 100);
}

/** `./a/`, `/a` and `a` are one name. */
export function cleanPath(name: string): string {
  return name
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

/** Deterministic: the entries as given, nothing taken from the machine. */
export function writeTar(entries: readonly TarEntry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    const name = entry.kind === 'directory' ? `${entry.path}/` : entry.path;
    const link = entry.linkTarget ?? '';
    const attributes: [string, string][] = [];
    if (name.length > 100) attributes.push(['path', name]);
    if (link.length > 100) attributes.push(['linkpath', link]);
    for (const [key, value] of Object.entries(entry.xattrs ?? {})) attributes.push([`SCHILY.xattr.${key}`, value]);
    if (attributes.length > 0) {
      const body = Buffer.concat(attributes.map(([key, value]) => paxRecord(key, value)));
      blocks.push(headerOf({ ...entry, path: 'PaxHeaders/entry' }, 'x', body.length), padded(body));
    }
    const content = entry.content ?? Buffer.alloc(0);
    blocks.push(headerOf({ ...entry, path: name }, flags[entry.kind], content.length), padded(content));
  }
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

function headerOf(entry: TarEntry, flag: string, size: number): Buffer {
  const header = Buffer.alloc(512);
  header.write(entry.path.slice(0, 100), 0, 'latin1');
  const octal = (value: number, at: number, width: number) =>
    header.write(value.toString(8).padStart(width - 1, '0'), at, 'latin1');
  octal(entry.mode, 100, 8);
  octal(entry.uid, 108, 8);
  octal(entry.gid, 116, 8);
  octal(size, 124, 12);
  octal(Math.floor(entry.mtime), 136, 12);
  header.write(' '.repeat(8), 148);
  header.write(flag, 156);
  header.write((entry.linkTarget ?? '').slice(0, 100), 157, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  const [major, minor] = (entry.device ?? '0:0').split(':').map(Number);
  octal(major ?? 0, 329, 8);
  octal(minor ?? 0, 337, 8);
  octal(
    header.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  header[155] = 0x20;
  return header;
}

function padded(body: Buffer): Buffer {
  return Buffer.concat([body, Buffer.alloc((512 - (body.length % 512)) % 512)]);
}

function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`, 'latin1');
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function readPax(body: Buffer): Record<string, string> {
  const result: Record<string, string> = {};
  let offset = 0;
  while (offset < body.length) {
    const space = body.indexOf(0x20, offset);
    const length = Number(body.toString('latin1', offset, space));
    if (!(length > 0)) throw new Error('damaged PAX record');
    const record = body.toString('latin1', space + 1, offset + length - 1);
    const equals = record.indexOf('=');
    result[record.slice(0, equals)] = record.slice(equals + 1);
    offset += length;
  }
  return result;
}

function checkSum(header: Buffer, offset: number): void {
  const sum = header.reduce((total, byte, index) => total + (index >= 148 && index < 156 ? 0x20 : byte), 0);
  if (sum !== number(header, 148, 8)) throw new Error(`tar header at byte ${offset} has a wrong checksum`);
}

function text(header: Buffer, start: number, length: number): string {
  return header.toString('latin1', start, start + length).split('\0')[0] ?? '';
}

function number(header: Buffer, start: number, length: number): number {
  // GNU base 256: the first bit says so.
  if ((header[start] ?? 0) & 0x80) {
    const bytes = Buffer.from(header.subarray(start, start + length));
    bytes[0] = (bytes[0] ?? 0) & 0x7f;
    return Number(BigInt(`0x${bytes.toString('hex')}`));
  }
  return Number.parseInt(text(header, start, length).trim() || '0', 8);
}
