/** A store of its own for a test, and small images to put into it. */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type BytePath, bytePathFromText } from '../../src/core/index.ts';
import {
  type Descriptor,
  type Digest,
  mediaTypes,
  scratchConfig,
  serializeImageConfig,
  serializeManifest,
} from '../../src/image/index.ts';
import { type LayerEntry, type LocalStore, openStore, type StoreOptions } from '../../src/layers/index.ts';

export const never: AbortSignal = new AbortController().signal;

/** A folder that goes when the test ends. */
export function temporaryFolder(prefix = 'tsbuild-store-'): string {
  const folder = mkdtempSync(join(tmpdir(), prefix));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export async function temporaryStore(options: StoreOptions & { readonly root?: string } = {}): Promise<LocalStore> {
  const store = await openStore(options.root ?? join(temporaryFolder(), 'store'), options);
  onTestFinished(() => store.close());
  return store;
}

/** A file entry with text or bytes as its content. */
export function fileEntry(path: string, content: string | Uint8Array, more: Partial<LayerEntry> = {}): LayerEntry {
  const bytes = Buffer.from(content);
  return {
    path: bytePathFromText(path),
    kind: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: bytes.length,
    mtime: 1_700_000_000_000_000_000n,
    content: { kind: 'bytes', bytes },
    ...more,
  };
}

export function directoryEntry(path: string, more: Partial<LayerEntry> = {}): LayerEntry {
  return {
    path: bytePathFromText(path),
    kind: 'directory',
    mode: 0o755,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: 1_700_000_000_000_000_000n,
    ...more,
  };
}

export function bytePath(text: string): BytePath {
  return bytePathFromText(text);
}

export interface TestImage {
  readonly target: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly { readonly diffId: Digest; readonly blob: Descriptor }[];
}

/** An image of layers made from entries, without a name. */
export async function putImage(
  store: LocalStore,
  layersOf: readonly (readonly LayerEntry[])[],
  labels: Readonly<Record<string, string>> = {},
): Promise<TestImage> {
  const layers = [];
  for (const entries of layersOf) layers.push(await store.writeLayer(entries, { signal: never }));
  const config = await store.putBytes(
    mediaTypes.ociConfig,
    serializeImageConfig({
      ...scratchConfig({ os: 'linux', architecture: 'amd64' }),
      config: { Labels: labels, Cmd: ['/bin/true'] },
      rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    }),
  );
  const manifest = serializeManifest({
    kind: 'manifest',
    mediaType: mediaTypes.ociManifest,
    config,
    layers: layers.map((layer) => layer.blob),
  });
  return { target: await store.putBytes(mediaTypes.ociManifest, manifest), config, layers };
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}
