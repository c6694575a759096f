/** What a build leaves for scripts: the image ID, and docker buildx's metadata. */
import { writeFile } from 'node:fs/promises';
import type { BuildResult, BuiltImage } from '../builder/index.ts';
import { TsbuildError } from '../core/index.ts';
import { type Descriptor, type Digest, formatPlatform, isIndexType } from '../image/index.ts';

/** Digest of the configuration; of an index, its own. */
export function imageIdOf(result: BuildResult): Digest {
  return onlyImage(result)?.imageId ?? result.target.digest;
}

/** Undefined where the result is an index: of several platforms, or of an image and its attestations. */
function onlyImage({ images, target }: BuildResult): BuiltImage | undefined {
  const [only, ...more] = images;
  return more.length > 0 || isIndexType(target.mediaType) ? undefined : only;
}

/** The image ID of each platform, by `os/arch`. */
export function platformsOf(result: BuildResult): ReadonlyMap<string, Digest> {
  return new Map(result.images.map((image) => [formatPlatform(image.platform), image.imageId]));
}

/** Keys and meanings of `docker buildx build --metadata-file`. The digest is that of what was pushed, if anything was. */
export function buildMetadata(
  outcome: { readonly result: BuildResult; readonly pushed: ReadonlyMap<string, Descriptor> },
  env: Readonly<Record<string, string | undefined>> = {},
): Record<string, unknown> {
  const { result, pushed } = outcome;
  const [published = result.target] = pushed.values();
  const { mediaType, digest, size } = published;
  const names = [...new Set([...result.tags, ...pushed.keys()])];
  const only = onlyImage(result);
  return {
    ...provenanceMetadata(result, env.BUILDX_METADATA_PROVENANCE ?? 'min'),
    ...(only && { 'containerimage.config.digest': only.imageId }),
    'containerimage.descriptor': { mediaType, digest, size, ...(only && { platform: only.platform }) },
    'containerimage.digest': digest,
    ...(names.length > 0 && { 'image.name': names.join(',') }),
  };
}

/** As buildx writes it: in the older form, and without the details unless they are asked for. */
function provenanceMetadata({ images, provenance }: BuildResult, mode: string): Record<string, unknown> {
  if (!provenance || ['disabled', 'false', '0'].includes(mode)) return {};
  return Object.fromEntries(
    images.flatMap((image) => {
      const predicate = provenance.get(image);
      if (predicate === undefined) return [];
      const key = images.length === 1 ? '' : `/${formatPlatform(image.platform)}`;
      return [[`buildx.build.provenance${key}`, mode === 'max' ? predicate : withoutDetails(predicate)]];
    }),
  );
}

function withoutDetails(predicate: object): object {
  return Object.fromEntries(
    Object.entries(predicate).filter(([name]) => name !== 'buildConfig' && name !== 'metadata'),
  );
}

/** @throws TsbuildError `export-failed` */
export async function writeResultFile(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text);
  } catch (cause) {
    throw new TsbuildError({
      code: 'export-failed',
      message: `cannot write ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: 'Choose a file you may write to. The image itself was built.',
      cause,
    });
  }
}
