/** The addon where it is first needed without an await: `addon.ts` loads it as soon as it is imported. */
import { createRequire } from 'node:module';
import { distPath } from '../../core/index.ts';

const require = createRequire(import.meta.url);
const path = distPath('native/layers.node');

/** @returns what `addon.ts` describes, or the part of it that is asked for */
export function loadAddon<T>(): T {
  return require(path) as T;
}
