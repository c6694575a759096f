import { chmodSync, cpSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { type RunOptions, run } from '../support/command.ts';
import { startRegistry } from '../support/registry.ts';
import { temporaryFolder } from '../support/store.ts';
import { commandPath } from '../support/tsbuild.ts';

function installed(): {
  version: (flags?: string[], options?: RunOptions) => Promise<string>;
  codes: () => string[];
  folder: string;
} {
  const folder = temporaryFolder('tsbuild-launch-');
  const isCode = (name: string) => name.endsWith('.code');
  cpSync(dirname(commandPath), folder, { recursive: true, filter: (path) => !isCode(path) && !path.endsWith('bench') });
  return {
    folder,
    version: async (flags = [], options = {}) => {
      const done = await run(process.execPath, [...flags, join(folder, 'tsbuild.js'), 'version'], options);
      return `${done.code} ${done.text}${done.stderr}`;
    },
    codes: () => readdirSync(folder).filter(isCode),
  };
}

test('the first start of a command keeps its machine code, and the next ones leave it as it is', async () => {
  const { version, codes, folder } = installed();
  const first = await version();
  expect(first).toMatch(/^0 tsbuild \d/);
  const [code = ''] = codes();
  expect(code).toMatch(/^program-[0-9a-f]{12}\.js\.v\d.*\.version\.code$/);
  const kept = statSync(join(folder, code));
  expect(kept.size).toBeGreaterThan(10_000);
  expect(await version()).toBe(first);
  expect(codes()).toEqual([code]);
  expect(statSync(join(folder, code)).ino).toBe(kept.ino);
});

test('machine code that is damaged, cut off or made under other flags is made again', async () => {
  const { version, codes, folder } = installed();
  const first = await version();
  const path = join(folder, codes()[0] ?? '');
  const { size } = statSync(path);
  for (const damage of [() => truncateSync(path, size >> 1), () => writeFileSync(path, Buffer.alloc(size, 'x'))]) {
    damage();
    const { ino } = statSync(path);
    expect(await version()).toBe(first);
    expect(statSync(path).ino).not.toBe(ino);
  }
  const { ino } = statSync(path);
  expect(await version(['--no-opt'])).toBe(first);
  expect(statSync(path).ino).not.toBe(ino);
});

test('a user who may not write there gets the same, and leaves nothing', async () => {
  const { version, codes, folder } = installed();
  chmodSync(folder, 0o755);
  const nobody = { uid: 65534, gid: 65534 };
  expect(await version([], nobody)).toMatch(/^0 tsbuild \d/);
  expect(codes()).toEqual([]);
});

test('so do commands that speak to a registry, and the part that does', async () => {
  const { codes, folder } = installed();
  await using registry = await startRegistry();
  const work = temporaryFolder('tsbuild-launch-store-');
  const command = (...args: string[]) =>
    run(process.execPath, [join(folder, 'tsbuild.js'), ...args], { env: { TSBUILD_HOME: join(work, 'store') } });
  const image = `${registry.host}/launched:1`;
  writeFileSync(join(work, 'Dockerfile'), 'FROM scratch\nLABEL a=b\n');
  const inodes = () => codes().map((name) => `${name} ${statSync(join(folder, name)).ino}`);
  expect((await command('build', '-q', '--push', '-t', image, work)).stderr).toBe('');
  const { text } = await command('digest', image);
  expect(
    codes()
      .map((name) => name.replace(/-.*\.(\w+)\.code/, ' $1'))
      .sort(),
  ).toEqual(['program build', 'query digest', 'undici build', 'undici digest']);
  const kept = inodes();
  writeFileSync(join(work, 'Dockerfile'), `FROM ${image}\nLABEL a=c\n`);
  expect((await command('build', '-q', '--push', '-t', `${image}2`, work)).code).toBe(0);
  expect((await command('digest', image)).text).toBe(text);
  expect(inodes()).toEqual(kept);
});
