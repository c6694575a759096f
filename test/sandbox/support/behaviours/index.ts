/** All behaviours, in the order of the table in docs/isolation.md. */
import type { Behaviour } from './behaviour.ts';
import { directories } from './directories.ts';
import { execution } from './execution.ts';
import { mounts } from './mounts.ts';
import { privileges } from './privileges.ts';
import { system } from './system.ts';
import { users } from './users.ts';

export const behaviours: readonly Behaviour[] = [
  ...users,
  ...execution,
  ...directories,
  ...system,
  ...privileges,
  ...mounts,
];
