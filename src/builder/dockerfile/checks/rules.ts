/** The 22 build checks. Each has a page in docs/checks/ (a test holds this). */

export const ruleNames = [
  'StageNameCasing',
  'FromAsCasing',
  'NoEmptyContinuation',
  'ConsistentInstructionCasing',
  'DuplicateStageName',
  'ReservedStageName',
  'JSONArgsRecommended',
  'MaintainerDeprecated',
  'UndefinedArgInFrom',
  'WorkdirRelativePath',
  'UndefinedVar',
  'MultipleInstructionsDisallowed',
  'LegacyKeyValueFormat',
  'InvalidBaseImagePlatform',
  'RedundantTargetPlatform',
  'SecretsUsedInArgOrEnv',
  'InvalidDefaultArgInFrom',
  'FromPlatformFlagConstDisallowed',
  'CopyIgnoredFile',
  'InvalidDefinitionDescription',
  'ExposeProtoCasing',
  'ExposeInvalidFormat',
] as const;

export type RuleName = (typeof ruleNames)[number];

/** Rules that are silent unless `# check=experimental=` names them. */
export const experimentalRules: ReadonlySet<RuleName> = new Set<RuleName>(['InvalidDefinitionDescription']);

/** Path of a rule's page from the root of the project. */
export function rulePage(rule: RuleName): string {
  return `docs/checks/${rule}.md`;
}
