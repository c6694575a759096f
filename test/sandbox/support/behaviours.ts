/**
 * What a step may rely on, whatever the rung: one table, run on each. `not` names the rungs where a behaviour differs,
 * with the reason; docs/isolation.md lists them.
 */
import type { StepRequest } from './protocol.ts';
import type { TestedRung } from './step-runner.ts';

export interface Behaviour {
  /** Follows "a step". */
  readonly title: string;
  readonly request: StepRequest;
  readonly expect: {
    /** Default 0. */
    readonly code?: number;
    readonly killed?: string;
    /** Trimmed. */
    readonly stdout?: string | RegExp;
    readonly stderr?: RegExp;
    /** All of what the upper directory holds afterwards. */
    readonly left?: readonly string[];
    readonly error?: string;
    readonly message?: RegExp;
  };
  readonly not?: Partial<Record<TestedRung, string>>;
}

const noMounts = { chroot: 'nothing can be mounted' };
const noNamespaces = { chroot: 'there are no namespaces' };
const oneId = { single: 'one ID is mapped' };

const users: readonly Behaviour[] = [
  {
    title: 'runs as root with the groups /etc/group gives root when no user is set',
    request: { script: 'id -u; id -g; id -G' },
    expect: { stdout: '0\n0\n0 10' },
    not: oneId,
  },
  {
    title: 'runs as a named user with its group and supplementary groups',
    request: { script: 'id -u; id -g; id -G', step: { user: 'app' } },
    expect: { stdout: '1000\n1000\n1000 10 2000' },
    not: oneId,
  },
  {
    title: 'runs as the user a known number names, groups included',
    request: { script: 'id -u; id -G', step: { user: '1000' } },
    expect: { stdout: '1000\n1000 10 2000' },
    not: oneId,
  },
  {
    title: 'runs as an unknown number with group 0',
    request: { script: 'id -u; id -g; id -G', step: { user: '4242' } },
    expect: { stdout: '4242\n0\n0' },
    not: oneId,
  },
  {
    title: 'takes only the named group when one is given',
    request: { script: 'id -u; id -g; id -G', step: { user: 'app:staff' } },
    expect: { stdout: '1000\n50\n50' },
    not: oneId,
  },
  {
    title: 'takes numbers for user and group that no file knows',
    request: { script: 'id -u; id -g', step: { user: '7:8' } },
    expect: { stdout: '7\n8' },
    not: oneId,
  },
  {
    title: 'is refused for a user the image does not have',
    request: { step: { user: 'nobody-here' } },
    expect: { error: 'sandbox-user-invalid', message: /nobody-here/ },
  },
  {
    title: 'is refused for a group the image does not have',
    request: { step: { user: 'root:nogroup-here' } },
    expect: { error: 'sandbox-user-invalid', message: /nogroup-here/ },
  },
  {
    title: 'is refused when the image has a FIFO for /etc/passwd',
    request: { step: { user: 'app' }, files: [['etc/passwd', 'fifo']] },
    expect: { error: 'sandbox-setup-failed|sandbox-user-invalid' },
  },
  {
    title: 'is refused when /etc/passwd is larger than 10 MiB',
    request: { step: { user: 'app' }, lowers: { 'etc/passwd': 'x'.repeat(11 * 1024 * 1024) } },
    expect: { error: 'sandbox-user-invalid' },
  },
  {
    title: 'reads /etc/passwd through links inside the image, never outside it',
    request: {
      script: 'id -u',
      step: { user: 'inside' },
      files: [
        ['etc/passwd', '->/../../../../opt/users'],
        ['opt/users', 'inside:x:77:77::/:/bin/sh\n'],
      ],
    },
    expect: { stdout: '77' },
    not: oneId,
  },
  {
    title: 'gets HOME from passwd',
    request: { script: 'echo $HOME', step: { user: 'app' } },
    expect: { stdout: '/home/app' },
    not: oneId,
  },
  {
    title: 'gets / for HOME when passwd has none',
    request: { script: 'echo $HOME', step: { user: 'nohome' } },
    expect: { stdout: '/' },
    not: oneId,
  },
  {
    title: 'keeps the HOME the image sets',
    request: { script: 'echo $HOME', step: { env: ['HOME=/set', 'PATH=/bin'] } },
    expect: { stdout: '/set' },
  },
  {
    title: 'has umask 0022',
    request: { script: 'umask; touch /tmp/f; stat -c %a /tmp/f' },
    expect: { stdout: '0022\n644' },
  },
  {
    title: 'gains root through a setuid program, within the capability bound',
    request: {
      script: 'busybox-suid id -u; busybox-suid grep CapEff /proc/self/status',
      step: { user: '1000:1000' },
    },
    expect: { stdout: /^(0|1000)\nCapEff:\t(00000000a80425fb|0+)$/ },
    not: { ...oneId, chroot: 'there is no /proc' },
  },
  {
    title: 'of a user without privileges cannot write to a directory of root',
    request: { script: 'touch /etc/mine 2>/dev/null || echo refused', step: { user: 'app' } },
    expect: { stdout: 'refused', left: [] },
    not: oneId,
  },
];

const execution: readonly Behaviour[] = [
  { title: 'passes its exit code on', request: { script: 'exit 42' }, expect: { code: 42 } },
  {
    title: 'killed by a signal is reported as such',
    request: { script: 'kill -TERM $$' },
    expect: { killed: 'SIGTERM' },
  },
  {
    title: 'gets 127 for a program that is not in PATH',
    request: { step: { args: ['no-such-program'] } },
    expect: { code: 127, stderr: /no-such-program.*not found in PATH/ },
  },
  {
    title: 'gets 127 for an absolute path that is not there',
    request: { step: { args: ['/no/such'] } },
    expect: { code: 127, stderr: /\/no\/such/ },
  },
  {
    title: 'gets 126 for a file that is not executable',
    request: { step: { args: ['/opt/plain'] } },
    expect: { code: 126 },
  },
  { title: 'gets 126 for a directory', request: { step: { args: ['/opt'] } }, expect: { code: 126 } },
  {
    title: 'gets 127 for a script whose interpreter is missing',
    request: { step: { args: ['/opt/no-interpreter'] } },
    expect: { code: 127 },
  },
  {
    title: 'gets 126 for a file of no known format',
    request: { step: { args: ['/opt/garbage'] } },
    expect: { code: 126, stderr: /architecture/ },
  },
  {
    title: 'has its program looked up in the PATH of the step',
    request: { step: { args: ['echo', 'found'], env: ['PATH=/nowhere:/bin'] } },
    expect: { stdout: 'found' },
  },
  {
    title: 'has a default PATH for the look-up when the image sets none',
    request: { step: { args: ['echo', 'found'], env: [] } },
    expect: { stdout: 'found' },
  },
  {
    title: 'sees exactly its environment, and HOME',
    request: { step: { args: ['/bin/env'], env: ['A=1', 'B=two words', 'C='] } },
    expect: { stdout: 'A=1\nB=two words\nC=\nHOME=/root' },
  },
  {
    title: 'gets its arguments unchanged',
    request: { step: { args: ['/bin/printf', '[%s]', 'a b', '', '"q"', '$X', 'ü'] } },
    expect: { stdout: '[a b][]["q"][$X][ü]' },
  },
  { title: 'has an empty stdin', request: { script: 'cat; echo end' }, expect: { stdout: 'end' } },
  {
    title: 'has no terminal',
    request: { script: 'test -t 0 || test -t 1 || test -t 2 || echo none' },
    expect: { stdout: 'none' },
  },
  {
    title: 'can open /dev/stdout and /dev/stderr',
    request: { script: 'echo out >/dev/stdout; echo err >/dev/stderr' },
    expect: { stdout: 'out', stderr: /err/ },
    not: { chroot: 'there is no /proc' },
  },
  {
    title: 'of an ordinary user can open /dev/stdout',
    request: { script: 'echo out >/dev/stdout', step: { user: 'app' } },
    expect: { stdout: 'out' },
    not: { ...oneId, chroot: 'there is no /proc' },
  },
  {
    title: 'has no descriptor but its three',
    request: { script: 'ls /proc/self/fd' },
    expect: { stdout: /^0\n1\n2\n3$/ },
    not: { chroot: 'there is no /proc' },
  },
  {
    title: 'may print megabytes',
    request: { script: 'head -c 3000000 /dev/zero | tr "\\0" x | wc -c' },
    expect: { stdout: '3000000' },
  },
  {
    title: 'has every signal at its default',
    request: { step: { args: ['/bin/grep', '-E', 'Sig(Ign|Blk)', '/proc/self/status'] } },
    expect: { stdout: /SigBlk:\t0+\nSigIgn:\t0+$/ },
    not: { chroot: 'there is no /proc' },
  },
  {
    title: 'ends with its main process, whatever it left running',
    request: { script: 'sleep 1000 & (setsid sleep 1000 &) ; echo started' },
    expect: { stdout: 'started' },
  },
  {
    title: 'leads a session of its own',
    request: { script: 'test "$(cut -d" " -f6 /proc/self/stat)" = $$ && echo own' },
    expect: { stdout: 'own' },
    not: { chroot: 'there is no /proc' },
  },
  {
    title: 'gets the limits --ulimit sets',
    request: {
      script: 'ulimit -Sn; ulimit -Hn',
      step: { limits: { ulimits: [{ name: 'nofile', soft: 77, hard: 99 }] } },
    },
    expect: { stdout: '77\n99' },
  },
  {
    title: 'is refused for a limit that does not exist',
    request: { step: { limits: { ulimits: [{ name: 'nothing', soft: 1, hard: 1 }] } } },
    expect: { error: 'sandbox-step-invalid' },
  },
];

const directories: readonly Behaviour[] = [
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
      not: { chroot: 'there is no /proc' },
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
    not: noMounts,
  },
  { title: 'that changes nothing leaves nothing', request: { script: 'true' }, expect: { left: [] }, not: noMounts },
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
    title: 'sees 120 layers at once',
    request: { script: 'ls / | grep -c layer-', lowerCount: 120 },
    expect: { stdout: '119' },
    not: noMounts,
  },
];

const system: readonly Behaviour[] = [
  {
    title: 'has its host name',
    request: { script: 'hostname; cat /etc/hostname' },
    expect: { stdout: 'buildhost\nbuildhost' },
    not: noNamespaces,
  },
  {
    title: 'has hosts in /etc/hosts that were added for it',
    request: { script: 'grep db /etc/hosts', step: { extraHosts: [{ host: 'db', address: '10.0.0.9' }] } },
    expect: { stdout: '10.0.0.9\tdb' },
  },
  {
    title: 'finds localhost in /etc/hosts',
    request: { script: 'grep -c localhost /etc/hosts' },
    expect: { stdout: /^[2-9]$/ },
  },
  {
    title: 'gets /etc/resolv.conf where a dangling link of the image points',
    request: {
      script: 'test -e /etc/resolv.conf && ls -d /run/stub',
      files: [['etc/resolv.conf', '->../run/stub/resolv.conf']],
    },
    expect: { stdout: '/run/stub', left: [] },
    not: noMounts,
  },
  {
    title: 'may write to its /etc/hosts without changing the image',
    request: { script: 'echo 1.2.3.4 x >> /etc/hosts; tail -n1 /etc/hosts' },
    expect: { stdout: '1.2.3.4 x', left: [] },
    not: noMounts,
  },
  {
    title: 'has the usual devices',
    request: {
      script:
        'for d in null zero full random urandom tty; do test -c /dev/$d || echo no $d; done; head -c4 /dev/zero | wc -c; echo x > /dev/null; head -c2 /dev/urandom | wc -c',
    },
    expect: { stdout: '4\n2' },
    not: { chroot: 'only null, zero, full, random and urandom' },
  },
  {
    title: 'has no other device',
    request: { script: 'ls /dev' },
    expect: {
      stdout: 'core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero',
    },
    not: noMounts,
  },
  {
    title: 'may open a pseudo terminal',
    request: { script: 'exec 3<>/dev/ptmx && ls /dev/pts' },
    expect: { stdout: '0\nptmx' },
    not: noMounts,
  },
  {
    title: 'has 64 MiB of /dev/shm',
    request: { script: "df -k /dev/shm | tail -n1 | awk '{print $2}'" },
    expect: { stdout: '65536' },
    not: noMounts,
  },
  {
    title: 'has the /dev/shm it asks for',
    request: { script: "df -k /dev/shm | tail -n1 | awk '{print $2}'", step: { limits: { shmSize: 1 << 20 } } },
    expect: { stdout: '1024' },
    not: noMounts,
  },
  {
    title: 'sees no process but its own',
    request: { script: 'ls /proc | grep -c "^[0-9]*$"' },
    expect: { stdout: /^[1-6]$/ },
    not: noNamespaces,
  },
  {
    title: 'cannot write to the settings of the kernel',
    request: {
      script:
        'for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/sys/vm/drop_caches; do (echo 1 > $f) 2>/dev/null && echo wrote $f; done; echo done',
    },
    expect: { stdout: 'done' },
    not: { chroot: 'there is no /proc' },
  },
  {
    title: 'reads nothing of the masked parts of /proc and /sys',
    request: {
      script:
        'for f in /proc/keys /proc/timer_list /proc/interrupts /proc/kcore; do test -s $f && test ! -c $f && cat $f; done; ls /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | grep -v : ; echo end',
    },
    expect: { stdout: /^\s*end$/ },
    not: { chroot: 'there is no /proc' },
  },
  {
    title: 'has a /sys it cannot write to',
    request: { script: 'test -d /sys/kernel && (mkdir /sys/fs/cgroup/x 2>/dev/null || echo refused)' },
    expect: { stdout: 'refused' },
    not: noMounts,
  },
  {
    title: 'has a message queue and IPC namespace of its own',
    request: { script: 'ls /dev/mqueue | wc -l; tail -n +2 /proc/sysvipc/shm | wc -l' },
    expect: { stdout: '0\n0' },
    not: noMounts,
  },
  {
    title: 'without a network reaches only its own loopback',
    request: {
      script:
        'ls /sys/class/net; ip link show lo | grep -c UP; nc -w 2 10.255.255.53 53 </dev/null 2>&1; nc -w 2 127.0.0.1 1 </dev/null 2>&1',
      step: { network: 'none' },
    },
    expect: { code: 1, stdout: /^lo\n1\n.*unreachable\n.*refused$/ },
    not: noNamespaces,
  },
];

const privileges: readonly Behaviour[] = [
  {
    title: "of root has Docker's default capabilities and none inheritable or ambient",
    request: { script: 'grep ^Cap /proc/self/status' },
    expect: {
      stdout:
        'CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000',
    },
    not: { chroot: 'there is no /proc' },
  },
  {
    title: 'of another user has no capability in effect',
    request: { script: 'grep -E "^Cap(Inh|Prm|Eff|Amb)" /proc/self/status', step: { user: 'app' } },
    expect: {
      stdout:
        'CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000',
    },
    not: { ...oneId, chroot: 'there is no /proc' },
  },
  {
    title: 'runs under a system call filter, with no_new_privs off',
    request: { script: 'grep -E "^(NoNewPrivs|Seccomp):" /proc/self/status' },
    expect: { stdout: 'NoNewPrivs:\t0\nSeccomp:\t2' },
    not: { chroot: 'there is no /proc' },
  },
  {
    title: 'cannot make namespaces',
    request: { script: 'unshare -m true 2>&1; unshare -U true 2>&1; unshare -p true 2>&1' },
    expect: { code: 1, stdout: /^(.*not permitted\s*){3}$/ },
  },
  {
    title: 'cannot mount',
    request: { script: 'mount -t tmpfs t /tmp 2>&1; mount -o bind /bin /tmp 2>&1; echo $?' },
    expect: { stdout: /(permi.*|denied)[\s\S]*1$/ },
  },
  {
    title: 'cannot unmount',
    request: { script: 'umount /proc 2>/dev/null || echo refused' },
    expect: { stdout: 'refused' },
  },
  {
    title: 'cannot change the host name',
    request: { script: 'hostname other 2>/dev/null || echo refused' },
    expect: { stdout: 'refused' },
  },
  {
    title: 'cannot set the clock',
    request: { script: 'date -s 2020-01-01 2>&1 | grep -q permitted && echo refused' },
    expect: { stdout: 'refused' },
  },
  {
    title: 'cannot use a device it makes',
    request: {
      script:
        'mknod /tmp/disk b 254 0 2>/dev/null; mknod /dev/disk b 254 0 2>/dev/null; head -c1 /tmp/disk 2>/dev/null; head -c1 /dev/disk 2>/dev/null; mknod /tmp/m c 1 1 2>/dev/null; head -c1 /tmp/m 2>/dev/null; echo none',
    },
    expect: { stdout: 'none' },
    not: { chroot: 'the container the builder runs in decides', single: 'making devices pretends to work' },
  },
  {
    title: 'cannot leave its root with chroot',
    request: {
      script:
        'mkdir -p /tmp/d && cd / && chroot /tmp/d /bin/true 2>/dev/null; cd ../../../.. && ls -d host-only 2>/dev/null; pwd',
    },
    expect: { stdout: '/' },
  },
  {
    title: 'cannot see or change the helper through /proc/1/exe',
    request: {
      script:
        'readlink /proc/1/exe; readlink /proc/1/fd/*; cat /proc/1/exe 2>/dev/null | head -c1; (echo x > /proc/1/exe) 2>/dev/null && echo wrote; ls /proc/1/root/ 2>/dev/null; ls /proc/1/cwd/ 2>/dev/null; echo end',
    },
    expect: { stdout: 'end' },
    not: { chroot: 'there is no /proc' },
  },
  {
    title: 'cannot kill the process that watches it',
    request: { script: 'kill -9 1; kill -TERM 1; sleep 0.1; echo alive' },
    expect: { stdout: 'alive' },
    not: { chroot: 'PID 1 is the container’s' },
  },
  {
    title: 'is refused the system calls a build has no use for',
    request: {
      script: 'probe-calls | grep -v -e " EPERM$" -e "^clone3 ENOSYS$" -e "^unknown ENOSYS$" || echo all refused',
    },
    expect: { stdout: 'all refused' },
    not: { chroot: 'the filter of the container decides' },
  },
  {
    title: 'sees itself at the top of its control groups',
    request: { script: 'grep -v ":/$" /proc/self/cgroup || echo top' },
    expect: { stdout: 'top' },
    not: noNamespaces,
  },
  {
    title: 'cannot overwrite the helper, even with security=insecure',
    request: {
      script:
        '(echo x > /proc/1/exe) 2>/dev/null && echo wrote; (echo x >> /proc/1/exe) 2>/dev/null && echo wrote; echo end',
      step: { security: 'insecure' },
    },
    expect: { stdout: 'end' },
    not: { chroot: 'there is no /proc' },
  },
  {
    title: 'with security=insecure has every capability and no filter',
    request: {
      script: 'grep -E "^(CapEff|Seccomp):" /proc/self/status; mount -t tmpfs t /tmp && echo mounted',
      step: { security: 'insecure' },
    },
    expect: { stdout: /^CapEff:\t000001f{3,}[0-9a-f]+\nSeccomp:\t0\nmounted$/ },
    not: { chroot: 'the container decides' },
  },
];

const mounts: readonly Behaviour[] = [
  {
    title: 'sees a bind mount and cannot write to a read-only one',
    request: {
      script: 'cat /m/f; touch /m/g 2>/dev/null || echo refused',
      mounts: [{ kind: 'bind', host: 'src', source: '/', target: '/m', readOnly: true, files: { f: 'hello\n' } }],
    },
    expect: { stdout: 'hello\nrefused', left: [] },
    not: noMounts,
  },
  {
    title: 'writes to a writable bind mount and not to the image',
    request: {
      script: 'echo x > /m/g; cat /m/g',
      mounts: [{ kind: 'bind', host: 'src', source: '/', target: '/m', readOnly: false }],
    },
    expect: { stdout: 'x', left: [] },
    not: noMounts,
  },
  {
    title: 'has its writes thrown away where that was asked for',
    request: {
      script: 'echo changed > /m/f; rm /m/g; cat /m/f /n/f; ls /n',
      mounts: [
        {
          kind: 'bind',
          host: 'src',
          source: '/',
          target: '/m',
          readOnly: false,
          discardWrites: true,
          files: { f: 'first\n', g: '' },
        },
        { kind: 'bind', host: 'src', source: '/', target: '/n', readOnly: true },
      ],
    },
    expect: { stdout: 'changed\nfirst\nf\ng', left: [] },
    not: noMounts,
  },
  {
    title: 'sees a single file mounted on a file',
    request: {
      script: 'cat /etc/config',
      mounts: [
        {
          kind: 'bind',
          host: 'src',
          source: '/a/file',
          target: '/etc/config',
          readOnly: true,
          files: { 'a/file': 'content\n' },
        },
      ],
    },
    expect: { stdout: 'content', left: ['etc/'] },
    not: noMounts,
  },
  {
    title: 'sees another image as a mount',
    request: {
      script: 'cat /base/data/kept; touch /base/x 2>/dev/null || echo refused',
      mounts: [{ kind: 'bind', host: 'base', source: '/', target: '/base', readOnly: true }],
    },
    expect: { stdout: 'kept\nrefused' },
    not: noMounts,
  },
  {
    title: 'never reaches out of a mount source through links in it',
    request: {
      script: 'cat /m/passwd',
      mounts: [
        {
          kind: 'bind',
          host: 'src',
          source: '/out',
          target: '/m',
          readOnly: true,
          files: { out: '->/../../../../etc', 'etc/passwd': 'inside\n' },
        },
      ],
    },
    expect: { stdout: 'inside' },
    not: noMounts,
  },
  {
    title: 'never reaches out of a mount source by ..',
    request: {
      script: 'cat /m',
      mounts: [
        {
          kind: 'bind',
          host: 'src',
          source: '/../../../../../etc/passwd',
          target: '/m',
          readOnly: true,
          files: { 'etc/passwd': 'inside\n' },
        },
      ],
    },
    expect: { stdout: 'inside' },
    not: noMounts,
  },
  {
    title: 'is refused when a mount source is missing',
    request: { mounts: [{ kind: 'bind', host: 'src', source: '/nothing', target: '/m', readOnly: true }] },
    expect: { error: 'sandbox-mount-failed', message: /nothing/ },
    not: noMounts,
  },
  {
    title: 'is refused when a link makes a mount source a descriptor of the helper',
    request: { mounts: [{ kind: 'bind', host: 'src', source: '/proc/self/fd/5', target: '/m', readOnly: true }] },
    expect: { error: 'sandbox-mount-failed' },
    not: noMounts,
  },
  {
    title: 'has mount targets resolved inside its root',
    request: { script: 'ls -A /data', mounts: [{ kind: 'tmpfs', target: '/opt/up-to-data/below' }] },
    expect: { stdout: 'below\ngone\nkept', left: ['data/'] },
    not: noMounts,
  },
  {
    title: 'has a tmpfs of the size it asks for',
    request: {
      script: "df -k /scratch | tail -n1 | awk '{print $2}'; stat -c %a /scratch",
      mounts: [{ kind: 'tmpfs', target: '/scratch', size: 1 << 20, mode: 0o750 }],
    },
    expect: { stdout: '1024\n750', left: [] },
    not: noMounts,
  },
  {
    title: 'reads a secret with the mode and owner it was given',
    request: {
      script: 'cat /run/secrets/token; stat -c "%a %u %g" /run/secrets/token',
      mounts: [{ kind: 'secret', target: '/run/secrets/token', content: 'canary\n', mode: 0o440, uid: 0, gid: 0 }],
    },
    expect: { stdout: 'canary\n440 0 0', left: [] },
  },
  {
    title: 'may execute a script that was put in place as a secret',
    request: {
      step: { args: ['/run/script'] },
      mounts: [
        { kind: 'secret', target: '/run/script', content: '#!/bin/sh\necho script', mode: 0o755, uid: 0, gid: 0 },
      ],
    },
    expect: { stdout: 'script', left: [] },
  },
  {
    title: 'of another user reads a secret that is its own',
    request: {
      script: 'cat /token',
      step: { user: 'app' },
      mounts: [{ kind: 'secret', target: '/token', content: 'mine', mode: 0o400, uid: 1000, gid: 1000 }],
    },
    expect: { stdout: 'mine' },
    not: oneId,
  },
  {
    title: 'of another user cannot read a secret of root',
    request: {
      script: 'cat /token 2>/dev/null || echo refused',
      step: { user: 'app' },
      mounts: [{ kind: 'secret', target: '/token', content: 'root', mode: 0o400, uid: 0, gid: 0 }],
    },
    expect: { stdout: 'refused' },
    not: oneId,
  },
  {
    title: 'is refused when a file of the image is in the way of a mount',
    request: { mounts: [{ kind: 'tmpfs', target: '/data/kept/x' }] },
    expect: { error: 'sandbox-mount-failed', message: /kept/ },
    not: noMounts,
  },
];

export const behaviours: readonly Behaviour[] = [
  ...users,
  ...execution,
  ...directories,
  ...system,
  ...privileges,
  ...mounts,
];
