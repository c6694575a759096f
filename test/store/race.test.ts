/**
 * Eight lanes of real processes on one store for a bounded time. TSBUILD_TEST_SECONDS makes it longer,
 * TSBUILD_TEST_SEED repeats the order of what each lane does.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildWorkspace } from '../support/build-workspace.ts';
import { leftBehind, namesInStore, seededRandom, unreadableBySkopeo } from '../support/killed-runs.ts';
import { startRegistry } from '../support/registry.ts';
import { tsbuild } from '../support/tsbuild.ts';

const seconds = Number(process.env.TSBUILD_TEST_SECONDS ?? 15);
const seed = Number(process.env.TSBUILD_TEST_SEED ?? Date.now() % 1_000_000);
const lanes = 8;

const dockerfile = `
FROM base AS shared
RUN i=0; while [ $i -lt 50 ]; do echo $i >/f$i; i=$((i+1)); done
FROM layered
ARG ROUND
USER root
COPY --from=shared / /shared/
RUN echo $ROUND >/round
COPY file /file
`;

test(
  `eight processes that build, pull, tag, untag, save, load and prune for ${seconds} s lose nothing that is tagged (seed ${seed})`,
  async () => {
    await using registry = await startRegistry();
    await using place = buildWorkspace('race');
    const context = place.context('context', { Dockerfile: dockerfile, file: 'file\n' });
    const pulled = `${registry.host}/pulled:1`;
    await place.build(context, ['-t', pulled, '-t', 'kept:1', '--build-arg', 'ROUND=kept']);
    await place.tsbuild(['push', pulled]);
    await place.tsbuild(['save', '-o', join(place.path, 'kept.tar'), 'kept:1']);
    // What an archive holds has uncompressed layers and so a manifest of its own: from now on loading it changes nothing.
    await place.tsbuild(['load', '-i', join(place.path, 'kept.tar')]);
    await place.build(context, ['-t', 'moving:1', '--build-arg', 'ROUND=moving']);
    const expected = new Map([['docker.io/library/kept:1', namesInStore(place.home).get('docker.io/library/kept:1')]]);
    const faults: string[] = [];
    const done = new Map<string, number>();
    const end = performance.now() + seconds * 1000;

    const lane = async (number: number): Promise<void> => {
      const random = seededRandom(seed * 100 + number);
      const own = `lane${number}`;
      const full = (name: string) => `docker.io/library/${name}`;
      const must = async (...args: string[]) => {
        const finished = await tsbuild(args, { home: place.home, cwd: place.path });
        if (finished.code !== 0) faults.push(`${own}: tsbuild ${args.join(' ')}: ${finished.text}${finished.stderr}`);
      };
      /** Only this lane writes the names that begin with its own. */
      const remember = (name: string) => expected.set(full(name), namesInStore(place.home).get(full(name)));
      const build = async (round: number, ...more: string[]) => {
        const args = ['--progress', 'plain', ...place.bases, '--build-arg', `ROUND=${own}-${round}`, ...more, context];
        await must('build', ...args);
      };
      const actions: Readonly<Record<string, (round: number) => Promise<void>>> = {
        build: async (round) => {
          await build(round, '-t', `${own}:built`);
          remember(`${own}:built`);
        },
        'build without a name': (round) => build(round),
        'build to an archive': (round) => build(round, '-o', `type=oci,dest=${own}.oci.tar,compression=zstd`),
        pull: () => must('pull', '--quiet', pulled),
        load: () => must('load', '--quiet', '-i', 'kept.tar'),
        'tag and untag': async (round) => {
          await must('tag', `${own}:first`, `${own}:tag${round}`);
          remember(`${own}:tag${round}`);
          if (random() < 0.6) {
            await must('rmi', `${own}:tag${round}`);
            expected.delete(full(`${own}:tag${round}`));
          }
        },
        // Whoever builds it last has the name; what it stood for before may be pruned at once.
        'build under a name of all': (round) => build(round, '-t', 'moving:1'),
        'save under a name of all': () => must('save', '-o', `${own}.tar`, 'moving:1'),
        save: () => must('save', '-o', `${own}.tar`, `${own}:first`, 'kept:1'),
        push: () => must('push', '--quiet', pulled),
        check: () => must('store', 'check'),
        prune: () => must('prune'),
        'prune everything': () => must('prune', '--all'),
        'prune to a size': () => must('prune', '--keep-storage', '1m'),
      };
      await build(0, '-t', `${own}:first`);
      remember(`${own}:first`);
      const names = Object.keys(actions);
      for (let round = 1; performance.now() < end && faults.length === 0; round += 1) {
        const name = names[Math.floor(random() * names.length)] ?? 'build';
        await actions[name]?.(round);
        done.set(name, (done.get(name) ?? 0) + 1);
      }
    };
    await Promise.all(Array.from({ length: lanes }, (_, number) => lane(number)));

    expect(faults).toEqual([]);
    expect(done.size).toBeGreaterThan(6);
    expect([...expected.values()]).not.toContain(undefined);
    const names = namesInStore(place.home);
    for (const name of [pulled, 'docker.io/library/moving:1']) expect(names.delete(name)).toBe(true);
    expect(new Map([...names].sort())).toEqual(new Map([...expected].sort()));
    const check = await place.tsbuild(['store', 'check']);
    expect(check.text).toContain('Nothing is damaged');
    // Layers of a base count as absent, not as missing: here every one had been fetched.
    expect(check.text).not.toContain('never fetched');
    expect(await unreadableBySkopeo(place.home, join(place.path, 'copy'))).toEqual([]);
    expect(await leftBehind(place.home, 'no step holds this')).toEqual([]);
    expect(readdirSync(join(place.home, 'ingest'))).toEqual([]);
  },
  120_000 + seconds * 4_000,
);
