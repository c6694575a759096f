import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { parseManifest, readBlob, readManifest } from '../../../src/image/index.ts';
import { type LocalStore, openStore } from '../../../src/layers/index.ts';
import { bundleProgram, startProgram } from '../../support/child-program.ts';
import { never, temporaryFolder, temporaryStore } from '../../support/store.ts';

/** Does to a map of names what a program said it did to the store. */
function applyLines(lines: readonly string[], names: Map<string, string>): void {
  for (const line of lines) {
    const [what, name = '', digest = ''] = line.split(' ');
    if (what === 'tagged') names.set(`docker.io/library/${name}`, digest);
    if (what === 'untagged') names.delete(`docker.io/library/${name}`);
  }
}

async function expectSound(store: LocalStore): Promise<void> {
  const result = await store.check({ signal: never });
  expect(result).toMatchObject({ damaged: [], missing: [], absentLayers: [], strangers: [] });
  for (const { target } of await store.images()) {
    const document = parseManifest(await readManifest(store, target, never), target.mediaType);
    if (document.kind === 'manifest') await readBlob(store, document.config, never);
  }
}

describe('several processes on one store', () => {
  test('that build, name, compress, unpack and prune at the same time lose nothing that has a name', async () => {
    const script = await bundleProgram('layers/store/children/churn.ts');
    const root = join(temporaryFolder(), 'store');
    const expected = new Map<string, string>();
    // Short lives, one after another in each lane: prune takes only what is older than every process that lives.
    const lanes = Array.from({ length: 8 }, async (_, lane) => {
      for (let life = 0; life < 6; life += 1) {
        const program = startProgram(script, [root, `p${lane}`, '5', String(lane * 10 + life + 1)]);
        expect(await program.ended, program.errors()).toBe(0);
        applyLines(program.lines, expected);
      }
    });
    await Promise.all(lanes);
    const store = await temporaryStore({ root });
    await expectSound(store);
    expect(expected.size).toBeGreaterThan(8);
    expect(new Map((await store.images()).map(({ name, target }) => [name, target.digest]))).toEqual(expected);
    expect(readdirSync(join(root, 'ingest'))).toEqual([]);
  }, 180_000);

  test('that are killed at any instant leave a store that the next one uses and cleans', async () => {
    const script = await bundleProgram('layers/store/children/churn.ts');
    const root = join(temporaryFolder(), 'store');
    let names = new Map<string, string>();
    let tagged = 0;
    for (let round = 0; round < 25; round += 1) {
      const programs = [1, 2].map((n) => startProgram(script, [root, `p${n}`, '1000', String(round * 2 + n)]));
      await Promise.all(programs.map((program) => program.started));
      // Anywhere within a few rounds of the program, counted by what it said: on a busy machine they take their time.
      const said = () => Math.max(...programs.map((program) => program.lines.length));
      for (let attempt = 0; attempt < 600 && said() < 1 + (round % 3); attempt += 1) await sleep(20);
      await sleep((round * 37) % 190);
      for (const program of programs) program.process.kill('SIGKILL');
      for (const program of programs) expect(await program.ended, program.errors()).toBe('SIGKILL');
      await using store = await disposable(root);
      await expectSound(store.store);
      const current = new Map((await store.store.images()).map(({ name = '', target }) => [name, target.digest]));
      // What a program said it had done is done. Only what it was doing when it died may be done or not.
      for (const program of programs) applyLines(program.lines, names);
      tagged += programs.flatMap(({ lines }) => lines).filter((line) => line.startsWith('tagged ')).length;
      expect(differences(names, current).length).toBeLessThanOrEqual(programs.length);
      names = current;
      // Anything that writes cleans up after the dead.
      await store.store.putBytes('text/plain', Buffer.from(`round ${round}`));
      await store.store.close();
      expect(readdirSync(join(root, 'ingest'))).toEqual([]);
    }
    expect(tagged).toBeGreaterThan(0);
  }, 240_000);

  test('wait for each other only where they must: a lock goes with its holder, however that ends', async () => {
    const root = join(temporaryFolder(), 'store');
    const [one, two] = [await temporaryStore({ root }), await temporaryStore({ root })];
    const shared = [await one.lock('mount /a', 'shared', never), await two.lock('mount /a', 'shared', never)];
    expect(await two.tryLock('mount /a', 'exclusive')).toBeUndefined();
    expect(await two.tryLock('mount /b', 'exclusive')).toBeDefined();
    const stop = new AbortController();
    const waiting = two.lock('mount /a', 'exclusive', stop.signal);
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
    for (const lock of shared) await lock[Symbol.asyncDispose]();
    await using lock = await two.lock('mount /a', 'exclusive', never);
    expect(lock).toBeDefined();
    expect(await one.tryLock('mount /a', 'shared')).toBeUndefined();
    expect(await one.tryLock('../../etc/passwd', 'shared')).toBeDefined();
    expect(readdirSync(join(root, 'locks')).every((name) => /^[a-z0-9-]+$/.test(name))).toBe(true);
  });
});

function differences(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string[] {
  return [...new Set([...a.keys(), ...b.keys()])].filter((name) => a.get(name) !== b.get(name));
}

async function disposable(root: string): Promise<AsyncDisposable & { readonly store: LocalStore }> {
  const store = await openStore(root);
  return { store, [Symbol.asyncDispose]: () => store.close() };
}
