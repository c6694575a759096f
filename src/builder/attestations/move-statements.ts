/**
 * An image gets another digest when its layers are compressed for where it goes. What is said of it goes along: the
 * subjects, and the layers that statements name, become those of the new form.
 */
import {
  type Descriptor,
  type Digest,
  digestHex,
  type ImageManifest,
  largestStatement,
  mediaTypes,
  type Platform,
  parseManifest,
  readBlob,
  readManifest,
} from '../../image/index.ts';
import type { Store } from '../../layers/index.ts';
import { digestSet, imageSubjects, isSubject, putAttestationManifest, type Subject } from './statements.ts';

export interface MoveOptions {
  /** The image as the statements have it, and as it is now. */
  readonly from: Descriptor;
  readonly to: Descriptor;
  readonly platform?: Platform;
  /** What it is called where it goes. Default: as the statements have it. */
  readonly names?: readonly string[];
  /** False: in the form in which they look like images. Default: as they are. */
  readonly ociArtifact?: boolean;
  readonly signal: AbortSignal;
}

/** @param entry of an attestation manifest in an index  @returns the entry in the new one; itself when nothing has to change */
export async function moveStatements(store: Store, entry: Descriptor, options: MoveOptions): Promise<Descriptor> {
  const { from, to, names, signal } = options;
  const document = await manifestOf(store, entry, signal);
  const isArtifact = document?.artifactType !== undefined && options.ociArtifact !== false;
  const isSame =
    from.digest === to.digest && names === undefined && isArtifact === (document?.artifactType !== undefined);
  if (!document || isSame) return entry;
  const layers = await movedLayers(store, from, to, signal);
  const statements: Descriptor[] = [];
  for (const layer of document.layers) {
    if (layer.mediaType !== mediaTypes.inToto) statements.push(layer);
    else statements.push(await moveStatement(store, layer, layers, options));
  }
  return putAttestationManifest(store, to, statements, { isArtifact });
}

async function manifestOf(store: Store, entry: Descriptor, signal: AbortSignal): Promise<ImageManifest | undefined> {
  const document = parseManifest(await readManifest(store, entry, signal), entry.mediaType);
  return document.kind === 'manifest' ? document : undefined;
}

/** The new form of each layer by the old one's digest. */
async function movedLayers(
  store: Store,
  from: Descriptor,
  to: Descriptor,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, Descriptor>> {
  const [before, after] = [await manifestOf(store, from, signal), await manifestOf(store, to, signal)];
  return new Map(
    (before?.layers ?? []).flatMap((layer, index) => {
      const moved = after?.layers[index];
      return moved ? [[layer.digest, moved] as const] : [];
    }),
  );
}

async function moveStatement(
  store: Store,
  layer: Descriptor,
  layers: ReadonlyMap<string, Descriptor>,
  options: MoveOptions,
): Promise<Descriptor> {
  const text = (await readBlob(store, layer, options.signal, largestStatement)).toString('utf8');
  const statement = parseStatement(text, layers);
  if (!statement) return layer;
  const moved = { ...statement, subject: movedSubjects(statement.subject, options) };
  return { ...layer, ...(await store.putBytes(layer.mediaType, Buffer.from(JSON.stringify(moved)))) };
}

/** Undefined for what is none, whoever put it there: it names nothing that could have moved. */
function parseStatement(
  text: string,
  layers: ReadonlyMap<string, Descriptor>,
): { readonly subject: readonly Subject[] } | undefined {
  let value: { readonly subject?: unknown } | null;
  try {
    value = JSON.parse(text, (_, member) => movedValue(member, layers));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return undefined;
  }
  const subject = value?.subject;
  return Array.isArray(subject) && subject.every(isSubject) ? { ...value, subject } : undefined;
}

const layerComment = 'layerID: ';

/** Descriptors of layers, and the comments in which a bill of materials names the layer of a file. */
function movedValue(value: unknown, layers: ReadonlyMap<string, Descriptor>): unknown {
  if (typeof value === 'string' && value.startsWith(layerComment)) {
    const moved = layers.get(value.slice(layerComment.length));
    return moved ? `${layerComment}${moved.digest}` : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  const { mediaType, digest, size } = value as Partial<Descriptor>;
  const moved = mediaType !== undefined && size !== undefined ? layers.get(String(digest)) : undefined;
  return moved ? { mediaType: moved.mediaType, digest: moved.digest, size: moved.size } : value;
}

function movedSubjects(subjects: readonly Subject[], { from, to, names, platform }: MoveOptions): Subject[] {
  const isImage = ({ digest }: Subject): boolean => digest.sha256 === digestHex(from.digest as Digest);
  const moved = subjects.map((subject) => (isImage(subject) ? { ...subject, digest: digestSet(to.digest) } : subject));
  if (names === undefined || !subjects.some(isImage)) return moved;
  return [...imageSubjects(names, to.digest, platform), ...subjects.filter((subject) => !isImage(subject))];
}
