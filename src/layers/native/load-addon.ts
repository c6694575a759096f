/** The addon where it is first needed without an await: `addon.ts` loads it as soon as it is imported. */
import { createRequire } from 'node:module';
import { distPath } from '../../core/index.ts';
import type { NativeLayers } from './addon.ts';

const require = createRequire(import.meta.url);
const path = distPath('native/layers.node');

export function loadAddon(): NativeLayers {
  return require(path) as NativeLayers;
}
