/**
 * Bills of materials as attestations. That of the result says of each file, in its comment, which layer brought it, and
 * names tsbuild among its creators, as BuildKit does.
 */
import { bytePathFromText } from '../../core/index.ts';
import type { LayerRef, Tree } from '../../layers/index.ts';
import { isObject, isOfResult, type Scan, spdxPredicate } from './read-scans.ts';
import type { Attestation } from './statements.ts';

/** @param chain of the result  @param layerTree what a layer alone makes */
export async function describeScans(
  scans: readonly Scan[],
  chain: readonly LayerRef[],
  layerTree: (layer: LayerRef) => Promise<Tree>,
  version: string,
): Promise<Attestation[]> {
  const described: Attestation[] = [];
  for (const scan of scans) {
    described.push({
      predicateType: spdxPredicate,
      predicate: isOfResult(scan) ? await withLayers(scan.document, chain, layerTree, version) : scan.document,
      subjects: scan.subjects,
      fileName: scan.fileName,
      inlineOnly: false,
    });
  }
  return described;
}

type Document = Scan['document'];

async function withLayers(
  document: Document,
  chain: readonly LayerRef[],
  layerTree: (layer: LayerRef) => Promise<Tree>,
  version: string,
): Promise<Document> {
  const { creationInfo } = document;
  const info = isObject(creationInfo) ? creationInfo : {};
  const creators = [...(Array.isArray(info.creators) ? info.creators : []), `Tool: tsbuild-${version}`];
  const files = Array.isArray(document.files) ? await withComments(document.files, chain, layerTree) : undefined;
  return { ...document, creationInfo: { ...info, creators }, ...(files && { files }) };
}

/** A comment that is there already may be the scanner's own. */
async function withComments(
  files: readonly unknown[],
  chain: readonly LayerRef[],
  layerTree: (layer: LayerRef) => Promise<Tree>,
): Promise<unknown[]> {
  const commented = [...files];
  const waiting = new Map<number, string>();
  for (const [index, file] of files.entries()) {
    if (!isObject(file) || typeof file.fileName !== 'string' || file.comment) continue;
    waiting.set(index, file.fileName.replace(/^(\.?\/)+/, ''));
  }
  for (const layer of chain.toReversed()) {
    if (waiting.size === 0) break;
    const tree = await layerTree(layer);
    for (const [index, path] of waiting) {
      if (!tree.lookup(bytePathFromText(path))) continue;
      commented[index] = { ...(files[index] as object), comment: `layerID: ${layer.blob.digest}` };
      waiting.delete(index);
    }
  }
  return commented;
}
