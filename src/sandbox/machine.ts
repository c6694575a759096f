/**
 * What the rungs do not say of a machine: kernel, control groups and networks of steps, each tried, not guessed.
 * Invariant: looking leaves nothing behind.
 */
import { accessSync, constants, existsSync } from 'node:fs';
import { release } from 'node:os';
import { isTsbuildError } from '../core/index.ts';
import { makeControlGroup } from './control-groups.ts';
import { hostFacts, readText } from './host-facts.ts';
import { connectors } from './shared-network.ts';

export interface MachineFinding {
  readonly about: 'kernel' | 'limits' | 'network';
  readonly what: string;
  /** The command that would give what is missing. */
  readonly remedy?: string;
}

export async function machineFindings(): Promise<readonly MachineFinding[]> {
  return [...kernel(), await limits(), ...network()];
}

function kernel(): MachineFinding[] {
  const version = release();
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const findings: MachineFinding[] = [{ about: 'kernel', what: `Linux ${version}` }];
  if (!/\toverlay$/m.test(readText('/proc/filesystems'))) {
    findings.push({ about: 'kernel', what: 'overlayfs is not loaded', remedy: 'run as root: modprobe overlay' });
  }
  if (major < 5 || (major === 5 && minor < 11)) {
    const what =
      'overlayfs cannot be mounted in a user namespace before Linux 5.11 (some distributions allow it earlier)';
    findings.push({ about: 'kernel', what, remedy: 'run tsbuild as root, or use a newer kernel' });
  }
  return findings;
}

async function limits(): Promise<MachineFinding> {
  const mounts = readText('/proc/self/mountinfo');
  const [v1, v2] = [/ - cgroup /.test(mounts), / - cgroup2 /.test(mounts)];
  const version = v1 && v2 ? 'versions 1 and 2' : v2 ? 'version 2' : v1 ? 'version 1' : 'not mounted';
  try {
    const group = makeControlGroup({ memory: 1 << 30, pids: 1000 }, `tsbuild-${process.pid}-probe`);
    await group?.remove();
    return { about: 'limits', what: `control groups: ${version}; limits can be set` };
  } catch (error) {
    if (!isTsbuildError(error)) throw error;
    const remedy = error.hint === undefined ? {} : { remedy: error.hint };
    return { about: 'limits', what: `control groups: ${version}; limits cannot be set: ${error.message}`, ...remedy };
  }
}

function network(): MachineFinding[] {
  const { uid, initialUserNamespace } = hostFacts();
  const rung = uid === 0 && initialUserNamespace ? 'root' : 'userns';
  const found = connectors(rung).map(({ kind }) => kind);
  const findings: MachineFinding[] =
    found.length > 0
      ? [{ about: 'network', what: `steps get a private network from ${found.join(' or ')}` }]
      : [
          {
            about: 'network',
            what: 'steps share the network of this machine: no program connects a private one',
            remedy: `install one (Debian and Ubuntu: apt-get install ${rung === 'root' ? 'slirp4netns' : 'passt'})`,
          },
        ];
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch {
    findings.push({
      about: 'network',
      what: '/dev/net/tun cannot be opened: a private network needs it',
      remedy: existsSync('/dev/net/tun')
        ? 'run as root: chmod 666 /dev/net/tun'
        : 'run as root: modprobe tun; in a container, start it with --device /dev/net/tun',
    });
  }
  return findings;
}
