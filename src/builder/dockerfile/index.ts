/** The Dockerfile room: text to typed instructions, word expansion, build checks, printing. Pure. */
export * from './duration.ts';
export * from './expand/expand.ts';
export * from './parse.ts';
export {
  type CacheSharing,
  type MountOutcome,
  type MountProblem,
  type MountType,
  parseSize,
  type ResolvedMount,
  resolveMount,
} from './read/mount.ts';
export * from './types.ts';
