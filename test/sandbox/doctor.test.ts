/** What a probe says on each rung: the best one that works is found, and what is missing has a command that gives it. */

import { chmodSync, cpSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mustRun, run } from '../support/command.ts';
import { ordinaryUser } from '../support/ordinary-user.ts';
import { asContainerRoot, asUser } from '../support/rung-prefixes.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { commandPath } from '../support/tsbuild.ts';
import { cannotTest } from './support/step-runner.ts';

interface Report {
  readonly rung: string;
  readonly available: boolean;
  readonly findings: readonly { readonly what: string; readonly remedy?: string }[];
}

const reason = (await cannotTest('root')) ?? (await cannotTest('chroot'));

describe.skipIf(reason !== undefined)(`tsbuild doctor${reason ? ` (skipped: ${reason})` : ''}`, () => {
  let folder: TemporaryFolder;
  beforeAll(async () => {
    folder = temporaryFolder('doctor', 0o755);
    cpSync(dirname(commandPath), folder.join('dist'), { recursive: true });
    await mustRun('chmod', ['-R', 'go+rX', folder.join('dist')]);
    chmodSync(folder.path, 0o777);
  });
  afterAll(async () => {
    await folder[Symbol.asyncDispose]();
  });

  async function reports(prefix: readonly string[]): Promise<readonly Report[]> {
    const [program = '', ...args] = [
      ...prefix,
      process.execPath,
      folder.join('dist/tsbuild.js'),
      'doctor',
      '--format',
      'json',
    ];
    const finished = await run(program, args, { cwd: '/', env: { HOME: folder.path, TSBUILD_HOME: undefined } });
    expect(finished.code, finished.stderr).toBe(0);
    return (JSON.parse(finished.text) as { rungs: Report[] }).rungs;
  }

  test.each([
    ['root', [], 'root'],
    ['root of a container that may make user namespaces', asContainerRoot, 'userns'],
    [
      'root without any capability to change roots',
      ['setpriv', '--bounding-set=-all,+chown', '--inh-caps=-all'],
      'none',
    ],
    ['an ordinary user', asUser(54_325), 'userns'],
  ])('%s', async (_, prefix, best) => {
    const found = await reports(prefix);
    expect(found.map(({ rung }) => rung)).toEqual(['root', 'userns', 'chroot', 'none']);
    expect(found.find(({ available }) => available)?.rung, JSON.stringify(found)).toBe(best);
    for (const { rung, available, findings } of found) {
      if (!available)
        expect(
          findings.some(({ remedy }) => remedy !== undefined && !remedy.includes('doctor')),
          rung,
        ).toBe(true);
    }
  });

  test('a user without subordinate IDs is told a command that gives some nobody else has', async () => {
    await using user = await ordinaryUser();
    const rangeIn = (text: string) => new RegExp(`^${user.name}:(\\d+):65536$`, 'm').exec(text)?.[1];
    const [uids, gids] = ['/etc/subuid', '/etc/subgid'].map((file) => {
      const start = Number(rangeIn(readFileSync(file, 'utf8')));
      return `${start}-${start + 65_535}`;
    });
    await mustRun('usermod', ['--del-subuids', uids ?? '', '--del-subgids', gids ?? '', user.name]);
    const finding = (found: readonly Report[]) =>
      found.find(({ rung }) => rung === 'userns')?.findings.find(({ what }) => what.startsWith(user.name));
    const taken = readFileSync('/etc/subuid', 'utf8');
    const before = finding(await reports(asUser(user.uid)));
    const command = before?.remedy?.replace(/^run as root: /, '') ?? '';
    await mustRun('sh', ['-c', command]);
    expect(finding(await reports(asUser(user.uid)))).toBeUndefined();
    const start = rangeIn(readFileSync('/etc/subuid', 'utf8'));
    for (const line of taken.trim().split('\n')) {
      const [, first = '0', count = '0'] = line.split(':');
      expect(Number(first) + Number(count)).toBeLessThanOrEqual(Number(start));
    }
  });
});
