/**
 * For an ordinary user, all of tsbuild runs inside a user namespace: the process that unpacks, walks and packs files
 * must see the same owners as the steps.
 * Invariant: a process that was entered is marked in its environment and never enters again.
 */
import { spawn } from 'node:child_process';
import { distPath, TsbuildError } from '../core/index.ts';
import { type HostFacts, hostFacts, readText } from './host-facts.ts';
import { type IdMaps, idMaps } from './id-maps.ts';
import type { Rung } from './types.ts';

/** Set for the process inside: `identity`, `ranges` or `single`. */
export const userNamespaceMarker = 'TSBUILD_USER_NAMESPACE';

export type Environment = Readonly<Record<string, string | undefined>>;

/** Exit codes of `tsbuild-sandbox userns` itself (native/userns.c). */
const helperFailures: Readonly<Record<number, 'namespace' | 'map' | 'program'>> = {
  120: 'namespace',
  121: 'map',
  122: 'program',
};

/** Whether this process should become one inside a user namespace before it does anything else. */
export function wantsUserNamespace(isolation: 'auto' | Rung, env: Environment): boolean {
  if (env[userNamespaceMarker] !== undefined) return false;
  if (isolation === 'userns') return true;
  if (isolation !== 'auto') return false;
  const { uid, initialUserNamespace, capabilities } = hostFacts();
  // Root of an ordinary container, too: inside a namespace it has what it lacks there.
  return uid !== 0 || (initialUserNamespace && !capabilities.sysAdmin);
}

export interface ReexecOptions {
  /** Node with its options, the script and its arguments: `[process.execPath, ...process.execArgv, ...process.argv.slice(1)]`. */
  readonly argv: readonly string[];
  readonly env: Environment;
}

/**
 * Runs this program again inside a user namespace, with this process's stdin, stdout and stderr; signals are passed on.
 * Resolves to its exit code (128 + n for signal n).
 * @throws TsbuildError `sandbox-userns-denied`, `sandbox-idmap-failed`: nothing was run, the caller may go on without
 */
export async function reexecInUserNamespace({ argv, env }: ReexecOptions): Promise<number> {
  const facts = hostFacts();
  const denial = userNamespaceDenial(facts);
  if (denial) throw denial;
  for (const maps of candidates(idMaps(facts))) {
    const verdict = await tryUserNamespace(maps);
    if (verdict === 'works') return runInside(maps, argv, env);
    if (verdict === 'namespace' || maps.kind === 'single') throw denied(verdict);
  }
  throw denied('map');
}

/** The map that is wanted and, when it can fail, what to fall back to. */
export function candidates(maps: IdMaps): readonly IdMaps[] {
  if (maps.kind !== 'ranges') return [maps];
  const refused = {
    what: 'newuidmap or newgidmap refused the ranges of /etc/subuid and /etc/subgid',
    remedy:
      'run as root: chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap; in a container, start it with --cap-add SETUID --cap-add SETGID',
  };
  const findings = [refused, ...maps.findings];
  return [maps, { kind: 'single', helperArguments: ['-', '-', '0', '0'], findings }];
}

/** Really enters one, does nothing there, and says what went wrong. */
export async function tryUserNamespace(maps: IdMaps): Promise<'works' | 'namespace' | 'map'> {
  const helper = distPath('native/tsbuild-sandbox');
  const child = spawn(helper, ['userns', ...maps.helperArguments, '--', helper, 'probe'], { env: {}, stdio: 'ignore' });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', (cause) => reject(helperMissing(helper, cause)));
    child.on('close', (status) => resolve(status));
  });
  if (code === 0) return 'works';
  return code !== null && helperFailures[code] === 'namespace' ? 'namespace' : 'map';
}

const settings = {
  most: '/proc/sys/user/max_user_namespaces',
  forAll: '/proc/sys/kernel/unprivileged_userns_clone',
  restricted: '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
} as const;

/** Files of the kernel that say whether user namespaces can be had. */
export const userNamespaceSettings: readonly string[] = Object.values(settings);

/** A setting of the machine that forbids user namespaces, when there is one; with its remedy. */
export function userNamespaceDenial(facts: HostFacts): TsbuildError | undefined {
  return facts.uid === 0 ? undefined : ordinaryUserDenial();
}

/** The same for ordinary users, whoever this is. */
export function ordinaryUserDenial(): TsbuildError | undefined {
  if (readText(settings.most).trim() === '0') {
    return usernsDenied(
      'this machine permits no user namespaces',
      'run as root: sysctl -w user.max_user_namespaces=15000',
    );
  }
  if (readText(settings.forAll).trim() === '0') {
    return usernsDenied(
      'this kernel keeps user namespaces from ordinary users',
      'run as root: sysctl -w kernel.unprivileged_userns_clone=1',
    );
  }
  return undefined;
}

/** Why one could not be made, after a try. */
export function denied(verdict: 'works' | 'namespace' | 'map'): TsbuildError {
  if (verdict === 'namespace') {
    if (isRestrictedByAppArmor()) return appArmorDenial();
    return usernsDenied(
      'a user namespace could not be made',
      'in a container, start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined; else see user.max_user_namespaces in sysctl -a',
    );
  }
  return new TsbuildError({
    code: 'sandbox-idmap-failed',
    message: 'the user and group IDs of a user namespace could not be mapped',
    hint:
      hostFacts().uid === 0
        ? 'start the container with --cap-add SETUID --cap-add SETGID --cap-add SETFCAP'
        : 'check that newuidmap and newgidmap are setuid and that /etc/subuid and /etc/subgid have a range for this user',
  });
}

/** Ubuntu's restriction: a namespace can be made, and nothing done in it. */
export function isRestrictedByAppArmor(): boolean {
  return readText(settings.restricted).trim() === '1';
}

export function appArmorDenial(): TsbuildError {
  return usernsDenied(
    'AppArmor keeps user namespaces from programs without a profile',
    'run as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give tsbuild-sandbox a profile with `userns,`',
  );
}

function usernsDenied(message: string, hint: string): TsbuildError {
  return new TsbuildError({ code: 'sandbox-userns-denied', message, hint });
}

function helperMissing(helper: string, cause: unknown): TsbuildError {
  return new TsbuildError({
    code: 'sandbox-helper-missing',
    message: `the sandbox helper ${helper} cannot be started`,
    hint: 'reinstall tsbuild, or run `npm run build` in its source tree',
    cause,
  });
}

async function runInside(maps: IdMaps, argv: readonly string[], env: Environment): Promise<number> {
  const helper = distPath('native/tsbuild-sandbox');
  const child = spawn(helper, ['userns', ...maps.helperArguments, '--', ...argv], {
    env: { ...env, [userNamespaceMarker]: maps.kind },
    stdio: 'inherit',
  });
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const;
  const pass = (signal: NodeJS.Signals) => child.kill(signal);
  for (const signal of signals) process.on(signal, pass);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on('error', (cause) => reject(helperMissing(helper, cause)));
      child.on('close', (code) => resolve(code ?? 137));
    });
  } finally {
    for (const signal of signals) process.off(signal, pass);
  }
}
