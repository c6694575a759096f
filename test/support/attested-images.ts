/**
 * Images with attestations, read from an OCI layout without src/.
 * Invariant: every blob has the digest and size that name it, and each attestation manifest stands behind all images.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from './command.ts';
import { type BlobDescriptor, type Manifest, sha256 } from './image-files.ts';

export interface Statement {
  readonly _type: string;
  readonly predicateType: string;
  readonly subject: readonly { readonly name: string; readonly digest: Readonly<Record<string, string>> }[];
  // biome-ignore lint/suspicious/noExplicitAny: whatever a test says it holds
  readonly predicate: any;
}

export interface AttestationManifest extends Manifest {
  readonly artifactType?: string;
  readonly subject?: BlobDescriptor;
}

export interface AttestedIndex {
  readonly digest: string;
  readonly images: readonly { readonly entry: BlobDescriptor; readonly manifest: Manifest }[];
  readonly attestations: readonly {
    readonly entry: BlobDescriptor;
    readonly manifest: AttestationManifest;
    readonly statements: readonly Statement[];
  }[];
}

/** An image of a registry as skopeo brings it, with all that stands in its index. @param layout is made */
export async function pullAttested(name: string, layout: string): Promise<AttestedIndex> {
  const flags = ['-q', '--all', '--src-tls-verify=false'];
  await mustRun('skopeo', ['copy', ...flags, `docker://${name}`, `oci:${layout}:1`]);
  return readAttested(layout, '1');
}

/** @param name as the layout has it; undefined: its only entry */
export function readAttested(layout: string, name?: string): AttestedIndex {
  const blob = ({ digest, size }: BlobDescriptor): Buffer => {
    const bytes = readFileSync(join(layout, 'blobs', digest.replace(':', '/')));
    if (sha256(bytes) !== digest || bytes.length !== size) throw new Error(`${digest} is damaged`);
    return bytes;
  };
  const json = (descriptor: BlobDescriptor) => JSON.parse(blob(descriptor).toString('utf8'));
  const entries: readonly BlobDescriptor[] = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')).manifests;
  const named = entries.find(({ annotations = {} }) => Object.values(annotations).includes(name ?? ''));
  const target = named ?? (name === undefined && entries.length === 1 ? entries[0] : undefined);
  if (!target) throw new Error(`${layout} has no image ${name}`);
  const children: readonly BlobDescriptor[] = json(target).manifests ?? [];
  const isAttestation = ({ annotations = {} }: BlobDescriptor) =>
    annotations['vnd.docker.reference.type'] !== undefined;
  if (children.findIndex(isAttestation) < children.findLastIndex((child) => !isAttestation(child))) {
    throw new Error('an attestation stands before an image');
  }
  return {
    digest: target.digest,
    images: children.filter((child) => !isAttestation(child)).map((entry) => ({ entry, manifest: json(entry) })),
    attestations: children.filter(isAttestation).map((entry) => {
      const manifest: AttestationManifest = json(entry);
      blob(manifest.config);
      return { entry, manifest, statements: manifest.layers.map(json) };
    }),
  };
}
