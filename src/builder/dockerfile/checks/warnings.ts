/**
 * Collects the warnings of the build checks.
 * Invariant: a rule that `# check=skip=` names, for the file or in a comment above the instruction, never gets through;
 * an experimental rule gets through only when named.
 */
import type { Range } from '../../../core/index.ts';
import { clip } from '../read/report.ts';
import { checkComment } from '../text/directives.ts';
import type { Diagnostic, Directives, Instruction } from '../types.ts';
import { experimentalRules, type RuleName } from './rules.ts';

export type CheckOptions = NonNullable<Directives['check']>;

export interface Warnings {
  readonly found: readonly Diagnostic[];
  /** @param at the instruction whose comments may skip the rule */
  add(rule: RuleName, range: Range, message: string, hint: string, at?: Pick<Instruction, 'comments'>): void;
}

export function newWarnings(options: CheckOptions | undefined): Warnings {
  const found: Diagnostic[] = [];
  return {
    found,
    add: (rule, range, message, hint, at) => {
      if (isSilent(rule, [options, ...(at?.comments ?? []).map(checkComment)])) return;
      found.push({ severity: 'warning', code: rule, message: clip(message), hint: clip(hint), range });
    },
  };
}

function isSilent(rule: RuleName, sources: readonly (CheckOptions | undefined)[]): boolean {
  if (experimentalRules.has(rule)) {
    return !sources.some((source) => source?.experimental.some((name) => name === rule || name === 'all'));
  }
  return sources.some((source) => source?.skipAll || source?.skip.includes(rule));
}
