import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { distPath } from '../../../src/core/index.ts';
import { digestOf } from '../../../src/image/index.ts';
import { type ArchiveEntry, archiveOf } from '../../support/layer-jobs.ts';
import { temporaryFolder } from '../../support/layer-trees.ts';

const child = fileURLToPath(new URL('../../support/apply-as-user.mjs', import.meta.url));
const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];

let folder: ReturnType<typeof temporaryFolder>;

beforeEach(() => {
  folder = temporaryFolder('unprivileged');
  chmodSync(folder.path, 0o777);
});

afterEach(() => folder.remove());

const lower: readonly ArchiveEntry[] = [
  { path: 'gone', content: 'x' },
  { path: 'dir', kind: 'directory', mode: 0o755 },
  { path: 'dir/below', content: 'x' },
  { path: 'var', kind: 'directory', mode: 0o755 },
  { path: 'var/run', kind: 'symlink', linkTarget: '/run' },
  { path: 'run', kind: 'directory', mode: 0o755 },
];
const upper: readonly ArchiveEntry[] = [
  { path: '.wh.gone' },
  { path: 'dir', kind: 'directory', mode: 0o750, uid: 1000 },
  { path: 'dir/.wh..wh..opq' },
  { path: 'dir/new', content: 'new', mode: 0o4755, uid: 1000, gid: 1000 },
  { path: 'dev/console', kind: 'char', mode: 0o600, device: { major: 5, minor: 1 } },
  { path: 'pipe', kind: 'fifo', mode: 0o640 },
  { path: 'sealed', kind: 'directory', mode: 0o500 },
  { path: 'sealed/inner', content: 'inner' },
  {
    path: 'capable',
    content: 'x',
    xattrs: new Map([['security.capability', Buffer.from('0100000200040000000000000000000000000000', 'hex')]]),
  },
  { path: 'attributed', content: 'x', xattrs: new Map([['user.kept', Buffer.from('yes')]]) },
  { path: 'var/run/pid', content: '1' },
];

interface Reply {
  readonly kind: string;
  readonly output?: { readonly notes: readonly string[] };
  readonly error?: unknown;
}

function applyBoth(prefix: readonly string[]): Reply[] {
  const jobs = [lower, upper].map((entries, i) => {
    const archive = archiveOf(entries);
    const blob = join(folder.path, `blob${i}`);
    writeFileSync(blob, archive);
    chmodSync(blob, 0o644);
    const target = join(folder.path, `layer${i}`);
    const lowers = i === 0 ? [] : [join(folder.path, 'layer0')];
    return [
      'applyLayer',
      { blob, compression: 'uncompressed', diffId: digestOf(archive), target, lowers, xattrPrefix: 'user.' },
    ];
  });
  const list = join(folder.path, 'jobs.json');
  writeFileSync(list, JSON.stringify(jobs), { mode: 0o644 });
  const command = [...prefix, process.execPath, child, distPath('layers-worker.js'), list];
  const output = execFileSync(command[0] ?? '', command.slice(1), { encoding: 'utf8', timeout: 30_000 });
  return JSON.parse(output) as Reply[];
}

/** What a user mounts and sees, in a user namespace of its own. */
function shown(): string {
  mkdirSync(join(folder.path, 'mount'));
  const script = `mount -t overlay overlay -o userxattr,lowerdir=layer1:layer0 mount
    cd mount; find . -mindepth 1 -printf '%p %y %m\\n' | sort; cat dir/new run/pid sealed/inner; getfattr -n user.kept --only-values attributed`;
  return execFileSync(nobody[0] ?? '', [...nobody.slice(1), 'unshare', '-Urm', 'bash', '-euc', script], {
    cwd: folder.path,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

const expected = `./attributed f 644
./capable f 644
./dev d 755
./dir d 750
./dir/new f 4755
./pipe p 640
./run d 755
./run/pid f 644
./sealed d 500
./sealed/inner f 644
./var d 755
./var/run l 777
new1inneryes`;

describe('unpacking without privileges', () => {
  test('as an ordinary user keeps all but owners, devices and capabilities, and says so', () => {
    const [first, second] = applyBoth(nobody);
    expect(first).toMatchObject({ kind: 'done' });
    expect(second).toMatchObject({ kind: 'done' });
    const notes = second?.output?.notes.join('\n') ?? '';
    expect(notes).toMatch(/device node was left out, .*dev\/console/);
    expect(notes).toMatch(/keep this user as owner/);
    expect(notes).toMatch(/security\.capability of capable/);
    expect(shown()).toBe(expected);
  });

  test('in a user namespace with one ID keeps all but devices, other owners as attributes', () => {
    const [first, second] = applyBoth([...nobody, 'unshare', '-Ur']);
    expect(first).toMatchObject({ kind: 'done', output: { notes: [] } });
    expect(second).toMatchObject({ kind: 'done' });
    const notes = second?.output?.notes ?? [];
    expect(notes).toHaveLength(1);
    expect(notes[0]).toMatch(/^1 device node was left out/);
    expect(shown()).toBe(expected);
  });
});
