/**
 * Where the built parts lie (`dist/`), seen from the bundles and from the sources the tests import.
 */
import { fileURLToPath } from 'node:url';

/** Absolute path of a file under `dist/`, e.g. `native/tsbuild-sandbox`. */
export function distPath(name: string): string {
  const here = import.meta.url;
  return fileURLToPath(new URL(here.endsWith('/core/dist.ts') ? `../../dist/${name}` : `./${name}`, here));
}
