import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * A root with every busybox applet and a few users, for programs that are bundled and lie beside `probe-calls`. It is made by
 * who runs the steps, so that owners are right in whatever user namespace that is in.
 */
export function makeBaseRoot(path: string): string {
  for (const name of ['bin', 'dev', 'proc', 'sys', 'etc', 'home/app', 'root', 'tmp', 'data', 'opt'])
    mkdirSync(join(path, name), { recursive: true });
  copyFileSync('/usr/bin/busybox', join(path, 'bin/busybox'));
  for (const name of execFileSync('/usr/bin/busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n')) {
    if (name !== 'busybox') symlinkSync('busybox', join(path, 'bin', name));
  }
  copyFileSync(join(dirname(fileURLToPath(import.meta.url)), 'probe-calls'), join(path, 'bin/probe-calls'));
  for (const name of ['probe-suid', 'probe-cap']) copyFileSync(join(path, 'bin/probe-calls'), join(path, 'bin', name));
  writeFileSync(
    join(path, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\nnohome:x:1001:1002:::/bin/sh\nbroken\n',
  );
  writeFileSync(
    join(path, 'etc/group'),
    'root:x:0:\nwheel:x:10:root,app\napp:x:1000:\nextra:x:2000:app,other\nstaff:x:50:\n',
  );
  for (const name of ['hosts', 'hostname', 'resolv.conf']) writeFileSync(join(path, 'etc', name), '');
  writeFileSync(join(path, 'data/kept'), 'kept\n');
  writeFileSync(join(path, 'data/gone'), 'gone\n');
  writeFileSync(join(path, 'opt/plain'), 'not a program\n');
  writeFileSync(join(path, 'opt/private'), 'for root\n');
  writeFileSync(join(path, 'opt/no-interpreter'), '#!/nowhere/sh\n', { mode: 0o755 });
  writeFileSync(join(path, 'opt/garbage'), Buffer.from([1, 2, 3, 4]), { mode: 0o755 });
  symlinkSync('/data', join(path, 'opt/to-data'));
  symlinkSync('../../../../../../../../data', join(path, 'opt/up-to-data'));
  execFileSync('chmod', ['-R', 'go+rX', path]);
  execFileSync('chmod', ['1777', join(path, 'tmp')]);
  execFileSync('chmod', ['600', join(path, 'opt/private')]);
  try {
    execFileSync('chown', ['-R', '1000:1000', join(path, 'home/app')], { stdio: 'ignore' });
  } catch {
    // A single-ID namespace has no such owners; its tests do not use them.
  }
  execFileSync('chmod', ['4755', join(path, 'bin/probe-suid')]);
  // CAP_NET_BIND_SERVICE, permitted and effective, as setcap(8) writes it.
  const capability = '0x0100000200040000000000000000000000000000';
  execFileSync('setfattr', ['-n', 'security.capability', '-v', capability, join(path, 'bin/probe-cap')]);
  return path;
}
