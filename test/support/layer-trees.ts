/**
 * Trees on disk for tests of layers: making them with every property a layer must keep, and describing them so that two
 * can be compared. Descriptions come from Node's lstat and from getfattr, not from the code under test.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A private folder; `rm` removes it, whatever lies in it. */
export function temporaryFolder(name: string): { readonly path: string; readonly remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), `tsbuild-${name}-`));
  return { path, remove: () => rmSync(path, { recursive: true, force: true, maxRetries: 3 }) };
}

export interface TreeLine {
  readonly kind: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: bigint;
  readonly link: string;
  readonly device: string;
  readonly content: string;
  /** First path, in byte order, that is the same file. */
  readonly same: string;
  readonly xattrs: string;
}

const kinds = new Map<number, string>([
  [0o100000, 'file'],
  [0o040000, 'directory'],
  [0o120000, 'symlink'],
  [0o010000, 'fifo'],
  [0o020000, 'char'],
  [0o060000, 'block'],
  [0o140000, 'socket'],
]);

/** Every path below a directory (latin1, '' is the directory itself) with all that a layer keeps of it. */
export function describeTree(root: string): Map<string, TreeLine> {
  const xattrs = xattrsBelow(root);
  const lines = new Map<string, TreeLine>();
  const firstNames = new Map<string, string>();
  const visit = (path: string): void => {
    const absolute = Buffer.concat([Buffer.from(root), Buffer.from(path === '' ? '' : `/${path}`, 'latin1')]);
    const stat = lstatSync(absolute, { bigint: true });
    const kind = kinds.get(Number(stat.mode) & 0o170000) ?? 'unknown';
    const inode = `${stat.dev}:${stat.ino}`;
    if (kind !== 'directory' && !firstNames.has(inode)) firstNames.set(inode, path);
    const isDevice = kind === 'char' || kind === 'block';
    lines.set(path, {
      kind,
      mode: kind === 'symlink' ? 0o777 : Number(stat.mode) & 0o7777,
      uid: Number(stat.uid),
      gid: Number(stat.gid),
      size: kind === 'file' ? Number(stat.size) : 0,
      mtime: stat.mtimeNs,
      link: kind === 'symlink' ? readlinkSync(absolute, 'latin1') : '',
      device: isDevice ? `${(stat.rdev >> 8n) & 0xfffn}:${(stat.rdev & 0xffn) | ((stat.rdev >> 12n) & 0xfff00n)}` : '',
      content: kind === 'file' ? createHash('sha256').update(readFileSync(absolute)).digest('hex') : '',
      same: kind === 'directory' ? path : (firstNames.get(inode) ?? path),
      xattrs: xattrs.get(path) ?? '',
    });
    if (kind !== 'directory') return;
    for (const name of readdirSync(absolute, { encoding: 'latin1' }).sort())
      visit(path === '' ? name : `${path}/${name}`);
  };
  visit('');
  return lines;
}

/** Differences as lines a person can read; empty when the trees are equal. */
export function treeDifferences(
  expected: ReadonlyMap<string, TreeLine>,
  found: ReadonlyMap<string, TreeLine>,
  ignore: readonly (keyof TreeLine)[] = [],
): string[] {
  const differences: string[] = [];
  for (const path of new Set([...expected.keys(), ...found.keys()])) {
    const [a, b] = [expected.get(path), found.get(path)];
    if (!a || !b) {
      differences.push(`${JSON.stringify(path)} is ${a ? 'missing' : 'too much'}`);
      continue;
    }
    for (const key of Object.keys(a) as (keyof TreeLine)[]) {
      if (!ignore.includes(key) && a[key] !== b[key]) {
        differences.push(`${JSON.stringify(path)}: ${key} is ${String(b[key])}, should be ${String(a[key])}`);
      }
    }
  }
  return differences.sort();
}

/** getfattr's dump by path: it escapes bytes of names as octal. */
function xattrsBelow(root: string): Map<string, string> {
  const dump = execFileSync('getfattr', ['-R', '-P', '-h', '-d', '-m', '-', '-e', 'hex', '.'], {
    cwd: root,
    encoding: 'latin1',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 64 * 1024 * 1024,
  });
  const found = new Map<string, string>();
  for (const block of dump.split('\n\n')) {
    const [first = '', ...attributes] = block.split('\n').filter((line) => line !== '');
    if (!first.startsWith('# file: ')) continue;
    const name = first
      .slice(8)
      .replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
    const path = name === '.' ? '' : name.replace(/^\.\//, '');
    // Overlayfs' own marks are not a tree's.
    found.set(
      path,
      attributes
        .filter((line) => !/^(trusted|user)\.overlay\./.test(line))
        .sort()
        .join(' '),
    );
  }
  return found;
}

/** Runs a script in bash; throws with its output when it fails. @param args become $1, $2, ... */
export function bash(script: string, cwd: string, ...args: string[]): string {
  return execFileSync('bash', ['-euo', 'pipefail', '-c', script, 'bash', ...args], {
    cwd,
    encoding: 'latin1',
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 200_000,
    maxBuffer: 64 * 1024 * 1024,
  });
}

/** The same in a mount namespace of its own: its mounts end with it. */
export function bashWithMounts(script: string, cwd: string, ...args: string[]): string {
  return execFileSync(
    'unshare',
    ['-m', '--propagation', 'private', 'bash', '-euo', 'pipefail', '-c', script, 'bash', ...args],
    {
      cwd,
      encoding: 'latin1',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 200_000,
    },
  );
}

/** Why overlays cannot be mounted here, or undefined. */
export function whyNoOverlay(): string | undefined {
  const folder = temporaryFolder('probe');
  try {
    bashWithMounts('mkdir a b c d m; mount -t overlay overlay -o lowerdir=a:b,upperdir=c,workdir=d m', folder.path);
    return undefined;
  } catch (error) {
    return `overlayfs cannot be mounted: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    folder.remove();
  }
}

/** A script that fills the current directory with one of everything a layer must keep. Needs root. */
export const everyKindOfEntry = String.raw`
umask 022
mkdir -p plain/deep 'with space' setgid sticky
printf 'hello\n' > plain/file; : > plain/empty
printf 'x%.0s' {1..513} > plain/block-and-one
head -c 300000 /dev/urandom > plain/large
chmod 4755 plain/file; chmod 2770 setgid; chmod 1777 sticky; chmod 0 plain/empty
ln -s ../plain/file plain/deep/relative; ln -s /absolute/none plain/dangling; ln -s "$(printf 'l%.0s' {1..150})" plain/long-link
ln plain/large plain/deep/hardlink; ln plain/dangling plain/hardlink-to-symlink
mkfifo plain/fifo; chmod 640 plain/fifo
mknod plain/char c 5 1; mknod plain/block b 259 70000; chmod 600 plain/char
chown 1000:2000 plain/file; chown -h 3000000:4000000 plain/dangling; chown 4294967294:2097152 plain/block-and-one
chown 1:2 setgid; chmod 2770 setgid
name100=$(printf 'n%.0s' {1..100}); name101=$(printf 'm%.0s' {1..101}); name255=$(printf 'o%.0s' {1..255})
echo 100 > "$name100"; echo 101 > "$name101"; echo 255 > "$name255"
mkdir -p "$name100/$name101/$name255" 2>/dev/null || mkdir -p "d$name100/$name101/$name255"
d=$(printf 'dir-%.0s' {1..20}); mkdir -p "$d/$d/$d"; echo prefix > "$d/$d/file"; echo prefix > "$d/$d/$d/$name100"
echo raw > "$(printf 'raw-\xff\xfe\x80')"; echo utf8 > 'übergröße-日本'
mkdir "$(printf 'rawdir-\xc3(')"; echo in > "$(printf 'rawdir-\xc3(/\xe9')"
echo raw > "$(printf '\xff%.0s' {1..120})"; ln -s "$(printf 'to-\xff%.0s' {1..50})" raw-link
echo new > $'new\nline'; echo q > "quote'\"\\"; echo dash > -dash; echo star > '*'
truncate -s 5M sparse; printf data | dd of=sparse bs=1 seek=3000000 conv=notrunc status=none; truncate -s 1M all-hole
printf 'ends with data' | dd of=sparse-end bs=1 seek=2000000 conv=notrunc status=none
setfattr -n user.text -v value plain/file; setfattr -n user.binary -v 0x00ff3d0a00 plain/large; setfattr -n user.empty plain/deep
setfattr -n trusted.thing -v 0x01020304 plain/deep; setfattr -h -n trusted.link -v on plain/dangling
cp /bin/true capable; setfattr -n security.capability -v 0x0100000200040000000000000000000000000000 capable
setfacl -m u:1234:rw plain/block-and-one
touch -d '1969-12-31T23:59:58.250Z' plain/empty; touch -d '1901-01-01T00:00:00Z' capable; touch -d '2100-01-01T00:00:00.000000001Z' plain/large
touch -d '2024-02-29T12:34:56.123456789Z' plain/file 'with space'; touch -h -d '2001-09-09T01:46:40.5Z' plain/deep/relative
touch -d '2000-01-01T00:00:00Z' plain plain/deep setgid sticky .
`;

/**
 * What a later layer does to that tree, for a shell as small as busybox: whiteouts, opaque directories, metadata alone,
 * links across layers, other kinds.
 */
export const everyKindOfChange = [
  'rm plain/deep/relative sparse-end; rm -r setgid',
  'rm -r "with space" && mkdir "with space" && echo n > "with space/new"',
  'chmod 700 sticky; chown 7:8 sticky; chmod 2755 plain/deep',
  'ln plain/file plain/linked; ln capable capable-too; ln plain/fifo other-fifo',
  'rm raw-link && mkdir raw-link && echo in > raw-link/in; rm ./-dash && ln -s nowhere ./-dash',
  'mkdir -p d1/d2 && echo x > d1/d2/x && mv d1 d3; touch -d "2001-02-03 04:05:06" d3/d2/x',
  'i=0; while [ $i -lt 300 ]; do echo $i > "d3/$i"; i=$((i+1)); done',
].join('\n');
