/** A store on a disk that fills up, at many sizes, so that it fills in many places. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { buildWorkspace } from '../support/build-workspace.ts';
import { seededRandom } from '../support/killed-runs.ts';
import { startRegistry } from '../support/registry.ts';
import { requirement } from '../support/requirement.ts';
import { smallDisk, smallDiskMissing } from '../support/small-disk.ts';

const rounds = Number(process.env.TSBUILD_TEST_FULL_DISKS ?? 6);
const seed = Number(process.env.TSBUILD_TEST_SEED ?? Date.now() % 1_000_000);
const missing = smallDiskMissing();
requirement('a small disk', missing);

const megabyte = 1024 * 1024;
const dockerfile = `
FROM base AS files
ARG ROUND
RUN i=0; while [ $i -lt 100 ]; do echo $ROUND.$i >/f$i; i=$((i+1)); done; head -c 3000000 /dev/urandom >/random
FROM layered
ARG ROUND
USER root
COPY big /big
COPY --from=files / /files/
RUN echo $ROUND >/round; head -c 3000000 /dev/urandom >/random
`;

describe.skipIf(missing !== undefined)('a full disk', () => {
  test(
    `fails what needs more room and nothing else, at ${rounds} sizes (seed ${seed})`,
    async () => {
      await using registry = await startRegistry();
      await using place = buildWorkspace('full');
      const context = place.context('context', { Dockerfile: dockerfile, big: 'x'.repeat(3_000_000) });
      const pulled = `${registry.host}/pulled:1`;
      const build = (round: number, tag: string) => [
        ...['build', '--progress', 'plain', ...place.bases, '--build-arg', `ROUND=${round}`, '-t', tag, context],
      ];
      await place.build(context, ['-t', pulled]);
      await place.tsbuild(['push', pulled]);
      const point = join(place.path, 'disk');
      mkdirSync(point);
      await using disk = await smallDisk(point, 100 * megabyte);
      const must = async (args: readonly string[]) => {
        const finished = await disk.tsbuild(args);
        return finished.code === 0 ? [] : [`tsbuild ${args.join(' ')}: ${finished.text}${finished.stderr}`];
      };
      expect(await must(build(0, 'kept:1'))).toEqual([]);
      const index = () => disk.run('cat', [`${point}/home/index.json`]);
      const random = seededRandom(seed);
      const outcomes = { full: 0, done: 0 };
      for (let round = 1; round <= rounds; round += 1) {
        expect(await must(['prune', '--all'])).toEqual([]);
        const used = Number((await disk.run('du', ['-s', '-B1', point])).text.split('\t')[0]);
        await disk.resize(used + Math.floor(random() * 24 * megabyte) + 4096);
        const args = round % 3 === 0 ? ['pull', '--quiet', pulled] : build(round, 'full:1');
        const before = (await index()).text;
        const tried = await disk.tsbuild(args);
        outcomes[tried.code === 0 ? 'done' : 'full'] += 1;
        const faults = [
          // The step's own program meets the full disk first, or tsbuild does, and says so.
          ...(tried.code === 0 || /no space/i.test(tried.stderr) ? [] : [`it does not say why: ${tried.stderr}`]),
          ...(tried.code === 0 || (await index()).text === before
            ? []
            : ['a failed command changed the list of images']),
          ...(await must(['store', 'check'])),
          ...(await must(['images'])),
          ...(await must(['prune', '--all'])),
          ...((await disk.run('ls', ['-A', `${point}/home/ingest`])).text === '' ? [] : ['drafts stay']),
        ];
        await disk.resize(100 * megabyte);
        faults.push(...(await must(args)), ...(await must(['store', 'check'])));
        expect(faults, `round ${round}: ${args[0]}: ${tried.stderr}`).toEqual([]);
        await disk.tsbuild(['rmi', '--force', pulled, 'full:1']);
      }
      expect(outcomes.full).toBeGreaterThan(0);
      const skopeo = ['--insecure-policy', 'inspect', `oci:${point}/home:docker.io/library/kept:1`];
      expect((await disk.run('skopeo', skopeo)).code).toBe(0);
    },
    Math.max(120_000, rounds * 10_000),
  );
});
