/** What a build leaves for scripts: the image ID, and docker buildx's metadata. */
import { writeFile } from 'node:fs/promises';
import type { BuildResult } from '../builder/index.ts';
import { TsbuildError } from '../core/index.ts';
import { type Descriptor, type Digest, formatPlatform } from '../image/index.ts';

/** Digest of the configuration; of several platforms, the digest of the index. */
export function imageIdOf(result: BuildResult): Digest {
  const [only, ...more] = result.images;
  return only && more.length === 0 ? only.imageId : result.target.digest;
}

/** The image ID of each platform, by `os/arch`. */
export function platformsOf(result: BuildResult): ReadonlyMap<string, Digest> {
  return new Map(result.images.map((image) => [formatPlatform(image.platform), image.imageId]));
}

/** Keys and meanings of `docker buildx build --metadata-file`. The digest is that of what was pushed, if anything was. */
export function buildMetadata(outcome: {
  readonly result: BuildResult;
  readonly pushed: ReadonlyMap<string, Descriptor>;
}): Record<string, unknown> {
  const { result, pushed } = outcome;
  const [published = result.target] = pushed.values();
  const { mediaType, digest, size } = published;
  const names = [...new Set([...result.tags, ...pushed.keys()])];
  const [only, ...more] = result.images;
  const platform = only && more.length === 0 ? only.platform : undefined;
  return {
    ...(only && more.length === 0 && { 'containerimage.config.digest': only.imageId }),
    'containerimage.descriptor': { mediaType, digest, size, ...(platform && { platform }) },
    'containerimage.digest': digest,
    ...(names.length > 0 && { 'image.name': names.join(',') }),
  };
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
