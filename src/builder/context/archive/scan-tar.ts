/**
 * The entries of an uncompressed tar file and where their bytes lie, through tar-stream.
 * Invariant: names are the archive's own and not yet safe; nothing is written.
 */
import { createReadStream } from 'node:fs';
import { extract, type Header } from 'tar-stream';
import { type BytePath, bytePathFromText, bytePathToText, TsbuildError } from '../../../core/index.ts';
import type { EntryKind, LayerEntry } from '../../../layers/index.ts';
import type { ArchiveLimits } from './limits.ts';

/** What tar-stream tells and its types leave out: where the content begins. */
type TarHeader = Omit<Partial<Header>, 'pax'> & {
  readonly byteOffset?: number;
  readonly pax?: Readonly<Partial<Record<'uid' | 'gid' | 'mtime' | 'path' | 'linkpath', string>>> | null;
};

const kinds: Readonly<Record<string, EntryKind>> = {
  file: 'file',
  'contiguous-file': 'file',
  directory: 'directory',
  symlink: 'symlink',
  link: 'hardlink',
  fifo: 'fifo',
  'character-device': 'char',
  'block-device': 'block',
};

/**
 * @param file a tar file tsbuild owns: the content of the entries stays in it
 * @throws TsbuildError `archive-invalid`, `archive-too-large`
 */
export async function scanTar(
  file: string,
  name: string,
  limits: ArchiveLimits,
  signal: AbortSignal,
): Promise<readonly LayerEntry[]> {
  const entries: LayerEntry[] = [];
  // Not in the package's types: names as bytes.
  const options: object = { filenameEncoding: 'latin1' };
  const reader = extract(options);
  const source = createReadStream(file, { highWaterMark: 1024 * 1024, signal });
  source.on('error', (error) => reader.destroy(error));
  source.pipe(reader);
  try {
    for await (const entry of reader) {
      entry.resume();
      if (entries.length >= limits.entries) {
        throw new TsbuildError({
          code: 'archive-too-large',
          message: `${name} holds more than ${limits.entries} entries`,
          hint: 'Unpack it yourself and copy what you need.',
        });
      }
      entries.push(entryOf(entry.header as TarHeader, file));
    }
  } catch (cause) {
    if (cause instanceof TsbuildError) throw cause;
    throw new TsbuildError({
      code: 'archive-invalid',
      message: `${name} is damaged: ${cause instanceof Error ? cause.message : 'it cannot be read'}`,
      hint: 'Make the archive again.',
      cause,
    });
  } finally {
    source.destroy();
  }
  return entries;
}

function entryOf(header: TarHeader, file: string): LayerEntry {
  const name = pathOf(header.name, header.pax?.path);
  const kind = header.type ? kinds[header.type] : undefined;
  if (kind === undefined || Object.keys(header.pax ?? {}).some((key) => key.startsWith('GNU.sparse.'))) {
    throw new Error(`the entry ${bytePathToText(name)} is of a kind that cannot be unpacked`);
  }
  const xattrs = xattrsOf(header.pax ?? {});
  return {
    path: name,
    kind,
    mode: (header.mode ?? 0o644) & 0o7777,
    uid: numberOf(header.pax?.uid) ?? header.uid ?? 0,
    gid: numberOf(header.pax?.gid) ?? header.gid ?? 0,
    size: kind === 'file' ? (header.size ?? 0) : 0,
    mtime: timeOf(header),
    ...(kind === 'symlink' || kind === 'hardlink'
      ? { linkTarget: pathOf(header.linkname ?? '', header.pax?.linkpath) }
      : {}),
    ...(kind === 'char' || kind === 'block'
      ? { device: { major: header.devmajor ?? 0, minor: header.devminor ?? 0 } }
      : {}),
    ...(xattrs.size > 0 ? { xattrs } : {}),
    ...(kind === 'file' ? { content: { kind: 'range', file, offset: header.byteOffset ?? 0 } } : {}),
  };
}

/** PAX names arrive as text, header names as bytes. */
function pathOf(bytes: string | undefined, text: string | undefined): BytePath {
  return text === undefined ? ((bytes ?? '') as BytePath) : bytePathFromText(text);
}

/** Values that are no UTF-8 were lost before they came here, and are left out rather than given wrongly. */
function xattrsOf(pax: Readonly<Record<string, string | undefined>>): Map<string, Uint8Array> {
  const prefix = 'SCHILY.xattr.';
  const found = new Map<string, Uint8Array>();
  for (const [key, value] of Object.entries(pax)) {
    if (!key.startsWith(prefix) || value === undefined || value.includes('\uFFFD')) continue;
    found.set(key.slice(prefix.length), Buffer.from(value));
  }
  return found;
}

function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^[0-9]{1,10}$/.test(text) ? Number(text) : undefined;
}

function timeOf(header: TarHeader): bigint {
  const match = /^(-?[0-9]{1,12})(?:\.([0-9]+))?$/.exec(header.pax?.mtime ?? '');
  if (!match) return BigInt(Math.trunc((header.mtime?.getTime() ?? 0) / 1000)) * 1_000_000_000n;
  const fraction = BigInt((match[2] ?? '').slice(0, 9).padEnd(9, '0'));
  const seconds = BigInt(match[1] ?? '0') * 1_000_000_000n;
  return match[1]?.startsWith('-') ? seconds - fraction : seconds + fraction;
}
