/** What a step finds of a machine: names, devices, processes, kernel settings, network. */
import { type Behaviour, noMounts, noNamespaces, noProc } from './behaviour.ts';

export const system: readonly Behaviour[] = [
  {
    title: 'has its host name',
    request: { script: 'hostname' },
    expect: { stdout: 'buildhost' },
    not: noNamespaces,
  },
  {
    title: 'has its host name in /etc/hosts, and the /etc/hostname of the image, which it may change',
    request: { script: 'grep -c buildhost /etc/hosts; echo own > /etc/hostname; cat /etc/hostname' },
    expect: { stdout: '1\nown' },
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
    title: 'has the devices every program expects',
    request: {
      script:
        'for d in null zero full random urandom; do test -c /dev/$d && stat -c %a /dev/$d; done | sort | uniq -c; echo x > /dev/null; (echo x > /dev/full) 2>/dev/null || echo full; head -c2 /dev/urandom | wc -c',
    },
    expect: { stdout: '5 666\nfull\n2', left: [] },
  },
  {
    title: 'of an ordinary user may use the devices every program expects',
    request: {
      script: 'echo x > /dev/null; head -c1 /dev/zero | wc -c; test -w /dev/null && echo writable',
      step: { user: 'app' },
    },
    expect: { stdout: '1\nwritable' },
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
    title: 'finds its own process in /proc/self',
    request: { script: 'test "$(readlink /proc/self/cwd)" = / && grep Pid: /proc/$$/status | head -n 1 | grep -c $$' },
    expect: { stdout: '1' },
    not: noProc,
  },
  {
    title: 'finds no path of the machine in its list of mounts',
    request: {
      script: 'grep -c tsbuild /proc/self/mountinfo; grep -c tsbuild /proc/mounts; grep -c " / " /proc/mounts',
    },
    expect: { stdout: '0\n0\n1' },
    not: noProc,
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
    not: noProc,
  },
  {
    title: 'reads nothing of the masked parts of /proc and /sys',
    request: {
      script:
        'for f in /proc/keys /proc/timer_list /proc/interrupts /proc/kcore; do test -s $f && test ! -c $f && cat $f; done; ls /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | grep -v : ; echo end',
    },
    expect: { stdout: /^\s*end$/ },
  },
  {
    title: 'may read /proc/cpuinfo, /proc/meminfo and its own limits',
    request: {
      script: 'for f in cpuinfo meminfo self/limits version; do test -n "$(cat /proc/$f)" && echo $f; done',
    },
    expect: { stdout: 'cpuinfo\nmeminfo\nself/limits\nversion' },
    not: noProc,
  },
  {
    title: 'sees the network of its step and nothing of devices to write to in /sys',
    request: { script: 'test -d /sys/class/net/lo && find /sys -maxdepth 2 -writable -type d 2>/dev/null | wc -l' },
    expect: { stdout: /^\d+$/ },
    not: noMounts,
  },
  {
    title: 'has a /sys it cannot write to',
    request: { script: 'test -d /sys/kernel && (mkdir /sys/fs/cgroup/x 2>/dev/null || echo refused)' },
    expect: { stdout: 'refused' },
    not: noMounts,
  },
  {
    title: 'has a message queue and IPC namespace of its own',
    request: { script: 'test -d /dev/mqueue && ls /dev/mqueue | wc -l; tail -n +2 /proc/sysvipc/shm | wc -l' },
    expect: { stdout: '0\n0' },
    not: noMounts,
  },
  {
    title: 'without a network opens no connection, whatever it tries',
    request: {
      script:
        'for a in 10.255.255.53 127.0.0.1 ::1 fe80::1; do nc -w 2 $a 53 </dev/null 2>/dev/null && echo reached $a; done; probe-calls sockets; echo end',
      step: { network: 'none' },
    },
    expect: { stdout: 'end' },
  },
  {
    title: 'without a network reaches only its own loopback',
    request: {
      script:
        'ls /sys/class/net; ip link show lo | grep -c UP; nc -w 2 10.255.255.53 53 </dev/null 2>&1; nc -w 2 127.0.0.1 1 </dev/null 2>&1',
      step: { network: 'none' },
    },
    expect: { code: 1, stdout: /^lo\n1\n.*unreachable\n.*refused$/ },
    not: { chroot: 'a filter keeps it from all sockets' },
  },
];
