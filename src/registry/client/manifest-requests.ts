/**
 * Manifests over the wire (distribution spec, "Pulling manifests", "Pushing Manifests"): the exact bytes, checked against
 * the digest they were asked for by and against `Docker-Content-Digest`; at most 4 MiB; schema 1 refused.
 */
import { TsbuildError } from '../../core/index.ts';
import {
  acceptedManifestTypes,
  createDigestHasher,
  type Descriptor,
  type Digest,
  digestAlgorithm,
  isDigest,
  maxManifestBytes,
  mediaTypes,
  parseManifest,
} from '../../image/index.ts';
import { describeRequest, protocolError, RegistryError } from '../errors.ts';
import type { HttpRequest, HttpResponse } from '../http/message.ts';
import { readBody } from '../http/read-body.ts';
import type { Exchange } from './upload-session.ts';

export interface FetchedManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

/** Every kind tsbuild reads, and schema 1 last, so that an old registry gives us something to name in the error. */
export const acceptHeader = [...acceptedManifestTypes, `${mediaTypes.dockerSchema1Signed};q=0.1`].join(', ');

/** What a HEAD tells, or undefined when it leaves something out and a GET must settle it. */
export function descriptorOfHead({ request, response }: Exchange, wanted: Digest | undefined): Descriptor | undefined {
  const mediaType = contentType(response);
  refuseSchema1(request, mediaType);
  const digest = response.headers.get('docker-content-digest');
  const size = Number(response.headers.get('content-length'));
  if (wanted !== undefined && digest !== undefined && digest !== wanted) throw wrongDigest(request, digest);
  if (!mediaType || !acceptedManifestTypes.includes(mediaType)) return undefined;
  if (!isDigest(digest) || !Number.isSafeInteger(size) || size <= 0) return undefined;
  return { mediaType, digest, size };
}

/** @param wanted the digest it was asked for by; undefined for a tag */
export async function readManifestResponse(
  { request, response }: Exchange,
  wanted: Digest | undefined,
): Promise<FetchedManifest> {
  const claimed = response.headers.get('content-length');
  if (claimed !== undefined && Number(claimed) > maxManifestBytes) {
    response.body.discard();
    throw protocolError(request.method, request.url, `a manifest of ${claimed} bytes; ${maxManifestBytes} are allowed`);
  }
  const bytes = await readBody(request, response, maxManifestBytes);
  const announced = response.headers.get('docker-content-digest');
  const algorithm = wanted ?? (isDigest(announced) ? announced : undefined);
  const digest = hashOf(bytes, algorithm);
  if (wanted !== undefined && digest !== wanted) throw wrongDigest(request, digest);
  if (isDigest(announced) && announced !== digest) throw wrongDigest(request, digest, announced);
  const declared = contentType(response);
  refuseSchema1(request, declared);
  const { mediaType } = await explained(request, () => parseManifest(bytes, declared));
  return { descriptor: { mediaType, digest, size: bytes.byteLength }, bytes };
}

/** What the registry says it stored must be what was sent. */
export function checkStoredDigest({ request, response }: Exchange, digest: Digest): void {
  const stored = response.headers.get('docker-content-digest');
  if (stored !== undefined && stored !== digest) throw wrongDigest(request, stored, digest);
}

function hashOf(bytes: Uint8Array, like: Digest | undefined): Digest {
  const hasher = createDigestHasher(like === undefined ? 'sha256' : digestAlgorithm(like));
  hasher.update(bytes);
  return hasher.digest();
}

function contentType(response: HttpResponse): string | undefined {
  return response.headers.get('content-type')?.split(';')[0]?.trim().toLowerCase();
}

function refuseSchema1(request: HttpRequest, mediaType: string | undefined): void {
  if (mediaType !== mediaTypes.dockerSchema1 && mediaType !== mediaTypes.dockerSchema1Signed) return;
  throw new TsbuildError({
    code: 'manifest-unsupported',
    message: `${describeRequest(request.method, request.url)}: this is a Docker schema 1 manifest, a format no tool has written since 2017`,
    hint: 'Pull the image with an old Docker and push it again, or use a newer tag.',
  });
}

function wrongDigest(request: HttpRequest, digest: string, announced?: string): RegistryError {
  const against = announced === undefined ? '' : `, not ${announced.slice(0, 160)}`;
  return new RegistryError({
    code: 'registry-digest-mismatch',
    message: `${describeRequest(request.method, request.url)}: the manifest has the digest ${digest.slice(0, 160)}${against}`,
    hint: 'Run the command again; if it fails again, something between changes the bytes.',
  });
}

/** Puts the request in front of what is wrong with the document. */
async function explained<T>(request: HttpRequest, parse: () => T): Promise<T> {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof TsbuildError)) throw error;
    throw new TsbuildError({
      code: error.code,
      message: `${describeRequest(request.method, request.url)}: ${error.message}`,
      hint: error.hint ?? 'Check that the address is a registry and that the name is that of an image.',
      cause: error,
    });
  }
}
