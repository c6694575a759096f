/** The table of docs/isolation.md: where a rung differs from `root`, taken from the table of behaviours. */
import { behaviours } from './behaviours/index.ts';

export function differenceTable(): string {
  const cell = (reason: string | undefined) => (reason === undefined ? 'as root' : `differs: ${reason}`);
  const rows = behaviours
    .filter((behaviour) => behaviour.not !== undefined)
    .map(({ title, not = {} }) => {
      const text = title.replaceAll('|', '\\|');
      return `| ${text} | ${cell(not.userns)} | ${cell(not.single)} | ${cell(not.chroot)} |`;
    });
  return ['| a step … | `userns` | `userns`, one ID | `chroot` |', '|---|---|---|---|', ...rows].join('\n');
}

/** How many are tried on each rung. */
export const behaviourCount = behaviours.length;
