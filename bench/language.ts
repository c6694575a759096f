/**
 * What reading costs, in CPU time of a process of its own, as every build pays it: nothing is warm,
 * and V8 runs as the program has it run meanwhile.
 * Invariant: user and system time of the measured part alone, other threads of the process (compiler, collector) included.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { PatternSet } from '../src/builder/context/pattern-set.ts';
import { parseDockerfile } from '../src/builder/dockerfile/index.ts';
import { planBuild, surveyStages } from '../src/builder/plan/index.ts';
import { patientEngine } from '../src/cli/engine-flags.ts';
import { plainOptions } from '../test/builder/plan/plan-of.ts';
import { median } from './measure.ts';

export interface LanguageScenario {
  readonly name: string;
  readonly about: string;
  /** Milliseconds of CPU it may cost. */
  readonly limit: number;
  /** Makes the input; not measured. @returns the measured part */
  prepare(): () => unknown;
}

export const languageScenarios: readonly LanguageScenario[] = [
  {
    name: 'parse',
    about: 'a Dockerfile of 5,000 lines, read and planned',
    limit: 100,
    prepare: () => {
      const text = longDockerfile(5000);
      return () => {
        const parsed = parseDockerfile(text, 'Dockerfile');
        return planBuild(parsed, plainOptions, surveyStages(parsed, plainOptions, new Map()), new Map());
      };
    },
  },
  {
    name: 'ignore',
    about: '50,000 files against 50 ignore patterns',
    limit: 500,
    prepare: () => {
      const patterns = ignorePatterns();
      return () => countIgnored(new PatternSet(patterns));
    },
  },
];

/** Milliseconds of CPU: the median of `runs` processes. */
export async function measureLanguage({ name }: LanguageScenario, runs: number): Promise<readonly number[]> {
  const results: number[] = [];
  for (let run = 0; run < runs; run += 1) {
    const script = `(await import(${JSON.stringify(import.meta.url)})).measureHere(${JSON.stringify(name)})`;
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    const options = [...patientEngine, '--input-type=module', '-e', script];
    const child = spawn(process.execPath, options, { stdio: [...stdio] });
    const exited = once(child, 'exit');
    const [milliseconds] = await Promise.race([once(child, 'message'), exited.then(() => [Number.NaN])]);
    await exited;
    results.push(Number(milliseconds));
  }
  return results;
}

export function printLanguage({ name, about, limit }: LanguageScenario, results: readonly number[]): void {
  const [low, high] = [Math.min(...results), Math.max(...results)];
  console.log(`\n${name}: ${about}`);
  console.log(`  ${median(results).toFixed(0)} ms of CPU  ${low.toFixed(0)}..${high.toFixed(0)}  (limit ${limit} ms)`);
}

/** In the child: one scenario, once. */
export function measureHere(name: string | undefined): void {
  const scenario = languageScenarios.find((one) => one.name === name);
  if (!scenario) throw new Error(`no such scenario: ${name}`);
  const work = scenario.prepare();
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  process.send?.((user + system) / 1000);
}

/** Instructions in the proportions people write them, each different from the others. */
function longDockerfile(lines: number): string {
  const text = ['# syntax=docker/dockerfile:1', 'FROM scratch AS build', 'ARG VERSION=1'];
  for (let part = 1; text.length < lines; part += 1) {
    text.push(
      `ENV NAME_${part}=value-\${VERSION}`,
      'RUN --mount=type=cache,target=/var/cache/apt apt-get update && \\',
      '    # what the next step needs',
      `    apt-get install -y package-${part} && \\`,
      '    rm -rf /var/lib/apt/lists/*',
      `COPY --chown=1000:1000 source/${part} package*.json /app/${part}/`,
      `LABEL org.example.step="${part}"`,
      `WORKDIR /app/$NAME_${part}`,
      `RUN ["/bin/echo", "step ${part}"]`,
      '',
    );
  }
  return text.slice(0, lines).join('\n');
}

/** Forty that name something, eight with a star at any depth, two that take back. */
function ignorePatterns(): readonly string[] {
  return [
    ...Array.from({ length: 20 }, (_, index) => `folder${index}/build*`),
    ...Array.from({ length: 20 }, (_, index) => `*.part${index}`),
    ...Array.from({ length: 8 }, (_, index) => `**/*.kind${index}`),
    '!folder3/build/keep.kind1',
    '!**/README.md',
  ];
}

/** Walks 500 folders of 100 files, as a context is walked. */
function countIgnored(patterns: PatternSet): number {
  let ignored = 0;
  for (let outer = 0; outer < 50; outer += 1) {
    const top = patterns.match(patterns.root, `folder${outer}`);
    const topState = patterns.enter(patterns.root, `folder${outer}`, top);
    for (let inner = 0; inner < 10; inner += 1) {
      const below = patterns.match(topState, `sub${inner}`);
      const state = patterns.enter(topState, `sub${inner}`, below);
      for (let file = 0; file < 100; file += 1) {
        if (patterns.match(state, `file${file}.kind${file % 20}`).matched) ignored += 1;
      }
    }
  }
  return ignored;
}
