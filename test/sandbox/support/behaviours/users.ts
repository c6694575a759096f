/** Who a step runs as: users, groups, home, umask, setuid programs. */
import { type Behaviour, oneId } from './behaviour.ts';

export const users: readonly Behaviour[] = [
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
  },
  {
    title: 'gets / for HOME when passwd has none',
    request: { script: 'echo $HOME', step: { user: 'nohome' } },
    expect: { stdout: '/' },
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
    title: 'has umask 0022 for directories, too, whatever the user',
    request: { script: 'mkdir /tmp/d; stat -c %a /tmp/d', step: { user: 'app' } },
    expect: { stdout: '755' },
  },
  {
    title: 'owns what it makes',
    request: { script: 'touch /tmp/f; stat -c "%u %g" /tmp/f', step: { user: 'app' } },
    expect: { stdout: '1000 1000' },
    not: oneId,
  },
  {
    title: 'of root gives files to any user',
    request: { script: 'touch /tmp/f; chown 123:456 /tmp/f && stat -c "%u %g" /tmp/f' },
    expect: { stdout: '123 456' },
    not: oneId,
  },
  {
    title: 'of root succeeds in giving files away, whether it shows or not',
    request: { script: 'mkdir /tmp/d; touch /tmp/d/f; chown -R app:staff /tmp/d && chgrp 7 /tmp/d/f && echo done' },
    expect: { stdout: 'done' },
  },
  {
    title: 'of a user is refused a file of another',
    request: { script: 'chown app /etc/passwd 2>/dev/null || echo refused', step: { user: 'app' } },
    expect: { stdout: 'refused', left: [] },
    not: oneId,
  },
  {
    title: 'of a user without privileges reads no file that is only for root',
    request: { script: 'cat /opt/private 2>/dev/null || echo refused', step: { user: 'app' } },
    expect: { stdout: 'refused' },
    not: oneId,
  },
  {
    title: 'takes the name of a user from the image, whatever the machine has',
    request: { script: 'whoami; stat -c %U /home/app', step: { user: '0' } },
    expect: { stdout: 'root\napp' },
    not: oneId,
  },
  {
    title: 'gains root through a setuid program, within the capability bound',
    request: { script: 'probe-calls identity; probe-suid identity', step: { user: '1000:1000' } },
    expect: { stdout: '1000 1000 0000000000000000\n1000 0 00000000a80425fb' },
    not: oneId,
  },
  {
    title: 'gains what the capabilities of a file give',
    request: { script: 'probe-cap identity', step: { user: '1000:1000' } },
    expect: { stdout: '1000 1000 0000000000000400' },
    not: oneId,
  },
  {
    title: 'of a user without privileges cannot write to a directory of root',
    request: { script: 'touch /etc/mine 2>/dev/null || echo refused', step: { user: 'app' } },
    expect: { stdout: 'refused', left: [] },
    not: oneId,
  },
];
