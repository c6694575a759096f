/**
 * Kills real runs at random instants. TSBUILD_TEST_KILLS chooses how many (the full number is 200),
 * TSBUILD_TEST_SEED repeats a run.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import {
  killAfter,
  leftBehind,
  namesInStore,
  seededRandom,
  unreadableBySkopeo,
  type Victim,
} from '../support/killed-runs.ts';
import { startRegistry } from '../support/registry.ts';
import { type TsbuildOptions, tsbuild } from '../support/tsbuild.ts';

const kills = Number(process.env.TSBUILD_TEST_KILLS ?? 30);
const seed = Number(process.env.TSBUILD_TEST_SEED ?? Date.now() % 1_000_000);
/** Stands in the command line of every RUN's shell. */
const marker = `step-of-killed-run-${process.pid}-${seed}`;

const dockerfile = `
FROM base AS files
ARG ROUND
RUN : ${marker}; i=0; while [ $i -lt 200 ]; do echo $ROUND.$i >/f$i; i=$((i+1)); done
FROM layered AS changes
ARG ROUND
USER root
COPY big /big
RUN : ${marker}; rm -r /data/keep; ln -s /nowhere /data/link2; echo $ROUND >/data/round; sleep 0.15
FROM base
COPY --from=files / /files/
COPY --from=changes /data /data/
RUN : ${marker}; (while :; do sleep 1; done) & head -c 4000000 /dev/urandom >/random
`;

interface Action {
  readonly name: string;
  /** Puts the store in a state in which the run has work to do. */
  prepare?(): Promise<void>;
  args(): readonly string[];
}

function actionsOf(place: BuildWorkspace, registry: string): readonly Action[] {
  const context = place.context('context', { Dockerfile: dockerfile, big: 'x'.repeat(2_000_000) });
  let round = 0;
  const build = (more: readonly string[]) => [
    ...['build', '--progress', 'plain', ...place.bases, '--build-arg', `ROUND=${round}`, ...more, context],
  ];
  const step = (make: () => readonly string[]) => () => {
    round += 1;
    return make();
  };
  const forget = async () => {
    await place.tsbuild(['rmi', '--force', `${registry}/pulled:1`]);
    await place.tsbuild(['prune', '--all']);
  };
  return [
    { name: 'build', args: step(() => build(['-t', 'killed:build'])) },
    { name: 'build to an archive', args: step(() => build(['-o', `type=oci,dest=${place.path}/out.tar`])) },
    { name: 'cached build', args: () => build(['-t', 'killed:cached', '-t', `killed:cached-${round % 5}`]) },
    { name: 'pull', prepare: forget, args: () => ['pull', '--quiet', `${registry}/pulled:1`] },
    { name: 'FROM the registry', prepare: forget, args: () => build(['-f', `${context}/Pulled`, '-t', 'killed:from']) },
    { name: 'load', args: () => ['load', '--quiet', '-i', `${place.path}/saved.tar`] },
    { name: 'save', args: () => ['save', '-o', `${place.path}/again.tar`, 'kept:1'] },
    { name: 'push', args: () => ['push', '--quiet', `${registry}/pushed:1`] },
    { name: 'prune', args: () => ['prune'] },
    { name: 'prune of everything', args: () => ['prune', '--all'] },
    { name: 'prune to a size', args: () => ['prune', '--keep-storage', '2m'] },
  ];
}

test(
  `runs killed at ${kills} random instants (seed ${seed}) leave a store the next run uses and cleans`,
  async () => {
    await using registry = await startRegistry();
    await using place = buildWorkspace('crash');
    const random = seededRandom(seed);
    const actions = actionsOf(place, registry.host);
    const context = join(place.path, 'context');
    place.context('context', { Pulled: `FROM ${registry.host}/pulled:1\nRUN : ${marker}; echo more >/more\n` });
    await place.build(context, ['-t', 'kept:1', '-t', `${registry.host}/pulled:1`, '-t', `${registry.host}/pushed:1`]);
    await place.tsbuild(['push', `${registry.host}/pulled:1`]);
    await place.tsbuild(['save', '-o', join(place.path, 'saved.tar'), 'kept:1']);
    const must = async (args: readonly string[], options: Partial<TsbuildOptions> = {}) => {
      const finished = await tsbuild(args, { home: place.home, ...options });
      return finished.code === 0 ? [] : [`tsbuild ${args.join(' ')}: ${finished.text}${finished.stderr}`];
    };
    const durations = new Map<string, number>();
    for (const action of actions) {
      await action.prepare?.();
      const args = action.args();
      const start = performance.now();
      await place.tsbuild(args);
      durations.set(action.name, performance.now() - start);
    }
    const living = place.build(place.context('living', { Dockerfile: `FROM base\nRUN : ${marker}; sleep 5; :\n` }));
    // Until its step runs, or 30 s: the machine may be busy.
    let foundAlive: string[] = [];
    for (
      let attempt = 0;
      attempt < 300 && !foundAlive.some((line) => line.includes('its command line'));
      attempt += 1
    ) {
      foundAlive = await leftBehind(place.home, marker, 1);
    }
    await living;
    const reached = { killed: 0, finished: 0 };
    for (let round = 1; round <= kills; round += 1) {
      const action = actions[Math.floor(random() * actions.length)] ?? actions[0];
      if (action === undefined) throw new Error('no actions');
      await action.prepare?.();
      const before = namesInStore(place.home);
      const victim: Victim = random() < 0.5 ? 'group' : 'main';
      const delay = random() * (durations.get(action.name) ?? 500);
      const args = action.args();
      const killed = await killAfter(args, { home: place.home, victim, delay });
      reached[killed.code === null ? 'killed' : 'finished'] += 1;
      const faults = [
        ...(killed.code === null || killed.code === 0 ? [] : [`it failed before it was killed: ${killed.stderr}`]),
        ...[...before.keys()].filter((name) => !namesInStore(place.home).has(name)).map((name) => `${name} is gone`),
        ...(await must(['store', 'check'])),
        ...(await must(args)),
        ...(await leftBehind(place.home, marker)),
        ...(round % 5 === 0 ? await must(['store', 'check']) : []),
        ...(round % 10 === 0 || round === kills ? await unreadableBySkopeo(place.home, join(place.path, 'copy')) : []),
      ];
      expect(faults, `round ${round}: ${action.name}, ${victim} killed after ${delay.toFixed(1)} ms`).toEqual([]);
      rmSync(join(place.path, 'again.tar'), { force: true });
    }
    // Otherwise what is looked for could not be found, or the instants were chosen too late: nothing was shown.
    expect(foundAlive).toEqual(expect.arrayContaining([expect.stringContaining('its command line')]));
    expect(reached.killed).toBeGreaterThan(kills / 3);
  },
  Math.max(120_000, kills * 6_000),
);
