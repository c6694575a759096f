/** Whose a store may be, wherever it is said to lie, and what others may see of what the command line leaves. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, symlinkSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Finished, run } from '../support/command.ts';
import { requirement } from '../support/requirement.ts';
import { asUser } from '../support/rung-prefixes.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { commandPath } from '../support/tsbuild.ts';

const notRoot = process.getuid?.() === 0 ? undefined : 'giving folders to others needs root';
requirement('folders of other users', notRoot);

const user = 54_321;
const somebody = 54_322;
let folder: TemporaryFolder;

beforeAll(() => {
  folder = temporaryFolder('ownership');
  chmodSync(folder.path, 0o755);
  mkdirSync(folder.join('context'));
  execFileSync('sh', ['-c', 'printf "FROM scratch\\nCOPY Dockerfile /\\n" > "$0/Dockerfile"', folder.join('context')]);
});
afterAll(() => folder?.[Symbol.asyncDispose]());

/** A place as each user is told of it: the variables that name it, and the store's folder. */
const places: Readonly<Record<string, (home: string) => readonly [env: readonly string[], root: string]>> = {
  $TSBUILD_HOME: (home) => [[`TSBUILD_HOME=${home}/named`, `HOME=${home}`], `${home}/named`],
  '$TSBUILD_HOME, a link': (home) => [[`TSBUILD_HOME=${home}/link`, `HOME=${home}`], `${home}/behind`],
  $XDG_DATA_HOME: (home) => [[`XDG_DATA_HOME=${home}/data`, `HOME=${home}`], `${home}/data/tsbuild`],
  'the home folder': (home) => [[`HOME=${home}`], `${home}/.local/share/tsbuild`],
};

async function homeFor(name: string): Promise<string> {
  const home = folder.join(name);
  mkdirSync(home);
  chownSync(home, user, user);
  return home;
}

function asOrdinaryUser(env: readonly string[], args: readonly string[]): Promise<Finished> {
  const [program = '', ...prefix] = asUser(user);
  const clean = ['env', '-i', `PATH=${process.env.PATH}`, ...env];
  return run(program, [...prefix, ...clean, process.execPath, commandPath, ...args], { cwd: folder.path });
}

describe.skipIf(notRoot)('a store', () => {
  test.each(Object.entries(places))('that belongs to another user is refused in %s', async (name, place) => {
    const home = await homeFor(`foreign-${name.replace(/\W+/g, '-')}`);
    const [env, root] = place(home);
    symlinkSync('behind', `${home}/link`);
    mkdirSync(root, { recursive: true });
    chownSync(root, somebody, somebody);
    chmodSync(root, 0o777);
    for (const args of [['images'], ['build', '-q', 'context'], ['prune'], ['store', 'check']]) {
      const refused = await asOrdinaryUser(env, args);
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('[store-foreign-owner]') });
      // Where the command runs in a user namespace, nobody has a number.
      expect(refused.stderr).toMatch(/ belongs to (user 54322, tsbuild runs as user 54321|another user) /);
    }
    expect(execFileSync('ls', ['-A', root]).toString()).toBe('');
  });

  test.each(Object.entries(places))('made in %s is for its owner alone', async (name, place) => {
    const home = await homeFor(`own-${name.replace(/\W+/g, '-')}`);
    const [env, root] = place(home);
    if (name.includes('link')) {
      mkdirSync(root);
      chmodSync(root, 0o700);
      chownSync(root, user, user);
      symlinkSync('behind', `${home}/link`);
    }
    const built = await asOrdinaryUser(env, ['build', '-q', '-t', 'app:1', 'context']);
    expect(built).toMatchObject({ code: 0 });
    expect(execFileSync('find', [root, '-perm', '/077', '-print']).toString()).toBe('');
    expect(execFileSync('find', [root, '!', '-uid', String(user), '-print']).toString()).toBe('');
  });

  test('that belongs to another user is refused where root has its own, and by root', async () => {
    // A mount namespace of its own, where /var/lib is empty but for it.
    const script = `mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/tsbuild && chown ${somebody} /var/lib/tsbuild && shift &&
      exec env -i HOME=/root "$@"`;
    const refused = await run('unshare', [
      '--mount',
      'sh',
      '-c',
      script,
      'sh',
      '-',
      process.execPath,
      commandPath,
      'images',
    ]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('/var/lib/tsbuild belongs to user') });
  });
});
