/**
 * Hands a finished image to where the user wants it: names in the store, archives, directories, an engine, registries.
 * Invariant: the image is complete in the store, under its names, before anything else is tried.
 */
import { join } from 'node:path';
import { assertNever, TsbuildError } from '../../core/index.ts';
import { type Descriptor, formatPlatform, isIndexType, parseReference } from '../../image/index.ts';
import {
  checkOutputFile,
  checkOutputFolder,
  exportTree,
  type LayerRef,
  type Tree,
  writeDockerArchive,
  writeOciArchive,
  writeOciLayout,
  writeOutputFile,
} from '../../layers/index.ts';
import type { Attestation } from '../attestations/statements.ts';
import { fetchMissing } from '../fetch-missing.ts';
import type { BuildPorts, BuildRequest, BuiltImage, ExportRequest } from '../types.ts';
import { annotationsFor, annotationsMember } from './annotations.ts';
import { publishImage } from './publish.ts';

export interface FinishedBuild {
  readonly images: readonly (BuiltImage & { readonly chain: readonly LayerRef[] })[];
  readonly target: Descriptor;
  readonly request: BuildRequest;
  readonly attestations?: ReadonlyMap<BuiltImage, readonly Attestation[]>;
}

/** Layers of bases that no step needed stay where they are. */
export async function nameImage({ store }: BuildPorts, target: Descriptor, tags: readonly string[]): Promise<void> {
  const options = { mayLackLayers: true };
  if (tags.length === 0) return store.listUnnamed(target, options);
  for (const tag of tags) await store.tagImage(target, parseReference(tag), options);
}

/** Before anything is built. @throws TsbuildError `export-failed` for a destination that takes no output */
export async function checkDestinations(request: BuildRequest, ports: BuildPorts): Promise<void> {
  for (const one of request.exports) {
    if (request.attestations) await checkAttestable(one, ports);
    const { kind, destination, tar } = one;
    if (destination === undefined || destination === '-') continue;
    if (kind === 'local' || (kind === 'oci' && tar === false)) await checkOutputFolder(destination);
    else await checkOutputFile(destination);
  }
}

/** Attestations stand in an index. @throws TsbuildError `export-invalid` where there can be none */
async function checkAttestable(one: ExportRequest, { delivery, signal }: BuildPorts): Promise<void> {
  const without = 'or leave --provenance, --sbom and --attest out';
  const refuse = (message: string, hint: string) => new TsbuildError({ code: 'export-invalid', message, hint });
  if (one.ociMediaTypes === false) {
    throw refuse("Docker's media types have none for attestations", `Leave oci-mediatypes=false out, ${without}.`);
  }
  if (one.kind !== 'docker') return;
  if (one.destination !== undefined) {
    throw refuse('a docker archive holds one image and no attestations', `Write -o type=oci instead, ${without}.`);
  }
  if (await delivery.keepsIndexes(signal)) return;
  throw refuse(
    'the engine keeps no attestations, for its images are not in containerd',
    `Turn its containerd image store on, push the image instead, ${without}.`,
  );
}

export async function deliver(build: FinishedBuild, ports: BuildPorts): Promise<void> {
  for (const one of build.request.exports) await deliverOne(build, one, ports);
}

/** Makes every layer of the images present in the store. A build that is only pushed has no need of it. */
export async function completeStore({ images }: Pick<FinishedBuild, 'images'>, ports: BuildPorts): Promise<void> {
  const missing = new Map(images.flatMap(({ chain }) => chain).map((layer) => [layer.blob.digest, layer]));
  await Promise.all(
    [...missing.values()]
      .filter((layer) => !ports.store.hasBlob(layer.blob.digest))
      .map((layer) => ports.baseImages.fetch(layer, ports.signal)),
  );
}

async function deliverOne(build: FinishedBuild, one: ExportRequest, ports: BuildPorts): Promise<void> {
  const { store, signal } = ports;
  const names = one.names ?? build.request.tags;
  switch (one.kind) {
    case 'image':
      if (one.names) await nameImage(ports, build.target, one.names);
      return one.push ? push(build, one, names, ports) : undefined;
    case 'registry':
      return push(build, one, names, ports);
    case 'docker': {
      await completeStore(build, ports);
      if (one.destination === undefined) return ports.delivery.load(build.target, names, signal);
      const { compression = 'uncompressed' } = one;
      const target = await reshaped(build, { ...one, compression }, ports);
      const options = { keepCompression: compression !== 'uncompressed' };
      if (compression === 'zstd') {
        const message = 'docker load takes no zstd layers from an archive unless the engine keeps images in containerd';
        ports.events({ kind: 'notice', level: 'warning', message });
      }
      return toFile(one.destination, ports, (out) =>
        writeDockerArchive(store, [{ target, names }], out, signal, options),
      );
    }
    case 'oci': {
      await completeStore(build, ports);
      const target = await reshaped(one.attestationInline ? build : withoutInline(build), one, ports);
      if (one.tar === false) return writeOciLayout(store, [{ target, names }], requireDestination(one), signal);
      return toFile(requireDestination(one), ports, (out) => writeOciArchive(store, [{ target, names }], out, signal));
    }
    case 'tar':
      return exportTar(build, one, ports);
    case 'local':
      return exportLocal(build, one, ports);
    default:
      return assertNever(one.kind);
  }
}

async function push(
  build: FinishedBuild,
  one: ExportRequest,
  names: readonly string[],
  ports: BuildPorts,
): Promise<void> {
  if (names.length === 0) {
    throw new TsbuildError({
      code: 'export-invalid',
      message: 'there is no name to push the image under',
      hint: 'Add -t registry/name:tag.',
    });
  }
  const target = await reshaped(build, one, ports);
  for (const name of names) {
    await ports.delivery.push(target, name, { byDigest: one.pushByDigest ?? false, signal: ports.signal });
  }
}

/** An image whose attestations are all for other places needs no index in a layout for their sake. */
function withoutInline(build: FinishedBuild): FinishedBuild {
  const [only, ...more] = build.images;
  const said = only && build.attestations?.get(only);
  const isBare = more.length === 0 && said?.every(({ inlineOnly }) => inlineOnly);
  return only && isBare ? { ...build, target: only.manifest } : build;
}

async function reshaped(build: FinishedBuild, one: ExportRequest, ports: BuildPorts): Promise<Descriptor> {
  const [only, ...more] = build.images;
  const layers = new Map(build.images.flatMap(({ chain }) => chain).map((layer) => [layer.blob.digest, layer]));
  const published = await publishImage(ports.store, build.target, {
    ...(one.compression && { compression: one.compression }),
    ...(one.compressionLevel !== undefined && { level: one.compressionLevel }),
    ...(one.forceCompression !== undefined && { force: one.forceCompression }),
    ...(one.ociMediaTypes !== undefined && { ociMediaTypes: one.ociMediaTypes }),
    ...(one.annotations && { annotations: one.annotations }),
    ...(one.names && { names: one.names }),
    ...(one.ociArtifact !== undefined && { ociArtifact: one.ociArtifact }),
    ...(only && more.length === 0 && { platform: only.platform }),
    ensure: async (descriptor, signal) => {
      const layer = layers.get(descriptor.digest);
      if (layer && !ports.store.hasBlob(descriptor.digest)) await ports.baseImages.fetch(layer, signal);
    },
    signal: ports.signal,
  });
  if (one.kind !== 'oci') return published;
  // Only an OCI layout has a place for what is said of the whole: the descriptor in its index.json.
  const all = [...build.request.annotations, ...(one.annotations ?? [])];
  const added = annotationsFor(
    all,
    isIndexType(published.mediaType) ? 'index-descriptor' : 'manifest-descriptor',
    only?.platform,
  );
  return { ...published, ...annotationsMember(published.annotations, added) };
}

async function exportTar(build: FinishedBuild, one: ExportRequest, ports: BuildPorts): Promise<void> {
  const { images } = build;
  const [image] = images;
  if (!image || images.length > 1) {
    throw new TsbuildError({
      code: 'export-invalid',
      message: 'type=tar holds one file system, and this build has several platforms',
      hint: 'Use type=local, or name one --platform.',
    });
  }
  const tree = await openTree(build, image, one, ports);
  await toFile(requireDestination(one), ports, async (out) => {
    await exportTree(tree, { kind: 'tar', out, signal: ports.signal });
  });
}

async function exportLocal(build: FinishedBuild, one: ExportRequest, ports: BuildPorts): Promise<void> {
  const { images } = build;
  const destination = requireDestination(one);
  for (const image of images) {
    const { platform } = image;
    // Several platforms stand side by side: linux_amd64/, linux_arm64/.
    const path = images.length === 1 ? destination : join(destination, formatPlatform(platform).replaceAll('/', '_'));
    const tree = await openTree(build, image, one, ports);
    const target = {
      kind: 'directory',
      path,
      deleteOthers: one.deleteOthers ?? false,
      keepOwners: false,
      signal: ports.signal,
    } as const;
    for (const message of await exportTree(tree, target)) ports.events({ kind: 'notice', level: 'warning', message });
  }
}

async function openTree(
  { attestations, request }: FinishedBuild,
  image: FinishedBuild['images'][number],
  { attestationPrefix }: ExportRequest,
  ports: BuildPorts,
): Promise<Tree> {
  const { store, signal } = ports;
  const tree = await store.tree(image.chain, { ensure: fetchMissing(ports), signal });
  const said = attestations?.get(image);
  if (!said) return tree;
  const { attestedTree } = await import('../attestations/attested-tree.ts');
  const mtime = BigInt(request.sourceDateEpoch ?? 0) * 1_000_000_000n;
  return attestedTree(tree, said, { store, mtime, signal, ...(attestationPrefix && { prefix: attestationPrefix }) });
}

async function toFile(
  destination: string,
  ports: BuildPorts,
  write: (out: NodeJS.WritableStream) => Promise<void>,
): Promise<void> {
  if (destination === '-') return write(ports.stdout);
  await writeOutputFile(destination, write);
}

function requireDestination(one: ExportRequest): string {
  if (one.destination !== undefined) return one.destination;
  throw new TsbuildError({
    code: 'export-invalid',
    message: `type=${one.kind} needs a destination`,
    hint: `Write -o type=${one.kind},dest=PATH, or dest=- for standard output.`,
  });
}
