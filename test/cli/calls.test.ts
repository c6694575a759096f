import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { allBaseImages } from '../support/base-images.ts';
import { writeOciLayout } from '../support/image-files.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { tsbuild } from '../support/tsbuild.ts';

const dockerfile = `# BASE what to build on
ARG BASE=scratch
ARG UNUSED=1
# build compiles it
FROM \${BASE} AS build
# VERSION of the program
ARG VERSION=1.0
ARG BASE TARGETARCH
COPY . /src/
RUN --mount=type=secret,id=token,required --mount=type=ssh --mount=type=cache,target=/c ["make"]

FROM scratch AS other
COPY nowhere /

FROM scratch
WORKDIR /x
COPY --link --from=build /src /y
`;

let folder: TemporaryFolder;
beforeAll(() => {
  folder = temporaryFolder('calls');
  mkdirSync(folder.join('context'));
  writeFileSync(folder.join('context/Dockerfile'), dockerfile);
});
afterAll(() => folder[Symbol.asyncDispose]());

function call(...args: readonly string[]) {
  return tsbuild(['build', ...args, folder.join('context')], { home: folder.join('home') });
}

async function json(...args: readonly string[]): Promise<Record<string, unknown>> {
  return JSON.parse((await call(...args)).text) as Record<string, unknown>;
}

describe('--call=plan shows what would be built', () => {
  test('as text: stages in order, what each step comes after, and the parts of its key', async () => {
    const { code, text } = await call('--call=plan', '--build-arg', 'VERSION=2');
    expect(code).toBe(0);
    expect(text).not.toContain('stage other');
    expect(text).toContain('stage build from scratch\n  [build 1/2] COPY . /src/ line 9\n      after  base, context\n');
    expect(text).toContain('"VERSION=2"');
    expect(text).toMatch(/stage stage-2 \(target\) from scratch\n {2}\[stage-2 1\/2\] WORKDIR \/x/);
    expect(text).toContain('after  stage build\n');
  });

  test('as JSON: a linked copy has nothing below it, a step after another has that one', async () => {
    const { plans } = (await json('--call=plan,format=json')) as { plans: { stages: unknown[] }[] };
    expect(plans).toHaveLength(1);
    expect(plans[0]?.stages).toMatchObject([
      {
        name: 'build',
        target: false,
        base: 'scratch',
        dependsOn: [],
        steps: [
          { name: 'build/1', dependsOn: ['base', 'context'], key: { below: 'base', inputs: ['context'] } },
          {
            name: 'build/2',
            line: 10,
            dependsOn: ['build/1'],
            key: { below: 'build/1', operation: { kind: 'run', args: ['make'] }, platform: expect.any(String) },
          },
        ],
      },
      {
        name: 'stage-2',
        target: true,
        dependsOn: ['build'],
        steps: [{ name: 'stage-2/1' }, { dependsOn: ['stage build'], key: { below: null, inputs: ['stage build'] } }],
      },
    ]);
  });

  test('of the target alone', async () => {
    const { plans } = (await json('--call=plan,format=json', '--target=other')) as { plans: { stages: unknown[] }[] };
    expect(plans[0]?.stages).toMatchObject([{ name: 'other', target: true }]);
  });
});

describe('--call=outline lists what the target can be given', () => {
  test('as BuildKit prints it, arguments of FROM included and unused ones left out', async () => {
    const { code, text } = await call('--call=outline', '--target=build', '--build-arg', 'VERSION=2');
    expect(code).toBe(0);
    expect(text).toBe(`TARGET:      build
DESCRIPTION: compiles it

BUILD ARG   VALUE     DESCRIPTION
BASE        scratch   what to build on
VERSION     2         of the program

SECRET   REQUIRED
token    true

SSH       REQUIRED
default
`);
  });

  test("as BuildKit's JSON", async () => {
    expect(await json('--call=outline,format=json')).toEqual({
      args: [
        { name: 'BASE', value: 'scratch', description: 'what to build on', location: at(2, 0, 16) },
        { name: 'VERSION', value: '1.0', description: 'of the program', location: at(7, 0, 15) },
      ],
      secrets: [{ name: 'token', required: true, location: at(10, 0, 96) }],
      ssh: [{ name: 'default', location: at(10, 0, 96) }],
      sources: [Buffer.from(dockerfile).toString('base64')],
    });
  });
});

describe('--call=targets lists the stages', () => {
  test('as text, the default one marked', async () => {
    expect((await call('--call=targets')).text).toBe(
      'TARGET      BASE      DESCRIPTION\nbuild       ${BASE}   compiles it\nother       scratch\n(default)   scratch\n',
    );
  });

  test('as JSON', async () => {
    expect(await json('--call=targets,format=json')).toMatchObject({
      targets: [{ name: 'build', base: '${BASE}', description: 'compiles it' }, { name: 'other' }, { default: true }],
    });
  });
});

describe('--check says what the build checks find', () => {
  test("as BuildKit's JSON, with exit code 1 when there is something", async () => {
    writeFileSync(folder.join('context/checked'), 'from scratch\nCOPY . /\nMAINTAINER me\n');
    const { code, text } = await call('--call=check,format=json', '-f', folder.join('context/checked'));
    expect(code).toBe(1);
    const { warnings } = JSON.parse(text) as { warnings: { ruleName: string }[] };
    expect(warnings.map(({ ruleName }) => ruleName)).toEqual(['ConsistentInstructionCasing', 'MaintainerDeprecated']);
    expect(warnings[1]).toMatchObject({ url: 'docs/checks/MaintainerDeprecated.md', location: at(3, 0, 13) });
  });

  test('and what keeps the Dockerfile from being read as its buildError', async () => {
    writeFileSync(folder.join('context/broken'), 'FROM scratch\nCOPPY . /\n');
    const { code, text } = await call('--call=check,format=json', '-f', folder.join('context/broken'));
    expect(code).toBe(1);
    expect(JSON.parse(text)).toMatchObject({
      warnings: [],
      buildError: { code: 'dockerfile-instruction', location: at(2, 0, 5) },
    });
  });
});

describe('a Dockerfile with much to ask about', () => {
  // test/build/trixie.test.ts holds the answers against BuildKit's.
  const odd = () => folder.join('odd');
  beforeAll(() => {
    mkdirSync(odd());
    writeFileSync(`${odd()}/Dockerfile`, readFileSync(new URL('../../fixtures/calls/Dockerfile', import.meta.url)));
    writeOciLayout(folder.join('bases'), allBaseImages());
  });
  const ask = async (...args: readonly string[]): Promise<string> => {
    const exitCode = args.includes('--check') ? 1 : 0;
    const base = `base:latest=oci-layout://${folder.join('bases')}:base`;
    const { text, stderr, code } = await tsbuild(['build', ...args, '--build-context', base, odd()], {
      home: folder.join('home'),
    });
    expect(code, stderr).toBe(exitCode);
    return text;
  };

  test('has the arguments, secrets and agents of all stages its target is made of', async () => {
    expect(await ask('--call=outline')).toBe(`BUILD ARG     VALUE         DESCRIPTION
BASE_TAG      latest        which base
BASE          base:latest   full name
OPT                         and LVL belong together
LVL           3
ONLY_SPACED   1
FLAGS         -O3
LAST                        one

SECRET   REQUIRED
netrc    true
opt
token

SSH       REQUIRED
default
deploy    true
`);
  });

  test('of a target named in any case, with values of the command line', async () => {
    const text = await ask(
      '--call=outline',
      '--target=RELEASE',
      '--build-arg=FLAGS=cli',
      '--build-arg=BASE_TAG=latest',
    );
    expect(text).toMatch(/^TARGET: {6}release\nDESCRIPTION: the final thing\n\n/);
    expect(text).toMatch(/^FLAGS {9}cli$/m);
    expect(text).not.toMatch(/LAST|NEVER|UNUSED/);
  });

  test('of a target that shares nothing with the others', async () => {
    expect(await ask('--call=outline', '--target=other')).toBe(`TARGET:      other
DESCRIPTION: never built

BUILD ARG   VALUE   DESCRIPTION
NEVER       1

SECRET   REQUIRED
never
`);
  });

  test('has its stages with their bases and descriptions', async () => {
    expect(await ask('--call=targets')).toBe(`TARGET      BASE      DESCRIPTION
compile     \${BASE}   builds everything
spaced      base      describes it
release     compile   the final thing
other       scratch   never built
(default)   release
`);
    const { targets } = JSON.parse(await ask('--call=targets,format=json')) as { targets: { platform?: string }[] };
    expect(targets.map(({ platform }) => platform)).toEqual([undefined, '$BUILDPLATFORM', ...Array(3)]);
  });

  test('has a plan in which secrets, agents and caches are named and have no part in the keys of others', async () => {
    const { plans } = JSON.parse(await ask('--call=plan,format=json')) as {
      plans: { stages: { name: string; base: string; dependsOn: string[]; steps: { dependsOn: string[] }[] }[] }[];
    };
    expect(
      plans[0]?.stages.map(({ name, base, dependsOn, steps }) => [
        name,
        base.replace(/^(image).*:base@sha256:.*$/, '$1'),
        dependsOn,
        steps.map((s) => s.dependsOn),
      ]),
    ).toEqual([
      ['compile', 'image', [], [['base'], ['compile/1']]],
      ['spaced', 'image', [], [['base']]],
      ['Release', 'stage compile', ['compile', 'spaced'], [['base', 'stage spaced'], ['Release/1']]],
      ['stage-4', 'stage Release', ['Release'], []],
    ]);
    const text = await ask('--call=plan', '--target=compile');
    expect(text).toContain('{"kind":"secret","id":"netrc"');
    expect(text).toContain('{"kind":"ssh","id":"deploy"');
    expect(text).toContain('"kind":"cache"');
  });

  test('has what the checks find, with the line', async () => {
    expect(await ask('--check')).toBe(`warning: the stage name 'Release' is not in lower case [StageNameCasing]
   ╭─ Dockerfile:28:17
26 │
27 │ # Release the final thing
28 │ FROM compile AS Release
   │                 ^^^^^^^
29 │ ARG FLAGS=-O3
hint: Write release. See docs/checks/StageNameCasing.md.

Check complete, 1 found.
`);
  });
});

function at(line: number, from: number, to: number) {
  return { ranges: [{ start: { line, character: from }, end: { line, character: to } }] };
}
