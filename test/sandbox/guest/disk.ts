/**
 * The guest's disk: the programs of this machine that tsbuild and the tests call, with their libraries, tsbuild as it was
 * built, and two users. The programs are the ones this machine's own tests use, so nothing else has to be fetched.
 */
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { busyboxImage, busyboxPath } from '../../support/base-images.ts';
import { mustRun, run } from '../../support/command.ts';
import { writeOciLayout } from '../../support/image-files.ts';
import { commandPath } from '../../support/tsbuild.ts';

/** Users of the guest: one with subordinate IDs, one without. */
export const guestUsers = { ranged: 1000, single: 1001 } as const;

const programs = ['newuidmap', 'newgidmap', 'pasta', 'slirp4netns', 'setpriv', 'unshare', 'ip', 'usermod'];
const bytes = 1 << 30;

/** @param folder empty  @returns the image of an ext4 file system */
export async function makeDisk(folder: string, modules: readonly string[]): Promise<string> {
  const root = join(folder, 'root');
  makeDirectories(root);
  await copyPrograms(root);
  for (const module of modules) copyFileSync(module, join(root, 'modules', basename(module)));
  cpSync(dirname(commandPath), join(root, 'dist'), { recursive: true });
  copyFileSync(new URL('init.sh', import.meta.url), join(root, 'init'));
  chmodSync(join(root, 'init'), 0o755);
  await bundle(root);
  writeOciLayout(join(root, 'bases'), [busyboxImage()]);
  writeAccounts(root);
  await mustRun('chmod', ['-R', 'go+rX', join(root, 'dist'), join(root, 'bases')]);
  const image = join(folder, 'disk');
  await mustRun('mkfs.ext4', ['-q', '-d', root, image, `${bytes >> 10}k`]);
  return image;
}

function makeDirectories(root: string): void {
  for (const name of 'dev proc sys run tmp etc home modules usr/bin usr/lib usr/lib64'.split(' ')) {
    mkdirSync(join(root, name), { recursive: true });
  }
  chmodSync(join(root, 'tmp'), 0o1777);
  for (const name of ['bin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, join(root, name));
  for (const name of ['sbin', 'usr/sbin']) symlinkSync('/usr/bin', join(root, name));
}

async function copyPrograms(root: string): Promise<void> {
  const paths = programs.flatMap((name) =>
    [`/usr/bin/${name}`, `/usr/sbin/${name}`].filter((path) => existsSync(path)).slice(0, 1),
  );
  const libraries = new Set<string>();
  for (const path of [...paths, process.execPath]) {
    const { text } = await run('ldd', [path]);
    for (const [library] of text.matchAll(/\/lib\S+/g)) libraries.add(library);
  }
  for (const library of libraries) {
    mkdirSync(join(root, dirname(library)), { recursive: true });
    copyFileSync(realpathSync(library), join(root, library));
  }
  for (const path of paths) await mustRun('cp', ['--preserve=mode', path, join(root, 'usr/bin')]);
  copyFileSync(process.execPath, join(root, 'usr/bin/node'));
  copyFileSync(busyboxPath, join(root, 'usr/bin/busybox'));
  for (const name of (await mustRun(busyboxPath, ['--list'])).text.trim().split('\n')) {
    const path = join(root, 'usr/bin', name);
    if (!existsSync(path)) symlinkSync('busybox', path);
  }
}

async function bundle(root: string): Promise<void> {
  await build({
    entryPoints: ['agent.ts', 'servers.ts'].map((name) => fileURLToPath(new URL(name, import.meta.url))),
    outdir: root,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.18',
    logLevel: 'error',
  });
}

function writeAccounts(root: string): void {
  const users = Object.entries({ root: 0, ...guestUsers });
  const lines = (line: (name: string, id: number) => string) =>
    users.map(([name, id]) => `${line(name, id)}\n`).join('');
  writeFileSync(
    join(root, 'etc/passwd'),
    lines((name, id) => `${name}:x:${id}:${id}::/home/${name}:/bin/sh`),
  );
  writeFileSync(
    join(root, 'etc/group'),
    lines((name, id) => `${name}:x:${id}:`),
  );
  for (const name of ['subuid', 'subgid']) writeFileSync(join(root, 'etc', name), 'ranged:100000:65536\n');
  for (const [name, id] of users) {
    mkdirSync(join(root, 'home', name));
    chownSync(join(root, 'home', name), id, id);
  }
}
