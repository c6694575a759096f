/**
 * Debian trixie beside this machine's own release: a newer judge (Docker 26 with its BuildKit) in a root file system of
 * its own, entered through a mount namespace in which the temporary folder lies where it always does.
 * Invariant: every mount lives in that namespace; when the keeper is gone, so are they, whatever ended it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { mustRun } from './command.ts';
import { temporaryFolder } from './temporary-folder.ts';

export interface Trixie extends AsyncDisposable {
  /** What stands in front of a command that is to run there. */
  readonly enter: readonly string[];
}

const suite = 'trixie';
const packages = ['docker.io', 'docker-cli', 'docker-buildx', 'runc', 'xz-utils', 'ca-certificates', 'git'];
const sourceFolder = '/etc/apt/sources.list.d';

/** Why this judge cannot be asked; undefined when it can. */
export function trixieMissing(): string | undefined {
  if (process.getuid?.() !== 0) return 'a root file system is made as root';
  if (!existsSync('/usr/bin/mmdebstrap')) return 'mmdebstrap is not installed';
  return debianMirror() === undefined ? 'apt has no Debian mirror here' : undefined;
}

/** TSBUILD_TRIXIE_ROOT names a folder to keep the root in, for the next time; without it the root is made and removed. */
export async function startTrixie(): Promise<Trixie> {
  const folder = temporaryFolder(suite, 0o711);
  const kept = process.env.TSBUILD_TRIXIE_ROOT;
  const root = kept ?? folder.join('root');
  try {
    if (!existsSync(root)) await makeRoot(root);
    const keeper = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', 'unshare', '--mount', 'sh', '-e', '-c', enclosure, 'sh', root, tmpdir()],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    const exited = once(keeper, 'exit');
    const ready = await Promise.race([
      once(createInterface(keeper.stdout), 'line').then(() => true),
      exited.then(() => false),
    ]);
    if (!ready) throw new Error(`the root of ${suite} could not be entered`);
    return {
      enter: ['nsenter', `--mount=/proc/${keeper.pid}/ns/mnt`, `--root=/proc/${keeper.pid}/root`, '--wd=/'],
      async [Symbol.asyncDispose]() {
        keeper.kill('SIGKILL');
        await exited;
        await folder[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
}

/** $1: the root, $2: the temporary folder. The root is bound onto itself because pivot_root refuses a plain folder. */
const enclosure = `
mount --make-rprivate /
mount --bind "$1" "$1"
for part in /proc /sys /dev; do mount --rbind "$part" "$1$part"; done
mkdir -p "$1$2"
mount --bind "$2" "$1$2"
mount -t tmpfs tmpfs "$1/run"
exec chroot "$1" sh -c 'echo ready; exec cat'`;

async function makeRoot(root: string): Promise<void> {
  const draft = `${root}.draft-${process.pid}`;
  await mustRun(
    'mmdebstrap',
    [
      ...['--quiet', '--variant=minbase', `--include=${packages.join(',')}`],
      ...[suite, draft, `deb ${debianMirror()} ${suite} main`],
    ],
    { timeout: 400_000 },
  );
  renameSync(draft, root);
}

/** The address apt gets this machine's own release from. */
function debianMirror(): string | undefined {
  const parts = existsSync(sourceFolder) ? readdirSync(sourceFolder).map((name) => join(sourceFolder, name)) : [];
  const texts = ['/etc/apt/sources.list', ...parts]
    .filter((name) => existsSync(name))
    .map((name) => readFileSync(name, 'utf8'));
  const release = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'stable';
  for (const stanza of texts.flatMap((text) => text.split(/\n\s*\n/))) {
    const uri = /^URIs:\s*(\S+)/m.exec(stanza)?.[1];
    if (uri && new RegExp(`^Suites:.*\\b${release}(\\s|$)`, 'm').test(stanza)) return uri;
    const line = new RegExp(`^deb\\s+(?:\\[[^\\]]*\\]\\s+)?(\\S+)\\s+${release}\\s`, 'm').exec(stanza);
    if (line) return line[1];
  }
  return undefined;
}
