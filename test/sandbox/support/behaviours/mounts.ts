/** What a step is given: binds, tmpfs, secrets. */
import { type Behaviour, noMounts, oneId } from './behaviour.ts';

export const mounts: readonly Behaviour[] = [
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
  },
];
