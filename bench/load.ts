/**
 * `--load` of an image the engine has: what is measured is asking, for nothing is to be sent. Beside it the engine's own
 * cached build of the same Dockerfile, which has nothing to send either.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildWorkspace } from '../test/support/build-workspace.ts';
import { startDockerd } from '../test/support/dockerd.ts';
import { commandPath, tsbuildEnvironment } from '../test/support/tsbuild.ts';
import { measure, median } from './measure.ts';

export const loadScenario = { name: 'load-unchanged', about: 'an unchanged image of 1 GB, with --load' } as const;

export interface LoadTimes {
  /** Bytes of the image's layer. */
  readonly size: number;
  /** Milliseconds: built and sent; then the medians of what follows. */
  readonly first: number;
  readonly again: number;
  readonly engineAgain: number;
}

export async function measureLoad(runs: number, scale: number): Promise<LoadTimes> {
  await using engine = await startDockerd();
  await using place = buildWorkspace('bench-load');
  const megabytes = Math.round(1000 * scale);
  const context = place.context('context', {
    Dockerfile: `FROM base\nRUN dd if=/dev/urandom of=/random bs=1000000 count=${megabytes} 2>/dev/null\n`,
  });
  const command = [
    ...[process.execPath, commandPath, 'build', '--progress', 'plain', ...place.bases],
    ...['-t', 'load:1', '--load', context],
  ];
  const environment = { ...definedOnly(tsbuildEnvironment(place.home)), DOCKER_HOST: engine.host };
  const once = async () => (await measure(undefined, [command], environment)).milliseconds;
  const first = await once();
  const again: number[] = [];
  const engineAgain: number[] = [];
  // The engine builds from the image it has, so that it has as little to do as we.
  writeFileSync(join(context, 'Cached'), 'FROM load:1\nLABEL cached=1\n');
  const cached = engine.buildCommand('cached:1', context, ['-f', join(context, 'Cached')]);
  const engineOnce = async () => (await measure(undefined, [cached], { DOCKER_BUILDKIT: '1' })).milliseconds;
  await engineOnce();
  for (let run = 0; run < runs; run += 1) {
    again.push(await once());
    engineAgain.push(await engineOnce());
  }
  return { size: megabytes * 1_000_000, first, again: median(again), engineAgain: median(engineAgain) };
}

export function printLoad({ size, first, again, engineAgain }: LoadTimes): void {
  console.log(`\n${loadScenario.name}: ${loadScenario.about} (here ${size / 1_000_000} MB)`);
  console.log(`  built and sent             ${first.toFixed(0).padStart(8)} ms`);
  console.log(`  unchanged                  ${again.toFixed(0).padStart(8)} ms`);
  console.log(`  docker build, all cached   ${engineAgain.toFixed(0).padStart(8)} ms`);
}

function definedOnly(environment: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([key, value]) => (value === undefined ? [] : [[key, value]])),
  );
}
