/** The failures of image archives. */
import { TsbuildError } from '../../core/index.ts';

/** @param place how the user named the archive  @param what what is wrong with it, as the end of a sentence */
export function archiveInvalid(place: string, what: string, cause?: unknown): TsbuildError {
  return new TsbuildError({
    code: 'image-archive-invalid',
    message: `${place} is not an image archive tsbuild can read: ${what}`,
    hint: 'Make it again with docker save, skopeo copy or tsbuild save.',
    ...(cause !== undefined && { cause }),
  });
}
