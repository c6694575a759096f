/** What a step may do: capabilities, system calls, namespaces, and the helper that watches it. */
import { type Behaviour, noNamespaces, noProc, oneId } from './behaviour.ts';

export const privileges: readonly Behaviour[] = [
  {
    title: "of root has Docker's default capabilities and none inheritable or ambient",
    request: { script: 'grep ^Cap /proc/self/status' },
    expect: {
      stdout:
        'CapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000',
    },
    not: noProc,
  },
  {
    title: 'of another user has no capability in effect',
    request: { script: 'grep -E "^Cap(Inh|Prm|Eff|Amb)" /proc/self/status', step: { user: 'app' } },
    expect: {
      stdout:
        'CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000000',
    },
    not: { ...oneId, ...noProc },
  },
  {
    title: 'runs under a system call filter, with no_new_privs off',
    request: { script: 'grep -E "^(NoNewPrivs|Seccomp):" /proc/self/status' },
    expect: { stdout: 'NoNewPrivs:\t0\nSeccomp:\t2' },
    not: noProc,
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
        'for n in "disk b 254 0" "mem c 1 1" "zero c 1 5"; do for d in /tmp /dev; do mknod $d/$n 2>/dev/null; test "$(head -c1 $d/${n%% *} 2>/dev/null | wc -c)" = 0 || test $d/${n%% *} = /dev/zero || echo used $d/$n; done; done; echo none',
    },
    expect: { stdout: 'none' },
    not: { chroot: 'the container the builder runs in decides' },
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
  },
  {
    title: 'cannot kill the process that watches it',
    request: { script: 'kill -9 1; kill -TERM 1; sleep 0.1; echo alive' },
    expect: { stdout: 'alive' },
    not: { chroot: 'PID 1 is the container’s' },
    untried: true,
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
    request: { script: 'test -r /proc/self/cgroup && (grep -v ":/$" /proc/self/cgroup || echo top)' },
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
