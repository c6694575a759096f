/**
 * The benchmark: every builder does every scenario, in turn, so that what else the machine does hits all alike. Prints
 * medians, ratios and peak memory, and writes them as JSON.
 * Invariant: trust the ratios of one run, never seconds across machines.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { type Builder, startBuilders } from './builders.ts';
import { languageScenarios, measureLanguage, printLanguage } from './language.ts';
import { loadScenario, measureLoad, printLoad } from './load.ts';
import { type Measurement, measure, median } from './measure.ts';
import { measureSandbox, printSandbox, sandboxScenario } from './sandbox.ts';
import { type Scenario, scenarios } from './scenarios.ts';

interface Row {
  readonly scenario: string;
  readonly builder: string;
  readonly runs: readonly Measurement[];
  /** Milliseconds. */
  readonly median: number;
  /** Milliseconds of CPU time: less sensitive to what else the machine does. */
  readonly cpu: number;
  /** Bytes of resident memory of the builder, its daemon included, at its highest. */
  readonly peakMemory: number;
}

export { measureHere } from './language.ts';

/** @returns the exit code */
export async function main(argv: readonly string[], results: string): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: { quick: { type: 'boolean' }, only: { type: 'string', multiple: true }, runs: { type: 'string' } },
  });
  const isChosen = ({ name }: { readonly name: string }) =>
    !values.only || values.only.some((part) => name.includes(part));
  const chosen = scenarios.filter(isChosen);
  const chosenLanguage = languageScenarios.filter(isChosen);
  const [loads, sandboxChosen] = [isChosen(loadScenario), isChosen(sandboxScenario)];
  if (chosen.length + chosenLanguage.length === 0 && !loads && !sandboxChosen) {
    const all = [...languageScenarios, loadScenario, sandboxScenario, ...scenarios];
    console.error(`no such scenario; there are: ${all.map(({ name }) => name).join(' ')}`);
    return 1;
  }
  const runs = values.runs === undefined ? (values.quick ? 1 : 5) : Math.max(1, Number(values.runs));
  const scale = values.quick ? 0.1 : 1;
  for (const scenario of chosenLanguage) printLanguage(scenario, await measureLanguage(scenario, runs));
  if (loads) printLoad(await measureLoad(runs, scale));
  await using folder = temporaryFolder('bench', 0o755);
  if (sandboxChosen) printSandbox(await measureSandbox(runs, folder.join('sandbox')));
  if (chosen.length === 0) return 0;
  const builders = await startBuilders(folder.join('builders'));
  const rows: Row[] = [];
  try {
    for (const scenario of chosen) {
      const setting = { runs: scenario.alone ? 1 : runs, scale, folder: folder.join(scenario.name) };
      const contenders = builders.filter(({ name }) => !scenario.alone || name === 'tsbuild');
      const done = await runScenario(scenario, contenders, setting);
      rows.push(...done);
      printScenario(scenario, done, scale);
    }
  } finally {
    for (const builder of builders) await builder[Symbol.asyncDispose]();
  }
  const file = `${results}/${new Date().toISOString().replaceAll(':', '-')}.json`;
  mkdirSync(results, { recursive: true });
  writeFileSync(file, `${JSON.stringify({ machine: machine(), quick: values.quick ?? false, rows }, null, 2)}\n`);
  console.log(`\nwritten to ${file}`);
  return 0;
}

interface Setting {
  readonly runs: number;
  readonly scale: number;
  readonly folder: string;
}

async function runScenario(scenario: Scenario, builders: readonly Builder[], setting: Setting): Promise<Row[]> {
  const { runs, scale, folder } = setting;
  const measured = new Map<string, Measurement[]>();
  const add = (name: string, value: Measurement) => measured.set(name, [...(measured.get(name) ?? []), value]);
  const contexts = new Map(builders.map(({ name }) => [name, `${folder}/${name}`]));
  for (const builder of builders) {
    const context = contexts.get(builder.name) ?? '';
    mkdirSync(context, { recursive: true });
    scenario.prepare(context, scale);
    // The first run fills what later runs find filled: page cache, unpacked base, and the cache where it may be used.
    if (!scenario.alone) await measure(builder, scenario.commands(builder, context), builder.environment);
  }
  for (let run = 0; run < runs; run += 1) {
    if (scenario.baseline) add('node -e 0', await measure(undefined, [[process.execPath, '-e', '0']], {}));
    for (const builder of builders) {
      const context = contexts.get(builder.name) ?? '';
      scenario.beforeRun?.(context, run);
      await settle();
      add(builder.name, await measure(builder, scenario.commands(builder, context), builder.environment));
    }
    const byHand = scenario.byHand?.(folder, scale);
    if (!byHand || !existsSync(byHand.needs)) continue;
    await settle();
    add(byHand.name, await measure(undefined, [['sh', '-c', byHand.script]], {}));
  }
  return [...measured].map(([builder, list]) => ({
    scenario: scenario.name,
    builder,
    runs: list,
    median: median(list.map(({ milliseconds }) => milliseconds)),
    cpu: median(list.map(({ cpuMilliseconds }) => cpuMilliseconds)),
    peakMemory: Math.max(...list.map(({ peakMemory }) => peakMemory)),
  }));
}

/** What one contender left for the disk to be written is not the next one's to wait for. */
async function settle(): Promise<void> {
  await measure(undefined, [['sync']], {});
}

function printScenario(scenario: Scenario, rows: readonly Row[], scale: number): void {
  const ours = rows.find(({ builder }) => builder === 'tsbuild')?.median ?? Number.NaN;
  console.log(`\n${scenario.name}: ${scenario.about}${scale === 1 ? '' : ` (counts times ${scale})`}`);
  for (const { builder, median: time, cpu, peakMemory, runs } of rows) {
    const cells = [
      builder.padEnd(10),
      `${time.toFixed(0)} ms`.padStart(10),
      `${Math.min(...runs.map(({ milliseconds }) => milliseconds)).toFixed(0)}..${Math.max(...runs.map(({ milliseconds }) => milliseconds)).toFixed(0)}`.padStart(
        14,
      ),
      `${cpu.toFixed(0)} ms CPU`.padStart(13),
      `${(peakMemory / 2 ** 20).toFixed(0)} MiB`.padStart(10),
      builder === 'tsbuild' ? '' : `tsbuild / ${builder} = ${(ours / time).toFixed(2)}`,
    ];
    console.log(`  ${cells.join('  ').trimEnd()}`);
  }
}

function machine(): Readonly<Record<string, unknown>> {
  const [cpu] = cpus();
  return { cpu: cpu?.model, cores: cpus().length, memory: totalmem(), kernel: release(), node: process.version };
}
