/**
 * A user of this machine with subordinate IDs, as useradd gives them to ordinary users.
 * Invariant: when it is disposed of, the machine has no such user.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mustRun, run } from './command.ts';

export interface OrdinaryUser extends AsyncDisposable {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export async function ordinaryUser(): Promise<OrdinaryUser> {
  const name = `tsbtest-${randomBytes(6).toString('hex')}`;
  await mustRun('useradd', ['--no-create-home', '--shell', '/bin/sh', name]);
  const remove = async () => {
    await run('userdel', [name]);
  };
  try {
    if (!readFileSync('/etc/subuid', 'utf8').includes(`${name}:`)) {
      await mustRun('usermod', ['--add-subuids', '700000-765535', '--add-subgids', '700000-765535', name]);
    }
    const [uid, gid] = (await mustRun('getent', ['passwd', name])).text.split(':').slice(2, 4).map(Number);
    if (uid === undefined || gid === undefined) throw new Error(`${name} has no IDs`);
    return { name, uid, gid, [Symbol.asyncDispose]: remove };
  } catch (error) {
    await remove();
    throw error;
  }
}
