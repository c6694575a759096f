/** Processes after a build: none is left, not even one that waits to be reaped, whatever the init of the machine does. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cannotTest } from '../sandbox/support/step-runner.ts';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { run } from '../support/command.ts';
import { commandPath, tsbuildEnvironment } from '../support/tsbuild.ts';

/**
 * A PID namespace whose first process takes over what others leave, and reaps nothing but the build itself. What it does
 * afterwards it does without starting a program: waiting for one would reap.
 */
const listAfter =
  '"$@" >&2; echo code $?; for p in /proc/[0-9]*; do if read -r line < $p/stat; then echo "${line%% [0-9]*}"; fi; done 2>/dev/null';

const reason = await cannotTest('root');

describe.skipIf(reason !== undefined)(`a build${reason ? ` (skipped: ${reason})` : ''}`, () => {
  let work: BuildWorkspace;
  beforeAll(() => {
    work = buildWorkspace('processes');
  });
  afterAll(async () => await work[Symbol.asyncDispose]());

  const dockerfile = 'FROM base\nRUN true\nRUN (sleep 1000 &) ; true\nRUN --network=none true\nRUN exit 0\n';

  test.each([
    ['that succeeds', dockerfile, 0],
    ['that fails', `${dockerfile}RUN exit 3\n`, 1],
  ])('%s leaves no process', async (name, text, code) => {
    const context = work.context(name.replaceAll(' ', '-'), { Dockerfile: text });
    const build = [process.execPath, commandPath, 'build', '--progress', 'plain', '--no-cache', ...work.bases, context];
    const finished = await run(
      'unshare',
      ['--pid', '--fork', '--mount-proc', '--kill-child', 'busybox', 'sh', '-c', listAfter, 'sh', ...build],
      { env: tsbuildEnvironment(work.home) },
    );
    expect(finished.text.split('\n'), finished.stderr).toEqual([`code ${code}`, '1 (busybox) R', '']);
  });
});
