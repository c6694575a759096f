/**
 * What the rungs do not say of a machine: kernel, control groups, networks, programs of steps, each tried, not guessed.
 * Invariant: looking leaves nothing behind.
 */
import { accessSync, constants, existsSync } from 'node:fs';
import { release } from 'node:os';
import { hostPlatform, isTsbuildError } from '../core/index.ts';
import { makeControlGroup } from './control-groups.ts';
import { architectures, programSupport } from './foreign-programs.ts';
import { hostFacts, readText } from './host-facts.ts';
import { idMaps } from './id-maps.ts';
import { findingOf } from './probe.ts';
import { connectors } from './shared-network.ts';
import { appArmorDenial, isRestrictedByAppArmor, ordinaryUserDenial } from './user-namespace.ts';

export interface MachineFinding {
  readonly about: 'kernel' | 'userns' | 'owners' | 'limits' | 'network' | 'programs';
  readonly what: string;
  /** The command that would give what is missing. */
  readonly remedy?: string;
}

export async function machineFindings(): Promise<readonly MachineFinding[]> {
  return [...kernel(), ...userNamespaces(), ...owners(), await limits(), network(), programs()];
}

function kernel(): MachineFinding[] {
  const version = release();
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const findings: MachineFinding[] = [];
  if (!/\toverlay$/m.test(readText('/proc/filesystems'))) {
    findings.push({ about: 'kernel', what: 'overlayfs is not loaded', remedy: 'run as root: modprobe overlay' });
  }
  const old = major < 5 || (major === 5 && minor < 11);
  findings.unshift({ about: 'kernel', what: `Linux ${version}${old ? '' : ', overlayfs also in user namespaces'}` });
  if (old) {
    const what =
      'overlayfs cannot be mounted in a user namespace before Linux 5.11 (some distributions allow it earlier)';
    findings.push({ about: 'kernel', what, remedy: 'run tsbuild as root, or use a newer kernel' });
  }
  return findings;
}

function userNamespaces(): MachineFinding[] {
  const denials = [ordinaryUserDenial(), isRestrictedByAppArmor() ? appArmorDenial() : undefined];
  const findings = denials.flatMap((denial) => (denial ? [{ about: 'userns' as const, ...findingOf(denial) }] : []));
  if (findings.length > 0) return findings;
  return [{ about: 'userns', what: 'ordinary users may make user namespaces, and AppArmor does not restrict them' }];
}

/** Which owners files can have; what is in want of anything the rung `userns` says. */
function owners(): MachineFinding[] {
  const facts = hostFacts();
  const { kind, findings } = idMaps(facts);
  if (facts.uid === 0 && facts.singleId) return [{ about: 'owners', what: 'only one user ID is mapped here' }];
  if (kind === 'identity') return [{ about: 'owners', what: 'files can have every owner: this is root' }];
  if (kind === 'single' || findings.length > 0)
    return [{ about: 'owners', what: 'what keeps files from having every owner stands at the rung userns' }];
  return [{ about: 'owners', what: 'ranges in /etc/subuid and /etc/subgid, newuidmap and newgidmap are setuid' }];
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
    const { what, ...remedy } = findingOf(error);
    return { about: 'limits', what: `control groups: ${version}; ${what}`, ...remedy };
  }
}

function network(): MachineFinding {
  const { uid, initialUserNamespace } = hostFacts();
  const rung = uid === 0 && initialUserNamespace ? 'root' : 'userns';
  const found = connectors(rung).map(({ kind }) => kind);
  if (found.length === 0) {
    return {
      about: 'network',
      what: 'steps share the network of this machine: no program connects a private one',
      remedy: `install one (Debian and Ubuntu: apt-get install ${rung === 'root' ? 'slirp4netns' : 'passt'})`,
    };
  }
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
    return { about: 'network', what: `steps get a private network from ${found.join(' or ')}` };
  } catch {
    return {
      about: 'network',
      what: `steps share the network of this machine: ${found.join(' and ')} cannot open /dev/net/tun`,
      remedy: existsSync('/dev/net/tun')
        ? 'run as root: chmod 666 /dev/net/tun'
        : 'run as root: modprobe tun; in a container, start it with --device /dev/net/tun',
    };
  }
}

function programs(): MachineFinding {
  const host = hostPlatform().architecture;
  const [run, others] = [true, false].map((wanted) =>
    architectures.filter((one) => (programSupport(one, host).kind !== 'missing') === wanted),
  );
  const what = `RUN works for linux/${run?.join(', linux/')}`;
  if (!others?.length) return { about: 'programs', what };
  return {
    about: 'programs',
    what: `${what}; no emulator is registered (binfmt_misc) for ${others.join(', ')}`,
    remedy: `apt-get install qemu-user-static, or docker run --privileged --rm tonistiigi/binfmt --install all`,
  };
}
