/**
 * Base images made on this machine: no registry is needed to test a build.
 * Invariant: the same busybox gives the same bytes, whoever makes the image and whenever.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from './command.ts';
import type { ImageSpec } from './image-files.ts';
import type { TarEntry, TarKind } from './plain-tar.ts';

const mtime = 1_577_934_245;
export const busyboxPath = '/usr/bin/busybox';

interface Owner {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly xattrs?: Readonly<Record<string, string>>;
}

export function directory(path: string, owner: Owner = {}): TarEntry {
  return entry(path, 'directory', 0o755, owner);
}

export function file(path: string, content: string | Buffer, owner: Owner = {}): TarEntry {
  return { ...entry(path, 'file', 0o644, owner), content: Buffer.from(content) };
}

export function symlink(path: string, linkTarget: string): TarEntry {
  return { ...entry(path, 'symlink', 0o777, {}), linkTarget };
}

export function hardlink(path: string, linkTarget: string): TarEntry {
  return { ...entry(path, 'hardlink', 0o644, {}), linkTarget };
}

function entry(path: string, kind: TarKind, mode: number, owner: Owner): TarEntry {
  return {
    path,
    kind,
    mode: owner.mode ?? mode,
    uid: owner.uid ?? 0,
    gid: owner.gid ?? 0,
    mtime,
    ...(owner.xattrs && { xattrs: owner.xattrs }),
  };
}

/** `base`: busybox with the files a small distribution has; root, nobody and `app` (1000:1000, also in group `extra`). */
export function busyboxImage(): ImageSpec {
  const applets = execFileSync(busyboxPath, ['--list']).toString().split('\n').filter(Boolean).sort();
  const layer = [
    directory('bin'),
    file('bin/busybox', readFileSync(busyboxPath), { mode: 0o755 }),
    ...applets.filter((name) => name !== 'busybox').map((name) => symlink(`bin/${name}`, 'busybox')),
    directory('dev'),
    directory('etc'),
    file('etc/group', 'root:x:0:\nnogroup:x:65534:\napp:x:1000:\nextra:x:2000:app\n'),
    file('etc/hostname', ''),
    file('etc/hosts', ''),
    file(
      'etc/passwd',
      'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\napp:x:1000:1000::/home/app:/bin/sh\n',
    ),
    file('etc/resolv.conf', ''),
    directory('home'),
    directory('home/app', { uid: 1000, gid: 1000 }),
    directory('proc'),
    directory('root', { mode: 0o700 }),
    directory('run'),
    directory('sys'),
    directory('tmp', { mode: 0o1777 }),
    directory('usr'),
    symlink('usr/bin', '../bin'),
    directory('var'),
    symlink('var/run', '/run'),
  ];
  return { name: 'base', layers: [layer], config: { Env: ['PATH=/bin'], Cmd: ['sh'] } };
}

/**
 * `layered`: on top of `base`, layers that add, replace, delete (whiteout) and hide (opaque directory), so that
 * whoever reads only the last layer, or ignores a marker, is found out.
 */
export function layeredImage(): ImageSpec {
  const base = busyboxImage();
  return {
    name: 'layered',
    layers: [
      ...base.layers,
      [
        directory('data'),
        directory('data/keep'),
        file('data/keep/one', 'one\n'),
        directory('data/opaque'),
        file('data/opaque/hidden', 'hidden\n'),
        directory('data/opaque/sub'),
        file('data/opaque/sub/hidden', 'hidden\n'),
        file('data/deleted', 'deleted\n'),
        file('data/replaced', 'old\n'),
        directory('data/was-directory'),
        file('data/was-directory/child', 'child\n'),
        file('data/was-file', 'file\n'),
        file('data/linked-a', 'linked\n'),
        hardlink('data/linked-b', 'data/linked-a'),
        file('data/owned', 'owned\n', { uid: 1000, gid: 2000, mode: 0o640 }),
        file('data/setuid', 'setuid\n', { mode: 0o4755 }),
      ],
      [
        directory('data'),
        file('data/.wh.deleted', ''),
        directory('data/opaque'),
        file('data/opaque/.wh..wh..opq', ''),
        file('data/opaque/new', 'new\n'),
        file('data/replaced', 'new\n', { mode: 0o600 }),
        file('data/was-directory', 'now a file\n'),
        directory('data/was-file'),
        file('data/was-file/child', 'child\n'),
      ],
      [directory('data'), file('data/deleted-later', 'x\n'), symlink('data/link', 'keep')],
      [directory('data'), file('data/.wh.deleted-later', '')],
    ],
    config: { ...base.config, WorkingDir: '/data', User: 'app', Labels: { from: 'layered' } },
  };
}

/** `onbuild`: a base whose every config member matters to what is built on it. */
export function onbuildImage(): ImageSpec {
  const base = busyboxImage();
  return {
    name: 'onbuild',
    layers: base.layers,
    config: {
      Env: ['PATH=/bin', 'FROM_BASE=yes', 'QUOTED=a "b" c'],
      Entrypoint: ['/bin/echo', 'entry'],
      Cmd: ['base-command'],
      WorkingDir: '/srv',
      Labels: { base: 'label', both: 'base' },
      ExposedPorts: { '80/tcp': {} },
      Volumes: { '/cache': {} },
      StopSignal: 'SIGINT',
      Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 5_000_000_000, Retries: 3 },
      Shell: ['/bin/sh', '-ec'],
      OnBuild: ['COPY trigger.txt /onbuild/', 'RUN echo "triggered in $PWD" > /onbuild/ran', 'ENV TRIGGERED=1'],
    },
  };
}

export function allBaseImages(): readonly ImageSpec[] {
  return [busyboxImage(), layeredImage(), onbuildImage()];
}

/**
 * A Debian root file system (minbase) of the machine's own release, as a tar; from the sources apt uses here. Takes
 * some ten seconds and needs root.
 * @param target the tar to write
 */
export async function makeDebianRoot(target: string): Promise<void> {
  await mustRun('mmdebstrap', ['--variant=minbase', '--quiet', ...aptSources(target)], {
    env: { SOURCE_DATE_EPOCH: String(mtime) },
    timeout: 400_000,
  });
}

/** Suite, target and the source lists apt uses on this machine. */
function aptSources(target: string): string[] {
  const suite = /^VERSION_CODENAME=(.*)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'stable';
  const parts = '/etc/apt/sources.list.d';
  const lists = existsSync(parts) ? readdirSync(parts).map((name) => join(parts, name)) : [];
  const files = ['/etc/apt/sources.list', ...lists].filter(
    (name) => /\.(list|sources)$/.test(name) && existsSync(name),
  );
  return [suite, target, ...files.filter((name) => readFileSync(name, 'utf8').trim() !== '')];
}
