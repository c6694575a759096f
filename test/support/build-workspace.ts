/**
 * A private place to build in: a store, the base images as an OCI layout, and contexts made from texts.
 * Invariant: everything it made is below one folder, which goes with it.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { allBaseImages } from './base-images.ts';
import type { Finished } from './command.ts';
import { type ReadImage, readOciLayout, writeOciLayout } from './image-files.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { mustTsbuild, type TsbuildOptions, tsbuild } from './tsbuild.ts';

export interface BuildWorkspace extends AsyncDisposable {
  readonly path: string;
  /** The store every build here uses unless it names another. */
  readonly home: string;
  /** `--build-context` for the base images: `base`, `layered`, `onbuild`. */
  readonly bases: readonly string[];
  /** Writes a context. Names that end in `*` become executable, without the star. @returns its path */
  context(name: string, files: Readonly<Record<string, string>>): string;
  /** Builds and returns what happened, whatever it was. */
  tryBuild(context: string, args?: readonly string[], options?: Partial<TsbuildOptions>): Promise<Finished>;
  /** Builds; rejects when that fails. */
  build(context: string, args?: readonly string[], options?: Partial<TsbuildOptions>): Promise<Finished>;
  /** Any other command; rejects when that fails. */
  tsbuild(args: readonly string[], options?: Partial<TsbuildOptions>): Promise<Finished>;
  /** An image of a store. @param name full reference, `docker.io/library/app:1` */
  image(name: string, home?: string): ReadImage;
}

export function buildWorkspace(name: string): BuildWorkspace {
  const folder = temporaryFolder(name, 0o755);
  const home = folder.join('home');
  writeOciLayout(folder.join('bases'), allBaseImages());
  const bases = allBaseImages().flatMap((image) => [
    '--build-context',
    `${image.name}=oci-layout://${folder.join('bases')}:${image.name}`,
  ]);
  const buildArguments = (context: string, args: readonly string[]) => [
    ...['build', '--progress', 'plain'],
    ...bases,
    ...args,
    context,
  ];
  return {
    path: folder.path,
    home,
    bases,
    context(contextName, files) {
      const root = folder.join(contextName);
      mkdirSync(root, { recursive: true });
      for (const [file, content] of Object.entries(files)) {
        const path = join(root, file.replace(/\*$/, ''));
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, content);
        chmodSync(path, file.endsWith('*') ? 0o755 : 0o644);
      }
      return root;
    },
    tryBuild: (context, args = [], options = {}) => tsbuild(buildArguments(context, args), { home, ...options }),
    build: (context, args = [], options = {}) => mustTsbuild(buildArguments(context, args), { home, ...options }),
    tsbuild: (args, options = {}) => mustTsbuild(args, { home, ...options }),
    image: (image, store = home) => readOciLayout(store, image),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}
