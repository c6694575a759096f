/** Root of an ordinary container: without CAP_SYS_ADMIN, which is where a user namespace helps if one can be had. */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cannotTest } from '../sandbox/support/step-runner.ts';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { type Finished, run } from '../support/command.ts';
import { rungPrefix } from '../support/rung-prefix.ts';
import { commandPath, tsbuildEnvironment } from '../support/tsbuild.ts';

const reason = await cannotTest('chroot');

/** The second RUN replaces a directory: its marks depend on who mounts the overlay. */
const dockerfile = `
FROM base
RUN mkdir /d && touch /d/old /made && chown 5:6 /made
RUN rm -r /d && mkdir /d && touch /d/new
`;

/** What container engines do: parts of /proc are covered, so that the kernel mounts no new one in a namespace. */
const covered = 'mount -t tmpfs none /proc/acpi 2>/dev/null || mount -t tmpfs none /proc/fs';

let work: BuildWorkspace;
let context: string;
beforeAll(() => {
  work = buildWorkspace('in-container');
  context = work.context('context', { Dockerfile: dockerfile });
});
afterAll(async () => await work[Symbol.asyncDispose]());

function inContainer(args: readonly string[], before = 'true'): Promise<Finished> {
  const script = `${before} && exec "$@"`;
  const [program = '', ...rest] = ['unshare', '-m', 'sh', '-c', script, 'sh', ...rungPrefix.chroot, process.execPath];
  return run(program, [...rest, commandPath, ...args], { env: tsbuildEnvironment(work.home) });
}

describe.skipIf(reason !== undefined)(`root without CAP_SYS_ADMIN${reason ? ` (skipped: ${reason})` : ''}`, () => {
  test('builds in a user namespace with every owner', async () => {
    const built = await inContainer(['build', ...work.bases, '--progress=plain', '-t', 'in:1', context]);
    expect(built.code, built.stderr).toBe(0);
    expect(built.stderr).toContain('isolation: userns');
    const { rungs } = JSON.parse((await inContainer(['doctor', '--format=json'])).text) as {
      readonly rungs: readonly { readonly rung: string; readonly available: boolean }[];
    };
    expect(rungs.map(({ rung, available }) => `${rung} ${available}`).slice(0, 2)).toEqual([
      'root false',
      'userns true',
    ]);
    const ran = await inContainer(['run', 'in:1', 'stat', '-c', '%u:%g', '/made']);
    expect(ran.text).toBe('5:6\n');
    const asRoot = await work.tsbuild(['run', 'in:1', 'ls', '/d']);
    expect(asRoot.text).toBe('new\n');
  });

  test('falls back to chroot where a namespace is to be had but steps do not run in it', async () => {
    const built = await inContainer(['build', ...work.bases, '--progress=plain', '--no-cache', context], covered);
    expect(built.code, built.stderr).toBe(0);
    expect(built.stderr).toContain('isolation: chroot');
  });

  test.each([
    ['that steps run in a namespace', 'true', 'userns'],
    ['that they do not', covered, 'chroot'],
  ])('remembers %s, and does not try again', async (_, before, rung) => {
    const build = ['build', ...work.bases, '--progress=plain', '--no-cache', context];
    await inContainer(build, before);
    // On the same file system, so that what was found there still counts; to try anything in it fails.
    const file = `${work.path}/no-folder`;
    writeFileSync(file, '');
    const second = await inContainer(build, `${before} && export TMPDIR=${file}`);
    expect(second.code, second.stderr).toBe(0);
    expect(second.stderr).toContain(`isolation: ${rung}`);
  });
});
