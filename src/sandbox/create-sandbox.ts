/**
 * Chooses the rung. `auto` takes the best that works and says what is weaker about it; a rung asked for by name is
 * taken or refused, never replaced.
 */
import { type EventSink, TsbuildError } from '../core/index.ts';
import { hostFacts } from './host-facts.ts';
import { NamespaceSandbox } from './namespace-sandbox.ts';
import { circumstances, type ProbeOptions, probeRung } from './probe.ts';
import type { Rung, RungReport, Sandbox } from './types.ts';

export interface SandboxOptions extends ProbeOptions {
  readonly isolation: 'auto' | Rung;
  readonly events: EventSink;
}

/**
 * An ordinary user gets the rung `userns` only in a process that `reexecInUserNamespace` made.
 * @throws TsbuildError `sandbox-unavailable` when the rung asked for does not work here
 */
export async function createSandbox(options: SandboxOptions): Promise<Sandbox> {
  const wanted: readonly Rung[] =
    options.isolation === 'auto' ? ['root', 'userns', 'chroot', 'none'] : [options.isolation];
  const passed: RungReport[] = [];
  for (const rung of wanted) {
    const report = await probe(rung, options);
    if (!report.available) {
      passed.push(report);
      continue;
    }
    if (options.isolation === 'auto') announce(report, passed, options.events);
    if (rung === 'none') return new NoSandbox(passed);
    const facts = hostFacts();
    return new NamespaceSandbox({
      rung,
      singleId: facts.singleId,
      events: options.events,
      // What was remembered may no longer be so.
      onSetupFailed: () => options.memory?.keep(circumstances(rung, facts, options), undefined),
    });
  }
  throw unavailable(`the isolation ${options.isolation} does not work here`, passed);
}

/** A user namespace counts only when this process is inside it; why it is not is what a probe from outside finds. */
async function probe(rung: Rung, options: SandboxOptions): Promise<RungReport> {
  const facts = hostFacts();
  const report = await probeRung(rung, options);
  if (rung !== 'userns' || !report.available) return report;
  if (!facts.initialUserNamespace && facts.capabilities.sysAdmin) return report;
  return { rung, available: false, findings: [{ what: 'this process is not inside a user namespace of tsbuild' }] };
}

function announce(report: RungReport, passed: readonly RungReport[], events: EventSink): void {
  const weaker = report.findings.map((finding) => finding.what);
  const because =
    report.rung === 'root' || report.rung === 'userns'
      ? []
      : passed.flatMap((one) => one.findings.map((finding) => finding.what));
  const reasons = [...weaker, ...because].join('; ');
  events({
    kind: 'notice',
    level: report.rung === 'chroot' || report.rung === 'none' ? 'warning' : 'info',
    message: `isolation: ${report.rung}${reasons === '' ? '' : ` (${reasons})`}`,
    code: 'isolation',
  });
}

function unavailable(message: string, reports: readonly RungReport[]): TsbuildError {
  const findings = reports.flatMap((report) => report.findings.map((finding) => ({ ...finding, rung: report.rung })));
  const reasons = findings.map(({ rung, what }) => `${rung}: ${what}`).join('; ');
  const remedies = findings.filter((finding) => finding.remedy !== undefined);
  // A setting of the machine is worth more than the advice to be root.
  const remedy = (remedies.find(({ rung }) => rung === 'userns') ?? remedies[0])?.remedy;
  return new TsbuildError({
    code: 'sandbox-unavailable',
    message: reasons === '' ? message : `${message} (${reasons})`,
    hint: remedy ?? 'run `tsbuild doctor` to see what would enable it',
  });
}

/** The rung `none`: everything but RUN. */
class NoSandbox implements Sandbox {
  readonly rung = 'none';
  readonly #passed: readonly RungReport[];

  constructor(passed: readonly RungReport[]) {
    this.#passed = passed;
  }

  async run(): Promise<never> {
    throw unavailable('RUN needs a sandbox, and no rung of isolation works here', this.#passed);
  }

  prepare(): void {}

  async close(): Promise<void> {}
}
