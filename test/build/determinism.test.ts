/** What must not change an image: the machine it is built on. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { mustRun } from '../support/command.ts';
import { sha256 } from '../support/image-files.ts';
import { commandPath, tsbuildEnvironment } from '../support/tsbuild.ts';

let work: BuildWorkspace;
/** On a tmpfs, which lists the youngest name first. */
let elsewhere: string;
beforeAll(() => {
  work = buildWorkspace('determinism');
  elsewhere = mkdtempSync(`${existsSync('/dev/shm') ? '/dev/shm' : tmpdir()}/tsbuild-determinism-`);
});
afterAll(async () => {
  rmSync(elsewhere, { recursive: true, force: true });
  await work[Symbol.asyncDispose]();
});

const names = ['I', 'i', 'ä', 'z', 'Z', 'a-b', 'a', 'a.b', 'İ', 'ı', '10', '9', ' '];
/** More than two segments of a compressed layer. */
const text = Array.from({ length: 400_000 }, (_, i) => `line ${(i * 7919) % 104_729}\n`).join('');
const time = new Date('2020-02-03T04:05:06.789Z');

function writeContext(path: string, order: readonly string[]): string {
  for (const name of order) {
    const folder = `${path}/files/${name}`;
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    for (const file of order) writeFileSync(`${folder}/${file}`, `${name} ${file}\n`, { mode: 0o644 });
    for (const file of order) utimesSync(`${folder}/${file}`, time, time);
    utimesSync(folder, time, time);
  }
  writeFileSync(`${path}/text`, text, { mode: 0o644 });
  utimesSync(`${path}/text`, time, time);
  utimesSync(`${path}/files`, time, time);
  const steps = [
    'COPY files /files',
    'COPY text /',
    'RUN cp -r /files /copy && umask > /umask && mkdir /new && env > /env',
  ];
  writeFileSync(`${path}/Dockerfile`, ['FROM base', ...steps, ''].join('\n'));
  return path;
}

test('cores, locale, time zone, umask and the order of names on disk change no byte of an image', {
  timeout: 240_000,
}, async () => {
  const path = work.context('context', {});
  const context = writeContext(path, names);
  const other = writeContext(elsewhere, [...names].reverse());
  const ways: Readonly<Record<string, { wrapper: readonly string[]; context: string }>> = {
    plain: { wrapper: [], context },
    'one core': { wrapper: ['taskset', '-c', '0'], context },
    locale: { wrapper: ['env', 'LC_ALL=tr_TR.UTF-8', 'LANG=tr_TR.UTF-8', 'TZ=Asia/Tokyo'], context },
    'narrow umask': { wrapper: ['sh', '-c', 'umask 077; exec "$@"', 'sh'], context },
    'wide umask': { wrapper: ['sh', '-c', 'umask 0; exec "$@"', 'sh'], context },
    'other order': { wrapper: [], context: other },
  };
  const digests: Record<string, string> = {};
  for (const [name, way] of Object.entries(ways)) {
    const archive = `${work.path}/${name}.tar`;
    const output = `type=oci,dest=${archive},rewrite-timestamp=true`;
    const [program = '', ...args] = [
      ...[...way.wrapper, process.execPath, commandPath, 'build', '--progress', 'plain', ...work.bases],
      ...['-o', output, way.context],
    ];
    const env = { ...tsbuildEnvironment(`${work.path}/home ${name}`), SOURCE_DATE_EPOCH: '1600000000' };
    await mustRun(program, args, { env });
    digests[name] = sha256(readFileSync(archive));
  }
  expect(digests).toEqual(Object.fromEntries(Object.keys(ways).map((name) => [name, digests.plain])));
});
