/**
 * Images as files, written and read without src/: OCI layouts (a directory or a tar of one) and docker archives.
 * Invariant: a layer read here has the digest its configuration claims, and every blob the digest that names it.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { readTar, type TarEntry, writeTar } from './plain-tar.ts';

/** An image to write: what a test says about a base. */
export interface ImageSpec {
  /** Its name without a tag, which is `latest`. */
  readonly name: string;
  readonly layers: readonly (readonly TarEntry[])[];
  /** The `config` member of the configuration. */
  readonly config: Readonly<Record<string, unknown>>;
}

/** An image that was read. */
export interface ReadImage {
  /** The whole configuration document. */
  readonly config: ConfigDocument;
  /** Uncompressed tars, lowest first. */
  readonly layers: readonly Buffer[];
  /** Docker archives have none. */
  readonly manifest?: Manifest;
}

export interface ConfigDocument {
  readonly config?: Readonly<Record<string, unknown>>;
  readonly rootfs: { readonly diff_ids: readonly string[] };
  readonly history?: readonly HistoryLine[];
  readonly created?: string;
  readonly author?: string;
  readonly os: string;
  readonly architecture: string;
}

export interface HistoryLine {
  readonly created_by?: string;
  readonly empty_layer?: boolean;
  readonly comment?: string;
  readonly author?: string;
}

export interface BlobDescriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly platform?: { readonly os: string; readonly architecture: string };
}

export interface Manifest {
  readonly config: BlobDescriptor;
  readonly layers: readonly BlobDescriptor[];
  readonly annotations?: Readonly<Record<string, string>>;
}

const created = '2020-01-02T03:04:05Z';

export function sha256(bytes: Uint8Array | string): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function configOf(spec: ImageSpec, tars: readonly Buffer[]): Buffer {
  return Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      created,
      config: spec.config,
      rootfs: { type: 'layers', diff_ids: tars.map(sha256) },
      history: tars.map((_, index) => ({ created, created_by: `layer ${index} of ${spec.name}` })),
    }),
  );
}

/** Writes an OCI layout; an image's `org.opencontainers.image.ref.name` is its name. Layers are gzip. */
export function writeOciLayout(folder: string, images: readonly ImageSpec[]): void {
  const blobs = join(folder, 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  const put = (mediaType: string, bytes: Buffer): BlobDescriptor => {
    const digest = sha256(bytes);
    writeFileSync(join(blobs, digest.slice('sha256:'.length)), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const manifests = images.map((image) => {
    const tars = image.layers.map(writeTar);
    const manifest = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: put('application/vnd.oci.image.config.v1+json', configOf(image, tars)),
      layers: tars.map((tar) => put('application/vnd.oci.image.layer.v1.tar+gzip', gzipSync(tar, { level: 1 }))),
    };
    return {
      ...put(manifest.mediaType, Buffer.from(JSON.stringify(manifest))),
      annotations: { 'org.opencontainers.image.ref.name': image.name },
    };
  });
  writeFileSync(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }));
  writeFileSync(join(folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
}

/** Writes what `docker load` reads. */
export function writeDockerArchive(file: string, image: ImageSpec): void {
  const tars = image.layers.map(writeTar);
  const config = configOf(image, tars);
  const entry = (path: string, content: Buffer): TarEntry => ({
    path,
    kind: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: 0,
    content,
  });
  const configName = `${sha256(config).slice('sha256:'.length)}.json`;
  const layerNames = tars.map((_, index) => `layer-${index}.tar`);
  const manifest = [{ Config: configName, RepoTags: [`${image.name}:latest`], Layers: layerNames }];
  writeFileSync(
    file,
    writeTar([
      entry(configName, config),
      ...tars.map((tar, index) => entry(layerNames[index] ?? '', tar)),
      entry('manifest.json', Buffer.from(JSON.stringify(manifest))),
    ]),
  );
}

/** The first image of a docker archive. */
export function readDockerArchive(archive: Buffer): ReadImage {
  const files = filesOf(archive);
  const [manifest] = JSON.parse(file(files, 'manifest.json').toString()) as { Config: string; Layers: string[] }[];
  if (manifest === undefined) throw new Error('the docker archive has no image');
  const config = JSON.parse(file(files, manifest.Config).toString()) as ConfigDocument;
  return checked({ config, layers: manifest.Layers.map((name) => uncompressed(file(files, name))) });
}

/** @param tag a tag or full name an annotation of the index holds; undefined: the only image */
export function readOciArchive(archive: Buffer, tag?: string): ReadImage {
  const files = filesOf(archive);
  return readLayout((name) => file(files, name), tag);
}

export function readOciLayout(folder: string, tag?: string): ReadImage {
  return readLayout((name) => readFileSync(join(folder, name)), tag);
}

function readLayout(read: (name: string) => Buffer, tag: string | undefined): ReadImage {
  const index = JSON.parse(read('index.json').toString()) as { manifests: BlobDescriptor[] };
  const named = index.manifests.filter(
    ({ annotations }) => tag === undefined || Object.values(annotations ?? {}).includes(tag),
  );
  const [descriptor] = named;
  if (descriptor === undefined || (tag === undefined && named.length > 1)) {
    throw new Error(`the layout has ${named.length} images for ${tag}: ${JSON.stringify(index)}`);
  }
  const blob = ({ digest, size }: BlobDescriptor): Buffer => {
    const bytes = read(`blobs/${digest.replace(':', '/')}`);
    if (sha256(bytes) !== digest || bytes.length !== size) throw new Error(`blob ${digest} is damaged`);
    return bytes;
  };
  let document = JSON.parse(blob(descriptor).toString()) as Manifest & { manifests?: BlobDescriptor[] };
  const [only] = document.manifests ?? [];
  if (only !== undefined) document = JSON.parse(blob(only).toString()) as Manifest;
  const config = JSON.parse(blob(document.config).toString()) as ConfigDocument;
  return checked({ config, layers: document.layers.map((layer) => uncompressed(blob(layer))), manifest: document });
}

function checked(image: ReadImage): ReadImage {
  const actual = image.layers.map(sha256);
  const claimed = image.config.rootfs.diff_ids;
  if (JSON.stringify(actual) !== JSON.stringify(claimed)) {
    throw new Error(`layers ${actual.join(' ')} are not the diff IDs the configuration claims: ${claimed.join(' ')}`);
  }
  return image;
}

function uncompressed(layer: Buffer): Buffer {
  return layer[0] === 0x1f && layer[1] === 0x8b ? gunzipSync(layer) : layer;
}

function filesOf(archive: Buffer): Map<string, Buffer> {
  const entries = readTar(archive);
  const files = new Map<string, Buffer>();
  for (const entry of entries) if (entry.kind === 'file' && entry.content) files.set(entry.path, entry.content);
  // docker save writes a layer that occurs twice as a link to the other, which may come later.
  for (const entry of entries) {
    const content = files.get(entry.linkTarget?.replace(/^(\.\.\/)+/, '') ?? '');
    if (content) files.set(entry.path, content);
  }
  return files;
}

function file(files: ReadonlyMap<string, Buffer>, name: string): Buffer {
  const content = files.get(name);
  if (content === undefined) throw new Error(`the archive has no ${name}, only ${[...files.keys()].join(' ')}`);
  return content;
}
