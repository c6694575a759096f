/**
 * What each rung of the ladder needs, asked of the machine: a rung is available when a step really ran on it.
 * Invariant: a probe leaves nothing behind and changes nothing; only that a rung works is remembered, never that it does not.
 */
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { distPath, ignoreEvents, isTsbuildError } from '../core/index.ts';
import { type HostFacts, hostFacts, readText } from './host-facts.ts';
import { idMaps } from './id-maps.ts';
import { NamespaceSandbox } from './namespace-sandbox.ts';
import type { RootFs, Rung, RungReport } from './types.ts';
import { candidates, denied, tryUserNamespace, userNamespaceDenial, userNamespaceSettings } from './user-namespace.ts';

export interface ProbeOptions {
  /** A directory on the file system the steps will write to. Default: the system's temporary folder. */
  readonly scratch?: string;
  /** Where it is remembered what probes found. Default: every probe runs. */
  readonly memory?: ProbeMemory;
}

/** What it holds may be lost at any time. */
export interface ProbeMemory {
  /** Whether steps run under these circumstances; undefined when that is not known. */
  recall(circumstances: string): Promise<boolean | undefined>;
  /** @param works undefined: what was known is no longer so */
  keep(circumstances: string, works: boolean | undefined): Promise<void>;
}

/** All that the outcome of a probe depends on, as far as it can be told without one. */
export function circumstances(rung: Rung, facts: HostFacts, { scratch = tmpdir() }: ProbeOptions): string {
  const helper = statSync(distPath('native/tsbuild-sandbox'), { throwIfNoEntry: false });
  const disk = statSync(scratch, { throwIfNoEntry: false });
  const kernel = ['/proc/sys/kernel/random/boot_id', '/proc/self/attr/current'].map(readText);
  if (rung === 'userns' && facts.initialUserNamespace) kernel.push(...surroundings());
  return JSON.stringify([rung, facts, helper?.ino, helper?.mtimeMs, helper?.size, disk?.dev, ...kernel]);
}

/** What of a container and of the machine's settings decides whether steps run in a user namespace. */
function surroundings(): string[] {
  const settings = userNamespaceSettings.map(readText);
  const status = readText('/proc/self/status').match(/^(CapBnd|NoNewPrivs|Seccomp.*):.*$/gm) ?? [];
  // A /proc of which parts are covered keeps the kernel from mounting a new one in a namespace.
  const covers = readText('/proc/self/mountinfo')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => /^\/(proc|sys)(\/|$)/.test(point));
  return [...settings, ...status, ...covers];
}

type Findings = RungReport['findings'];

/** Every rung, best first. */
export async function probeRungs(options: ProbeOptions = {}): Promise<readonly RungReport[]> {
  const reports: RungReport[] = [];
  for (const rung of ['root', 'userns', 'chroot', 'none'] as const) reports.push(await probeRung(rung, options));
  return reports;
}

export async function probeRung(rung: Rung, options: ProbeOptions = {}): Promise<RungReport> {
  const facts = hostFacts();
  switch (rung) {
    case 'root':
      return probeRoot(facts, options);
    case 'userns':
      return probeUserNamespace(facts, options);
    case 'chroot':
      return probeChroot(facts, options);
    case 'none':
      return { rung, available: true, findings: [{ what: 'RUN cannot be used' }] };
  }
}

async function probeRoot(facts: HostFacts, options: ProbeOptions): Promise<RungReport> {
  if (!facts.initialUserNamespace) {
    return missing('root', [
      { what: 'tsbuild runs in a user namespace', remedy: 'run tsbuild as root of the machine' },
    ]);
  }
  if (!facts.capabilities.sysAdmin) {
    const remedy =
      facts.uid === 0
        ? 'start the container with --privileged or --cap-add SYS_ADMIN'
        : 'run tsbuild as root, e.g. with sudo';
    return missing('root', [{ what: 'tsbuild lacks CAP_SYS_ADMIN', remedy }]);
  }
  return tryStep('root', facts, options, []);
}

async function probeUserNamespace(facts: HostFacts, options: ProbeOptions): Promise<RungReport> {
  if (!facts.initialUserNamespace && facts.capabilities.sysAdmin) {
    return tryStep('userns', facts, options, facts.singleId ? [singleIdFinding] : []);
  }
  const denial = userNamespaceDenial(facts);
  if (denial) return missing('userns', [findingOf(denial)]);
  const known = circumstances('userns', facts, options);
  const before = await options.memory?.recall(known);
  if (before === true) return { rung: 'userns', available: true, findings: [] };
  if (before === false) return missing('userns', [triedBefore]);
  const report = await tryUserNamespaces(facts, options);
  await options.memory?.keep(known, report.available);
  return report;
}

const triedBefore = {
  what: 'steps did not run in a user namespace when that was last tried',
  remedy: 'run `tsbuild doctor`, which tries it again and says why',
};

/** From outside of one. */
async function tryUserNamespaces(facts: HostFacts, options: ProbeOptions): Promise<RungReport> {
  let last: 'map' | 'namespace' = 'map';
  for (const maps of candidates(idMaps(facts))) {
    const verdict = await tryUserNamespace(maps);
    if (verdict === 'works') {
      // The findings of the maps say what each is in want of.
      const weaker = maps.kind === 'single' ? [{ what: singleIdFinding.what }] : [];
      // Where one can be made, its steps may still lack /proc (in a container that masks its own) or overlayfs.
      const launch = ['userns', ...maps.helperArguments, '--', distPath('native/tsbuild-sandbox'), 'run'];
      const inside = { ...facts, singleId: maps.kind === 'single' };
      return tryStep('userns', inside, options, [...weaker, ...maps.findings], launch);
    }
    last = verdict;
    if (verdict === 'namespace') break;
  }
  return missing('userns', [findingOf(denied(last))]);
}

async function probeChroot(facts: HostFacts, options: ProbeOptions): Promise<RungReport> {
  if (!facts.capabilities.sysChroot || facts.uid !== 0) {
    const remedy =
      facts.uid === 0 ? 'start the container with --cap-add SYS_CHROOT' : 'run tsbuild as root, e.g. with sudo';
    return missing('chroot', [{ what: 'tsbuild lacks CAP_SYS_CHROOT', remedy }]);
  }
  return tryStep('chroot', facts, options, [
    { what: 'steps share the processes, network and devices of the container tsbuild runs in' },
    { what: 'steps have no /proc and no /sys, and mounts are copies' },
    ...(facts.capabilities.mknod
      ? []
      : [
          {
            what: 'steps have no /dev/null: tsbuild lacks CAP_MKNOD',
            remedy: 'start the container with --cap-add MKNOD',
          },
        ]),
  ]);
}

const singleIdFinding = {
  what: 'only one user ID is available: every file belongs to it',
  remedy: 'give this user ranges in /etc/subuid and /etc/subgid and install newuidmap',
};

/** Runs the helper's own `probe` as a step in a root that holds nothing else. */
async function tryStep(
  rung: Exclude<Rung, 'none'>,
  facts: HostFacts,
  options: ProbeOptions,
  findings: Findings,
  launch?: readonly string[],
): Promise<RungReport> {
  const known = circumstances(rung, facts, options);
  if (launch === undefined && (await options.memory?.recall(known))) return { rung, available: true, findings };
  const sandbox = new NamespaceSandbox({
    rung,
    singleId: facts.singleId,
    events: ignoreEvents,
    ...(launch && { launch }),
  });
  const folder = mkdtempSync(join(options.scratch ?? tmpdir(), 'tsbuild-probe-'));
  try {
    const [lower, upper, work] = ['lower', 'upper', 'work'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    for (const path of [lower, upper, work]) mkdirSync(path);
    copyFileSync(distPath('native/tsbuild-sandbox'), join(lower, 'probe'));
    const rootfs: RootFs =
      rung === 'chroot' ? { kind: 'directory', path: lower } : { kind: 'overlay', lowers: [lower], upper, work };
    const result = await sandbox.run(
      {
        rootfs,
        args: ['/probe', 'probe'],
        env: [],
        cwd: '/',
        user: '0:0',
        hostname: 'probe',
        network: 'host',
        security: 'sandbox',
        mounts: [],
        extraHosts: [],
        limits: {},
      },
      { signal: new AbortController().signal, onOutput: () => {} },
    );
    const started = result.exit.kind === 'exited' && result.exit.code === 0;
    if (started && launch === undefined) await options.memory?.keep(known, true);
    return started
      ? { rung, available: true, findings }
      : missing(rung, [{ what: 'the file system of the store does not let programs run' }]);
  } catch (error) {
    if (!isTsbuildError(error)) throw error;
    return missing(rung, [findingOf(error)]);
  } finally {
    await sandbox.close();
    removeScratch(folder);
  }
}

/** overlayfs leaves directories nobody may read in its work directory; to a user outside the namespace that is final. */
function removeScratch(folder: string): void {
  for (const path of ['work/work', 'work/work/incompat', 'work/work/incompat/volatile']) {
    const directory = join(folder, path);
    if (existsSync(directory)) chmodSync(directory, 0o700);
  }
  rmSync(folder, { recursive: true, force: true });
}

export function findingOf(error: { readonly message: string; readonly hint: string | undefined }): Findings[number] {
  return error.hint === undefined ? { what: error.message } : { what: error.message, remedy: error.hint };
}

function missing(rung: Rung, findings: Findings): RungReport {
  return { rung, available: false, findings };
}
