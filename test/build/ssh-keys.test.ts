/** `--ssh id=KEYFILE`: the real ssh-add inside a RUN sees the keys, and no key gets into the image. */
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { mustRun, run } from '../support/command.ts';

let work: BuildWorkspace;
let context: string;
beforeAll(async () => {
  work = buildWorkspace('ssh-keys');
  context = work.context('context', {
    Dockerfile:
      'FROM base\nCOPY program /\nRUN --mount=type=ssh --mount=type=ssh,id=work ssh-add -l && ssh-add -L > /keys\n',
  });
  const program = (await mustRun('sh', ['-c', 'readlink -f "$(command -v ssh-add)"'])).text.trim();
  const { text } = await mustRun('ldd', [program]);
  const libraries = (text.match(/\/\S+/g) ?? []).map((path) => [path, path] as const);
  for (const [path, place] of [[program, '/bin/ssh-add'] as const, ...libraries]) {
    mkdirSync(dirname(`${context}/program${place}`), { recursive: true });
    cpSync(path, `${context}/program${place}`, { dereference: true });
  }
  for (const [name, passphrase] of [
    ['one', ''],
    ['two', ''],
    ['locked', 'open sesame'],
  ] as const) {
    await mustRun('ssh-keygen', ['-q', '-t', 'ed25519', '-N', passphrase, '-C', name, '-f', `${work.path}/${name}`]);
  }
});
afterAll(async () => await work[Symbol.asyncDispose]());

test('a RUN has the keys of the files, and the image none of them', async () => {
  const given = `--ssh=default=${work.path}/one,${work.path}/two`;
  const { stderr } = await work.build(context, [given, `--ssh=work=${work.path}/two`, '-t', 'keys:1']);
  expect(stderr).toMatch(/SHA256:\S+ one \(ED25519\)[\s\S]*SHA256:\S+ two \(ED25519\)/);
  const secret = readFileSync(`${work.path}/one`, 'utf8').split('\n')[3] ?? '';
  expect(secret.length).toBeGreaterThan(40);
  expect((await run('grep', ['-r', secret, work.home])).code).toBe(1);
});

test('a key with a passphrase is refused before anything runs', async () => {
  const { code, stderr } = await work.tryBuild(context, [`--ssh=default=${work.path}/locked`]);
  expect(code).toBe(1);
  expect(stderr).toContain('is protected by a passphrase [ssh-key-unusable]');
  expect(stderr).not.toContain('COPY program');
});
