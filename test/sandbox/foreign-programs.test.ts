/**
 * Programs of other architectures: told apart by what the kernel has registered, and by trying. Each test has a registry of its
 * own (binfmt_misc belongs to the user namespace it is mounted in), so that nothing of the machine is changed.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { distPath } from '../../src/core/index.ts';
import { programSupport, smallProgramFor } from '../../src/sandbox/foreign-programs.ts';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { type Finished, mustRun, run } from '../support/command.ts';
import { startRegistry } from '../support/registry.ts';
import { commandPath, tsbuildEnvironment } from '../support/tsbuild.ts';

const registrations = '/proc/sys/fs/binfmt_misc';
const wholeMap = ['3', '0', '0', '4294967295'];

/** Runs a script as root of a user namespace with an empty registry. */
function withRegistry(script: string, args: readonly string[] = [], home = '/nowhere'): Promise<Finished> {
  const start = ['userns', '-', '-', ...wholeMap, ...wholeMap, '--', '/bin/sh', '-ec'];
  return run(
    distPath('native/tsbuild-sandbox'),
    [...start, `mount -t binfmt_misc none ${registrations}\n${script}`, 'sh', ...args],
    {
      env: { ...tsbuildEnvironment(home), TSBUILD_USER_NAMESPACE: 'identity' },
    },
  );
}

const missing = process.geteuid?.() !== 0 ? 'the tests start as root' : await noRegistry();

async function noRegistry(): Promise<string | undefined> {
  const { code, stderr } = await withRegistry(`test -f ${registrations}/register`);
  return code === 0 ? undefined : `binfmt_misc cannot be mounted in a user namespace: ${stderr}`;
}

test.each(['amd64', '386'])('the small program for %s runs where it is the processor’s own', async (architecture) => {
  if (process.arch !== 'x64') return;
  const file = `${(await mustRun('mktemp', [])).text.trim()}`;
  try {
    writeFileSync(file, smallProgramFor(architecture) ?? '');
    chmodSync(file, 0o755);
    expect(spawnSync(file).status).toBe(0);
  } finally {
    await run('rm', [file]);
  }
});

test('what the processor runs needs no emulator', () => {
  expect(programSupport('arm64', 'arm64')).toEqual({ kind: 'runs' });
  expect(programSupport('386', 'amd64')).toEqual({ kind: 'runs' });
  expect(programSupport('vax', 'amd64')).toEqual({ kind: 'missing' });
});

/** An "emulator" says that it was called, and with what, then ends with 0. */
const emulator = `
#include <stdio.h>
int main(int argc, char **argv) { printf("emulated %s\\n", argv[argc - 1]); return 0; }
`;

/** The registration qemu-user's packages make for aarch64. */
const magic =
  '\\\\x7fELF\\\\x02\\\\x01\\\\x01\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x00\\\\x02\\\\x00\\\\xb7\\\\x00';
const mask =
  '\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\x00\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xff\\\\xfe\\\\xff\\\\xff\\\\xff';

describe.skipIf(missing !== undefined)(`RUN for linux/arm64${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let work: BuildWorkspace;
  let context: string;
  beforeAll(async () => {
    work = buildWorkspace('foreign');
    context = work.context('context', {
      Dockerfile: 'FROM scratch\nCOPY --chmod=755 program /\nRUN ["/program", "word"]\nCMD ["/program"]\n',
      copied: 'FROM scratch\nCOPY --chmod=755 program /\nENV A=1\n',
    });
    writeFileSync(`${context}/program`, smallProgramFor('arm64') ?? '');
    writeFileSync(`${work.path}/emulator.c`, emulator);
    await mustRun('cc', ['-static', '-o', `${work.path}/program`, `${work.path}/emulator.c`]);
    symlinkSync('program', `${work.path}/emulator`);
  });
  afterAll(async () => await work[Symbol.asyncDispose]());

  const tsbuild = (before: string, args: readonly string[]) =>
    withRegistry(`${before}\nexec "$@"`, [process.execPath, commandPath, ...args], work.home);
  const build = (before: string, args: readonly string[]) =>
    tsbuild(before, ['build', '--progress=plain', '--no-cache', ...args, context]);
  const register = (interpreter: string, flags: string) =>
    `printf '%s' ":arm64:M::${magic}:${mask}:${interpreter}:${flags}" | sed 's/\\\\\\\\/\\\\/g' > ${registrations}/register`;
  const arm64 = '--platform=linux/arm64';

  test.each([
    ['that the kernel holds open', 'F'],
    ['that has to lie in the root', ''],
  ])('works with an emulator %s', async (_, flags) => {
    const built = await build(register(`${work.path}/emulator`, flags), [arm64, '-t', 'foreign:1']);
    expect(built.code, built.stderr).toBe(0);
    expect(built.stderr).toContain('emulated word');
    const image = work.image('docker.io/library/foreign:1');
    expect(image.config).toMatchObject({ architecture: 'arm64' });
    const ran = await tsbuild(register(`${work.path}/emulator`, flags), ['run', arm64, 'foreign:1']);
    expect(ran.text).toContain('emulated /program');
  });

  test('leaves nothing of an emulator in the layer', async () => {
    await build(register(`${work.path}/emulator`, ''), [arm64, '-o', `${work.path}/out`]);
    expect((await run('find', [`${work.path}/out`, '-type', 'f', '-printf', '%P\\n'])).text).toBe('program\n');
  });

  test.each([
    ['none is registered', ':'],
    [
      'the one there is for another machine',
      `printf ':x:M::nomatch::${distPath('native/tsbuild-sandbox')}:F' > ${registrations}/register`,
    ],
  ])('is refused before anything runs when %s', async (_, before) => {
    const { code, stderr } = await build(before, [arm64]);
    expect(code).toBe(1);
    expect(stderr).toContain('[build-platform-unsupported]');
    expect(stderr).toContain('Dockerfile:3');
    expect(stderr).toContain('tonistiigi/binfmt --install arm64');
    expect(stderr).not.toContain('[2/3]');
  });

  test('is no matter where nothing is run', async () => {
    const { code, stderr } = await build(':', [arm64, '-f', `${context}/copied`]);
    expect(code, stderr).toBe(0);
  });

  test('and for linux/amd64 at once gives an index, of COPY alone and with RUN', async () => {
    copyFileSync(distPath('native/tsbuild-sandbox'), `${context}/native`);
    writeFileSync(
      `${context}/both`,
      'FROM scratch\nARG TARGETARCH\nCOPY program /arm64\nCOPY native /amd64\nRUN ["/amd64", "probe"]\nCOPY Dockerfile /$TARGETARCH-only\n',
    );
    await using registry = await startRegistry();
    for (const name of ['copied', 'both']) {
      const both = '--platform=linux/amd64,linux/arm64';
      const archive = `${work.path}/${name}.tar`;
      const tag = `${registry.host}/${name}:1`;
      const built = await build(register(`${work.path}/emulator`, 'F'), [
        ...[both, '-f', `${context}/${name}`, '-t', tag, '-o', `type=oci,dest=${archive}`, '--push'],
      ]);
      expect(built.code, built.stderr).toBe(0);
      const inArchive = (await mustRun('skopeo', ['inspect', '--raw', `oci-archive:${archive}`])).text;
      const pushed = await mustRun('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${tag}`]);
      const kept = await mustRun('skopeo', ['inspect', '--raw', `oci:${work.home}:${tag}`]);
      for (const index of [inArchive, pushed.text, kept.text]) expect(platformsOf(index)).toEqual(['amd64', 'arm64']);
    }
  });
});

function platformsOf(index: string): string[] {
  const { manifests } = JSON.parse(index) as { readonly manifests: { readonly platform: { architecture: string } }[] };
  return manifests.map(({ platform }) => platform.architecture).sort();
}

test('the registry of this machine is as it was', () => {
  expect(existsSync(`${registrations}/arm64`)).toBe(false);
});
