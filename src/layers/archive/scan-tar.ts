/**
 * Where the members of a tar file lie: reads the headers and seeks over the contents, so that an archive of any size is
 * open at once.
 * Invariant: bounded by `maxMembers`, however long the archive.
 */
import type { FileHandle } from 'node:fs/promises';
import { posix } from 'node:path';
import { bytePathToText } from '../../core/index.ts';
import { parsePaxRecords } from '../tar/pax.ts';
import { buildEntry, type Overrides, storedSize } from '../tar/tar-entry.ts';
import { blockSize, paddingOf } from '../tar/tar-format.ts';
import { isZeroBlock, parseHeader, type RawHeader } from '../tar/tar-header.ts';
import { archiveInvalid } from './archive-errors.ts';

export type TarMember =
  | { readonly kind: 'file'; readonly offset: number; readonly size: number }
  | { readonly kind: 'link'; readonly target: string };

/** An archive of a thousand images has a few ten thousand. */
const maxMembers = 1_000_000;
const maxExtendedHeader = 1024 * 1024;

/**
 * Regular files and links by path; of several with one name the last counts, as in tar.
 * @throws TsbuildError `tar-*`, `image-archive-invalid`
 */
export async function scanTar(file: FileHandle, place: string): Promise<Map<string, TarMember>> {
  const members = new Map<string, TarMember>();
  const block = Buffer.alloc(blockSize);
  let extended: Overrides = noOverrides;
  for (let at = 0, count = 0; ; count += 1) {
    if (count > maxMembers) throw archiveInvalid(place, `it has more than ${maxMembers} members`);
    const { bytesRead } = await file.read(block, 0, blockSize, at);
    if (bytesRead < blockSize || isZeroBlock(block, 0)) return members;
    const header = parseHeader(block, 0);
    const content = at + blockSize;
    if ('xXgLK'.includes(header.typeflag)) {
      extended = { ...extended, ...(await readExtended(file, header, content, place)) };
      at = content + header.size + paddingOf(header.size);
      continue;
    }
    const size = storedSize(header, extended);
    const entry = buildEntry(header, extended, size, content);
    extended = noOverrides;
    // A directory written over a file of the same name takes it away; neither occurs in an archive of images.
    const name = memberName(bytePathToText(entry.name));
    if (entry.kind === 'file') members.set(name, { kind: 'file', offset: content, size });
    else if (entry.linkTarget !== undefined) {
      const target = bytePathToText(entry.linkTarget);
      const from = entry.kind === 'hardlink' ? '.' : posix.dirname(name);
      members.set(name, { kind: 'link', target: memberName(posix.join(from, target)) });
    }
    at = content + size + paddingOf(size);
  }
}

/** `./a//b` and `/a/b` are `a/b`, as to whoever unpacks the archive. */
export function memberName(path: string): string {
  return posix.normalize(path).replace(/^(?:\.\/|\/)+/, '');
}

const noOverrides: Overrides = { records: [], longName: undefined, longLink: undefined };

async function readExtended(
  file: FileHandle,
  { size, typeflag }: RawHeader,
  offset: number,
  place: string,
): Promise<Partial<Overrides>> {
  if (size > maxExtendedHeader) throw archiveInvalid(place, `an extended header has ${size} bytes`);
  const data = Buffer.alloc(size);
  const { bytesRead } = await file.read(data, 0, size, offset);
  if (bytesRead < size) throw archiveInvalid(place, 'it ends inside a header');
  const text = data.toString('latin1').replace(/\0.*$/s, '');
  if (typeflag === 'L') return { longName: text };
  if (typeflag === 'K') return { longLink: text };
  // Global headers change nothing, as in Go.
  return typeflag === 'g' ? {} : { records: parsePaxRecords(data) };
}
