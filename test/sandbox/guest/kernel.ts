/**
 * Debian's kernel for virtual machines, taken out of its package: nothing is installed on this machine. What the guest
 * starts from (NVMe, ext4) is built into it; the rest are modules.
 */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { mustRun } from '../../support/command.ts';

export interface GuestKernel {
  readonly image: string;
  /** In the order in which they are loaded. */
  readonly modules: readonly string[];
}

const moduleNames = ['fs/overlayfs/overlay', 'drivers/net/tun', 'drivers/net/veth'];

/** Takes some five seconds. @param folder empty */
export async function fetchKernel(folder: string): Promise<GuestKernel> {
  // Package lists of its own: those of the machine may be old, or not there.
  for (const name of ['lists/partial', 'archives/partial', 'files']) mkdirSync(join(folder, name), { recursive: true });
  const own = [
    '-q',
    '-o',
    `Dir::State::Lists=${folder}/lists`,
    '-o',
    `Dir::Cache=${folder}`,
    '-o',
    'APT::Sandbox::User=root',
  ];
  await mustRun('apt-get', [...own, 'update']);
  const { text } = await mustRun('apt-cache', [...own, 'depends', 'linux-image-cloud-amd64']);
  const [name] = /linux-image-\S+-cloud-amd64$/m.exec(text.replace(/^linux-image.*\n/, '')) ?? [];
  if (name === undefined) throw new Error(`linux-image-cloud-amd64 has no kernel:\n${text}`);
  await mustRun('apt-get', [...own, 'download', name], { cwd: folder });
  const [archive = ''] = readdirSync(folder).filter((file) => file.endsWith('.deb'));
  await mustRun('dpkg-deb', ['--extract', join(folder, archive), join(folder, 'files')]);
  const release = name.slice('linux-image-'.length);
  return {
    image: join(folder, `files/boot/vmlinuz-${release}`),
    modules: moduleNames.map((module) => join(folder, `files/lib/modules/${release}/kernel/${module}.ko`)),
  };
}
