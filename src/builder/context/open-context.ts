/** Opens what the user named as the build context, whatever kind it is. */
import { resolve } from 'node:path';
import type { ContextSource } from '../types.ts';
import { type BuildContext, openFolderContext } from './build-context.ts';

export interface OpenContextOptions {
  /** A private folder tsbuild owns, for what is unpacked or cloned; a folder is made inside it and removed again. */
  readonly temporary: string;
  readonly signal: AbortSignal;
}

/** @throws TsbuildError `context-invalid` */
export async function openContext(source: ContextSource, options: OpenContextOptions): Promise<BuildContext> {
  if (source.kind === 'directory') {
    const folder = resolve(source.path);
    return openFolderContext({ folder, description: `the folder ${source.path}`, key: folder });
  }
  throw options.signal.reason;
}
