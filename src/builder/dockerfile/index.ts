/** The Dockerfile room: text to typed instructions, word expansion, build checks, printing. Pure. */
export { checkDockerfile } from './checks/check-dockerfile.ts';
export { checkBaseImagePlatform, checkCopyIgnored } from './checks/check-facts.ts';
export type { BaseFacts, StageCheckOptions } from './checks/check-stages.ts';
export { experimentalRules, type RuleName, ruleNames, rulePage } from './checks/rules.ts';
export * from './duration.ts';
export * from './expand/expand.ts';
export * from './format.ts';
export * from './parse.ts';
export { isHeredocWord } from './read/heredoc.ts';
export {
  type CacheSharing,
  type MountOutcome,
  type MountProblem,
  type MountType,
  parseSize,
  type ResolvedMount,
  resolveMount,
} from './read/mount.ts';
export { instructionNames } from './read/structure.ts';
export { goBool } from './text/directives.ts';
export * from './types.ts';
