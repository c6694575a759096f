/** Where a step runs and what it leaves: working directory, changes, mount points. */
import { type Behaviour, noMounts, noProc } from './behaviour.ts';

export const directories: readonly Behaviour[] = [
  {
    title: 'starts in its working directory',
    request: { script: 'pwd', step: { cwd: '/data' } },
    expect: { stdout: '/data' },
  },
  {
    title: 'has its working directory made when it is missing',
    request: { script: 'pwd; stat -c "%a %u" .', step: { cwd: '/new/deep' } },
    expect: { stdout: '/new/deep\n755 0' },
  },
  {
    title: 'follows links of the image to its working directory',
    request: { script: 'pwd', step: { cwd: '/opt/up-to-data' } },
    expect: { stdout: '/data' },
  },
  {
    title: 'is refused when its working directory is a file',
    request: { step: { cwd: '/data/kept' } },
    expect: { error: 'sandbox-cwd-invalid' },
  },
  ...[0, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20].map(
    (fd): Behaviour => ({
      title: `is refused when its working directory is /proc/self/fd/${fd}`,
      request: { step: { cwd: `/proc/self/fd/${fd}` } },
      expect: { error: 'sandbox-cwd-invalid' },
      not: noProc,
    }),
  ),
  {
    title: 'is refused when a link in the image leads its working directory to a descriptor',
    request: { step: { cwd: '/opt/fd/5' }, files: [['opt/fd', '->/dev/fd']] },
    expect: { error: 'sandbox-cwd-invalid' },
    not: { chroot: 'there is no /dev/fd' },
  },
  {
    title: 'leaves what it changed, whiteouts included, and nothing else',
    request: { script: 'rm /data/gone; echo x > /data/new' },
    expect: { left: ['data/', 'data/gone (whiteout)', 'data/new'] },
  },
  { title: 'that changes nothing leaves nothing', request: { script: 'true' }, expect: { left: [] } },
  {
    title: 'leaves no whiteout or directory where it needed a mount point',
    request: {
      mounts: [
        { kind: 'tmpfs', target: '/made/for/this' },
        { kind: 'secret', target: '/run/secrets/a', content: 's', mode: 0o400, uid: 0, gid: 0 },
      ],
    },
    expect: { left: [] },
    not: noMounts,
  },
  {
    title: 'leaves nothing where it needed a directory for a secret',
    request: {
      script: 'cat /made/for/secrets/a',
      mounts: [{ kind: 'secret', target: '/made/for/secrets/a', content: 's', mode: 0o400, uid: 0, gid: 0 }],
    },
    expect: { stdout: 's', left: [] },
  },
  {
    title: 'keeps what it wrote beside a mount point that was made for it',
    request: { script: 'echo x > /made/own', mounts: [{ kind: 'tmpfs', target: '/made/mount' }] },
    expect: { left: ['made/', 'made/own'] },
    not: noMounts,
  },
  {
    title: 'that moves the parent of a mount point away loses nothing it wrote',
    request: {
      script: 'mv /made /moved && mkdir -p /made/mount && echo x > /made/mount/file; ls /moved',
      mounts: [{ kind: 'tmpfs', target: '/made/mount' }],
    },
    expect: { stdout: 'mount', left: ['made/', 'made/mount/', 'made/mount/file', 'moved/'] },
    not: noMounts,
  },
  {
    title: 'finds the times of directories as they were around mount points',
    request: {
      script: 'stat -c %Y /data; touch -d @1000 /data; stat -c %Y /data',
      mounts: [{ kind: 'tmpfs', target: '/data/m' }],
    },
    expect: { stdout: /\n1000$/ },
    not: noMounts,
  },
  {
    title: 'may replace everything the image has in a directory',
    request: { script: 'rm -rf /data; mkdir /data; echo x > /data/kept; cat /data/*' },
    expect: { stdout: 'x' },
  },
  {
    title: 'may rename a directory of the image',
    request: { script: 'mv /data /renamed && cat /renamed/kept && ls -d /data 2>/dev/null' },
    expect: { code: 1, stdout: 'kept' },
  },
  {
    title: 'has a working directory below one that a link of the image names made inside the root',
    request: { script: 'pwd', step: { cwd: '/opt/up-to-data/deeper' } },
    expect: { stdout: '/data/deeper', left: ['data/', 'data/deeper/'] },
  },
  {
    title: 'sees 120 layers at once',
    request: { script: 'ls / | grep -c layer-', lowerCount: 120 },
    expect: { stdout: '119' },
    not: noMounts,
  },
];
