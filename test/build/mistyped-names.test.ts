/** A name that no stage has is an image's; when it is near a stage's, whoever mistyped it is told so, and soon. */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { startRegistry } from '../support/registry.ts';

let work: BuildWorkspace;
beforeAll(() => {
  work = buildWorkspace('mistyped');
});
afterAll(async () => await work[Symbol.asyncDispose]());

/** The address is nobody's: asking for an image fails at once, on every machine. */
const unreachable = { HTTPS_PROXY: 'http://127.0.0.1:1', NO_PROXY: '' };

/** What a person reads after the progress. */
async function failureOf(name: string, dockerfile: string, args: string[] = [], env = unreachable): Promise<string> {
  const context = work.context(name, { Dockerfile: dockerfile });
  const { code, stderr } = await work.tryBuild(context, args, { env, cwd: context });
  expect(code).toBe(1);
  return stderr.slice(stderr.indexOf('\nerror: ') + 1);
}

describe('a name near that of a stage, which no image has', () => {
  test.each([
    [
      'in COPY --from',
      'FROM base\nCOPY --from=bulider /a /b\n',
      '3:13',
      'COPY --from=bulider /a /b',
      '            ^^^^^^^',
    ],
    ['in FROM', 'FROM biulder\nRUN true\n', '2:6', 'FROM biulder', '     ^^^^^^^'],
    [
      'in RUN --mount',
      'FROM base\nRUN --mount=from=buidler,target=/x true\n',
      '3:13',
      'RUN --mount=from=buidler,target=/x true',
      '            ^^^^^^^^^^^^^^^^^^^^^^',
    ],
    [
      'that no image can have',
      'FROM base\nCOPY --from=Builder_ /a /b\n',
      '3:13',
      'COPY --from=Builder_ /a /b',
      '            ^^^^^^^^',
    ],
  ])('%s, is one error with its line and the stage', async (what, rest, place, line, carets) => {
    const text = await failureOf(what.replaceAll(' ', '-'), `FROM base AS builder\n${rest}`);
    expect(text).toMatch(/^error: there is no stage "\w+", nor can an image of that name be had: /);
    expect(text).toContain(`╭─ Dockerfile:${place}\n`);
    expect(text).toContain(`${place.split(':')[0]} │ ${line}\n  │ ${carets}\n`);
    expect(text).toMatch(/\nhint: Did you mean the stage builder\?\n$/);
  });

  test('is not waited for when no registry answers', async () => {
    await using server = createServer((socket) => socket.resume()).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const env = { ...unreachable, HTTPS_PROXY: `http://127.0.0.1:${address.port}` };
    const text = await failureOf('silent', 'FROM base AS builder\nFROM biulder\n', [], env);
    expect(text).toContain('its registry gave no answer in 8 s [registry-timeout]');
    expect(text).toContain('hint: Did you mean the stage builder? An image is waited for longer when');
  });

  test('is told of, too, when another image fails first', async () => {
    const text = await failureOf('two', 'FROM base AS builder\nFROM nowhere.invalid/x\nCOPY --from=bilder a b\n');
    expect(text).toMatch(/ Line 3: did you mean the stage builder\?\n$/);
  });
});

test('a name near that of a named context is told of', async () => {
  const text = await failureOf('context', 'FROM base\nCOPY --from=othre a b\n', ['--build-context', 'other=.']);
  expect(text).toContain('hint: Did you mean the context other?');
});

test('an image whose name is near that of a stage is used, from a registry and from the store', async () => {
  await using registry = await startRegistry();
  const layout = `oci:${work.path}/bases:base`;
  await work.tsbuild(['copy', layout, `${registry.host}/library/bilder`]);
  writeFileSync(
    `${work.path}/config.json`,
    JSON.stringify({ registries: { 'docker.io': { mirrors: [`http://${registry.host}`] } } }),
  );
  const context = work.context('honest', {
    Dockerfile: 'FROM scratch AS builder\nCOPY Dockerfile /\nFROM scratch\nCOPY --from=bilder /bin/busybox /\n',
  });
  const env = { ...unreachable, TSBUILD_CONFIG: `${work.path}/config.json` };
  expect((await work.build(context, [], { env })).stderr).toContain('resolve bilder');
  await work.build(context, [], { env: unreachable });
});
