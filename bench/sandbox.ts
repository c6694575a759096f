/**
 * What isolating a RUN costs: beside the same number of bare `unshare ... chroot`, on few and on many layers, and for the
 * first one. All of a run's commands are done in turn, so that what else the machine does hits all alike.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { busyboxImage, busyboxPath } from '../test/support/base-images.ts';
import { writeOciLayout } from '../test/support/image-files.ts';
import { commandPath } from '../test/support/tsbuild.ts';
import { measure } from './measure.ts';

export const sandboxScenario = {
  name: 'sandbox',
  about: 'RUN steps beside bare unshare, on few and on 80 to 120 layers',
};

/** Milliseconds. */
export interface SandboxResults {
  /** 50 RUN steps without cache, all of tsbuild included. */
  readonly fiftySteps: number;
  /** 50 times `unshare -mpfiun chroot ROOT true`, one after the other. */
  readonly fiftyUnshares: number;
  /** One more RUN: the mean of forty, on top of 1 to 40 layers and of 80 to 120. */
  readonly stepOnOneLayer: number;
  readonly stepOnManyLayers: number;
  /** A build with one RUN, without cache, less the same one without RUN: probe, helper, network, layer. */
  readonly firstStep: number;
}

interface Case {
  readonly layers: number;
  readonly steps: number;
}

const cases = {
  none: { layers: 1, steps: 0 },
  one: { layers: 1, steps: 1 },
  fifty: { layers: 1, steps: 50 },
  fewer: { layers: 1, steps: 1 },
  more: { layers: 1, steps: 41 },
  fewerOnMany: { layers: 80, steps: 1 },
  moreOnMany: { layers: 80, steps: 41 },
} as const satisfies Readonly<Record<string, Case>>;

export async function measureSandbox(runs: number, folder: string): Promise<SandboxResults> {
  mkdirSync(folder, { recursive: true });
  writeOciLayout(`${folder}/base`, [busyboxImage()]);
  const root = unpackedRoot(`${folder}/root`);
  const environment = { TSBUILD_HOME: `${folder}/home` };
  const times = new Map<string, number[]>();
  const note = (name: string, milliseconds: number) => times.set(name, [...(times.get(name) ?? []), milliseconds]);
  for (const [name, { layers, steps }] of Object.entries(cases)) writeContext(`${folder}/${name}`, layers, steps);
  // The first run fills what later runs find filled: page cache, unpacked base, layers beneath.
  for (let run = 0; run <= runs; run += 1) {
    for (const name of Object.keys(cases)) {
      const command = buildCommand(folder, name, run);
      const { milliseconds } = await measure(undefined, [command], environment);
      if (run > 0) note(name, milliseconds);
    }
    const loop = `i=0; while [ $i -lt 50 ]; do unshare -mpfiun chroot ${root} true; i=$((i+1)); done`;
    const { milliseconds } = await measure(undefined, [['sh', '-c', loop]], {});
    if (run > 0) note('unshares', milliseconds);
  }
  // The least of a few: differences of medians would be those of what else the machine did.
  const of = (name: string) => Math.min(...(times.get(name) ?? []));
  return {
    fiftySteps: of('fifty'),
    fiftyUnshares: of('unshares'),
    stepOnOneLayer: (of('more') - of('fewer')) / 40,
    stepOnManyLayers: (of('moreOnMany') - of('fewerOnMany')) / 40,
    firstStep: of('one') - of('none'),
  };
}

export function printSandbox(results: SandboxResults): void {
  const { fiftySteps, fiftyUnshares, stepOnOneLayer, stepOnManyLayers, firstStep } = results;
  const ms = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} ms`.padStart(9);
  console.log(`\n${sandboxScenario.name}: ${sandboxScenario.about}`);
  console.log(`  50 RUN steps       ${ms(fiftySteps)}`);
  console.log(
    `  50 bare unshares   ${ms(fiftyUnshares)}  tsbuild / unshare = ${(fiftySteps / fiftyUnshares).toFixed(2)} (at most 2.5)`,
  );
  console.log(`  a RUN on 1 to 40   ${ms(stepOnOneLayer)}`);
  console.log(
    `  a RUN on 80 to 120 ${ms(stepOnManyLayers)}  many / few = ${(stepOnManyLayers / stepOnOneLayer).toFixed(2)}`,
  );
  console.log(`  the first RUN      ${ms(firstStep)}  more than none (at most 60 ms)`);
}

/** The layers beneath are cached, the RUN steps are not: they see another ARG each time, and in each case. */
function writeContext(context: string, layers: number, steps: number): void {
  mkdirSync(context, { recursive: true });
  const copies = Array.from({ length: layers - 1 }, (_, index) => `COPY f /f${index}`);
  const runs = Array.from({ length: steps }, (_, index) => `RUN echo ${index} > /run${index}`);
  writeFileSync(`${context}/f`, '');
  writeFileSync(`${context}/Dockerfile`, ['FROM base', ...copies, 'ARG RUN', ...runs, ''].join('\n'));
}

function buildCommand(folder: string, name: string, run: number): string[] {
  return [
    ...[process.execPath, commandPath, 'build', '--progress', 'plain', '--build-arg', `RUN=${name}-${run}`],
    ...['--build-context', `base=oci-layout://${folder}/base:base`, `${folder}/${name}`],
  ];
}

function unpackedRoot(root: string): string {
  mkdirSync(`${root}/bin`, { recursive: true });
  execFileSync('cp', [busyboxPath, `${root}/bin/busybox`]);
  symlinkSync('busybox', `${root}/bin/true`);
  return root;
}
