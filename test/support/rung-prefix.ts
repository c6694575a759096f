/** How a command is started so that the rung it finds is the one a test is about. */
import { mustRun } from './command.ts';
import { asContainerRoot, asUser } from './rung-prefixes.ts';

export type StartedRung = 'root' | 'single' | 'chroot';

/** No user has it, and so no subordinate IDs. */
export const ordinaryId = 54_323;

export const rungPrefix: Readonly<Record<StartedRung, readonly string[]>> = {
  root: [],
  chroot: asContainerRoot,
  single: asUser(ordinaryId),
};

/** Value for `--isolation`. */
export function isolationOf(rung: StartedRung): string {
  return rung === 'single' ? 'userns' : rung;
}

/** Gives a directory to the user of the rung. */
export async function giveToRung(rung: StartedRung, path: string): Promise<void> {
  if (rung === 'single') await mustRun('chown', ['-R', `${ordinaryId}:${ordinaryId}`, path]);
}
