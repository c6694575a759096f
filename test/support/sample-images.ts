/** Images made of random layers: structurally real, and different each time unless a seed is given. */
import { createHash, randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { type Descriptor, mediaTypes, serializeImageConfig, serializeManifest } from '../../src/image/index.ts';
import type { MemoryStore } from './memory-store.ts';

export interface SampleImage {
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** @param layerSizes bytes of each layer's only file */
export function addImage(
  store: MemoryStore,
  layerSizes: readonly number[],
  architecture = 'amd64',
  subject?: Descriptor,
): SampleImage {
  const tars = layerSizes.map((size, i) => tarOf(`file${i}`, randomBytes(size)));
  const layers = tars.map((tar) => store.add(mediaTypes.ociLayerGzip, gzipSync(tar, { level: 1 })));
  const config = store.add(
    mediaTypes.ociConfig,
    serializeImageConfig({
      os: 'linux',
      architecture,
      config: { Cmd: ['/bin/sh'] },
      rootfs: { type: 'layers', diff_ids: tars.map((tar) => `sha256:${sha256(tar)}` as Descriptor['digest']) },
      history: [],
      extra: {},
    }),
  );
  const manifest = store.add(
    mediaTypes.ociManifest,
    serializeManifest({
      kind: 'manifest',
      mediaType: mediaTypes.ociManifest,
      config,
      layers,
      ...(subject && { subject }),
    }),
  );
  return { manifest, config, layers };
}

export function addIndex(store: MemoryStore, images: ReadonlyMap<string, SampleImage>): Descriptor {
  const manifests = [...images].map(([architecture, { manifest }]) => ({
    ...manifest,
    platform: { os: 'linux', architecture },
  }));
  return store.add(
    mediaTypes.ociIndex,
    serializeManifest({ kind: 'index', mediaType: mediaTypes.ociIndex, manifests }),
  );
}

/** A tar with one regular file. */
export function tarOf(name: string, content: Uint8Array): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${content.byteLength.toString(8).padStart(11, '0')}\0`, 124);
  header.write('00000000000\0', 136);
  header.write('        ', 148);
  header.write('0', 156);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const padding = Buffer.alloc((512 - (content.byteLength % 512)) % 512);
  return Buffer.concat([header, content, padding, Buffer.alloc(1024)]);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
