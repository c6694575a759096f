import { describe, expect, test } from 'vitest';
import { firstRun, planOf, stepsOf, targetOf } from './plan-of.ts';

const history = (text: string, setting = {}) => targetOf(planOf(text, setting)).history.map((entry) => entry.createdBy);
const config = (text: string, setting = {}) => targetOf(planOf(text, setting)).config.config;
const refusal = (text: string, setting = {}) => {
  try {
    planOf(text, setting);
  } catch (error) {
    return error as { code: string; message: string; hint: string; source: { range: { start: { line: number } } } };
  }
  throw new Error('it was planned');
};

describe('variables', () => {
  test('one instruction sees one snapshot of them', () => {
    expect(config('FROM scratch\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc').Env).toEqual([
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      'abc=bye',
      'def=hello',
      'ghi=bye',
    ]);
  });

  test('an ARG is in the environment of every RUN after it, and not in the image', () => {
    const plan = planOf('FROM scratch\nARG A=1\nRUN x', { buildArgs: { A: '2' } });
    expect(firstRun(plan).env).toContain('A=2');
    expect(targetOf(plan).config.config.Env).not.toContain('A=2');
  });

  test('an ENV after an ARG of the same name decides', () => {
    expect(firstRun(planOf('FROM scratch\nARG A=arg\nENV A=env\nRUN x', { buildArgs: { A: 'given' } })).env).toContain(
      'A=env',
    );
  });

  test('an ARG before the first FROM is seen by FROM, and by a stage that declares it', () => {
    const plan = planOf('ARG V=3\nFROM base:$V\nARG V\nRUN x');
    expect(targetOf(plan).base).toMatchObject({ image: { reference: 'base:3' } });
    expect(firstRun(plan).env).toContain('V=3');
    expect(firstRun(planOf('ARG V=3\nFROM base:$V\nRUN x')).env).not.toContain('V=3');
  });

  test('platform arguments are there when they are declared', () => {
    const setting = { targetPlatform: { os: 'linux', architecture: 'arm', variant: 'v7' }, platformRequested: true };
    const { env } = firstRun(
      planOf('FROM scratch\nARG TARGETPLATFORM TARGETARCH BUILDARCH TARGETVARIANT\nRUN x', setting),
    );
    expect(env).toEqual(
      expect.arrayContaining(['TARGETPLATFORM=linux/arm/v7', 'TARGETARCH=arm', 'BUILDARCH=amd64', 'TARGETVARIANT=v7']),
    );
  });

  test('are expanded in WORKDIR, USER, LABEL, EXPOSE, VOLUME and STOPSIGNAL, never in RUN, CMD and ENTRYPOINT', () => {
    const made = config(
      'FROM scratch\nENV v=x p=80 s=SIGINT\nWORKDIR /$v\nUSER $v\nLABEL a=$v\nEXPOSE $p\nVOLUME /$v\nSTOPSIGNAL $s\nCMD echo $v',
    );
    expect(made).toMatchObject({
      WorkingDir: '/x',
      User: 'x',
      Labels: { a: 'x' },
      ExposedPorts: { '80/tcp': {} },
      Volumes: { '/x': {} },
      StopSignal: 'SIGINT',
      Cmd: ['/bin/sh', '-c', 'echo $v'],
    });
  });
});

describe('a stage', () => {
  test('numbers its steps as BuildKit does, FROM counted where it brings an image', () => {
    const plan = planOf('FROM scratch AS a\nCOPY a b\nFROM base\nRUN x\nWORKDIR /y\nCOPY --from=a b c');
    expect(plan.stages.map((stage) => stage.steps.map((step) => step.title))).toEqual([
      ['[a 1/1] COPY a b'],
      ['[stage-1 2/4] RUN x', '[stage-1 3/4] WORKDIR /y', '[stage-1 4/4] COPY --from=a b c'],
    ]);
  });

  test('is a target by its name only', () => {
    expect(refusal('FROM scratch\nENV a=b\nFROM scratch\nENV c=d', { target: '0' }).code).toBe('plan-target-not-found');
  });

  test('built from another takes over its environment, arguments, shell and working directory', () => {
    const plan = planOf('FROM scratch AS a\nARG X=1\nENV Y=2\nSHELL ["/bin/bash","-c"]\nWORKDIR /w\nFROM a\nRUN z');
    const run = firstRun(plan);
    expect(run.env).toEqual(expect.arrayContaining(['X=1', 'Y=2']));
    expect(run).toMatchObject({ args: ['/bin/bash', '-c', 'z'], cwd: '/w' });
  });

  test('that the target does not need is not planned, mistakes included', () => {
    const plan = planOf(
      'FROM scratch AS unused\nCOPY --from=9 a b\nSTOPSIGNAL nonsense\nFROM scratch AS used\nENV a=b\n',
    );
    expect(plan.stages.map((stage) => stage.label)).toEqual(['used']);
  });

  test('names are found whatever their case, and shadow images', () => {
    const plan = planOf('FROM scratch AS Alpine\nENV a=b\nFROM ALPINE\nCOPY --from=aLpine /x /y');
    expect(targetOf(plan).base).toEqual({ kind: 'stage', stage: 0 });
    expect(stepsOf(plan)[0]?.operation).toMatchObject({ source: { kind: 'stage', stage: 0 } });
  });

  test('comes before the stages that read from it', () => {
    const plan = planOf(
      'FROM scratch AS a\nFROM scratch AS b\nCOPY --from=a / /\nFROM scratch\nRUN --mount=from=b,target=/b x',
    );
    expect(plan.stages.map((stage) => stage.label)).toEqual(['a', 'b', 'stage-2']);
  });

  test('a named context replaces an image and a stage', () => {
    const namedContexts = new Map([['base', { kind: 'directory', path: '/x' } as const]]);
    expect(targetOf(planOf('FROM scratch AS base\nFROM base\nENV a=b', { namedContexts })).base).toEqual({
      kind: 'context',
      name: 'base',
    });
  });
});

describe('ONBUILD triggers', () => {
  const images = { base: { OnBuild: ['ENV FROM_TRIGGER=1', 'RUN trigger'] } };

  test('run right after FROM', () => {
    const plan = planOf('FROM base\nRUN own', { images });
    expect(stepsOf(plan).map((step) => step.operation)).toMatchObject([
      { args: ['/bin/sh', '-c', 'trigger'] },
      { args: ['/bin/sh', '-c', 'own'] },
    ]);
    expect(firstRun(plan).env).toContain('FROM_TRIGGER=1');
  });

  test('are not inherited further', () => {
    expect(config('FROM base\nENV a=b', { images }).OnBuild).toBeUndefined();
    expect(config('FROM scratch AS a\nONBUILD RUN x\nFROM a\nENV a=b').OnBuild).toBeUndefined();
    expect(config('FROM scratch AS a\nONBUILD RUN x').OnBuild).toEqual(['RUN x']);
  });

  test('may read from a stage, which is then built', () => {
    const plan = planOf('FROM scratch AS tools\nENV t=1\nFROM base\nENV a=b', {
      images: { base: { OnBuild: ['COPY --from=tools /t /t'] } },
    });
    expect(plan.stages.map((stage) => stage.label)).toEqual(['tools', 'stage-1']);
  });
});

describe('the configuration', () => {
  test('ENTRYPOINT drops a CMD of the base, not one of this stage', () => {
    const images = { base: { Cmd: ['old'] } };
    expect(config('FROM base\nENTRYPOINT ["e"]', { images }).Cmd).toBeUndefined();
    expect(config('FROM base\nCMD ["new"]\nENTRYPOINT ["e"]', { images }).Cmd).toEqual(['new']);
  });

  test('port ranges, protocols and duplicates of EXPOSE become keys', () => {
    expect(Object.keys(config('FROM scratch\nEXPOSE 8000-8002/udp 80 80/TCP 53/sctp').ExposedPorts ?? {})).toEqual([
      '53/sctp',
      '80/tcp',
      '8000/udp',
      '8001/udp',
      '8002/udp',
    ]);
  });

  test('HEALTHCHECK is in nanoseconds, and NONE turns it off', () => {
    expect(
      config('FROM scratch\nHEALTHCHECK --interval=1m30s --timeout=500ms --retries=2 CMD curl x').Healthcheck,
    ).toEqual({
      Test: ['CMD-SHELL', 'curl x'],
      Interval: 90e9,
      Timeout: 5e8,
      Retries: 2,
    });
    expect(config('FROM scratch\nHEALTHCHECK NONE').Healthcheck).toEqual({ Test: ['NONE'] });
  });

  test('WORKDIR is relative to the one before', () => {
    expect(config('FROM scratch\nWORKDIR a\nWORKDIR b/../c\nWORKDIR ./d/').WorkingDir).toBe('/a/c/d');
  });

  test('labels of the command line are on the target and win', () => {
    expect(config('FROM scratch\nLABEL a=1 b=2', { labels: { a: 'x' } }).Labels).toEqual({ a: 'x', b: '2' });
  });
});

describe('history reads as BuildKit writes it', () => {
  test('for metadata', () => {
    const text = [
      'FROM scratch',
      'ENV a=1 b="x y"',
      'LABEL k=v',
      'ARG A=1',
      'ARG B',
      'WORKDIR /w',
      'USER app:app',
      'EXPOSE 80 81/udp',
      'VOLUME ["/a","/b"]',
      'STOPSIGNAL 9',
      'SHELL ["/bin/bash","-c"]',
      'CMD ["a","b \\"c\\""]',
      'ENTRYPOINT run it',
      'HEALTHCHECK --interval=5s CMD ["x"]',
    ].join('\n');
    expect(history(text)).toEqual([
      'ENV a=1 b=x y',
      'LABEL k=v',
      'ARG A=1',
      'ARG B',
      'WORKDIR /w',
      'USER app:app',
      'EXPOSE [80/tcp 81/udp]',
      'VOLUME [/a /b]',
      'STOPSIGNAL 9',
      'SHELL [/bin/bash -c]',
      'CMD ["a" "b \\"c\\""]',
      'ENTRYPOINT ["/bin/bash" "-c" "run it"]',
      'HEALTHCHECK {Test:[CMD x] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:0}',
    ]);
  });

  test('for RUN, with the arguments in force in front', () => {
    expect(history('FROM scratch\nARG A=1\nARG B=2\nRUN make')).toContain('RUN |2 A=1 B=2 /bin/sh -c make # buildkit');
    expect(history('FROM scratch\nRUN ["a","b"]')).toEqual(['RUN a b # buildkit']);
  });

  test('for COPY and ADD', () => {
    expect(history('FROM scratch\nCOPY --chown=1:2 --chmod=644 a b /d/\nADD x /y')).toEqual([
      'COPY --chown=1:2 --chmod=644 a b /d/ # buildkit',
      'ADD x /y # buildkit',
    ]);
  });

  test('a layer for WORKDIR, RUN, COPY and ADD, none for the others', () => {
    const { history: entries } = targetOf(planOf('FROM scratch\nWORKDIR /\nWORKDIR /a\nENV a=b\nRUN x\nCOPY a b'));
    expect(entries.map((entry) => entry.step)).toEqual([undefined, 0, undefined, 1, 2]);
  });
});

describe('heredocs', () => {
  test('a lone one is the command of the shell', () => {
    expect(firstRun(planOf('FROM scratch\nRUN <<EOF\necho a\necho $b\nEOF\n')).args).toEqual([
      '/bin/sh',
      '-c',
      'echo a\necho $b\n',
    ]);
  });

  test('one that begins with a shebang is run as a file', () => {
    const run = firstRun(planOf('FROM scratch\nRUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF\n'));
    expect(run).toMatchObject({
      args: ['/bin/sh', '-c', '/dev/pipes/EOF'],
      script: { name: 'EOF', text: '#!/usr/bin/env python3\nprint(1)\n' },
    });
  });

  test('with other words the shell reads them itself', () => {
    expect(firstRun(planOf('FROM scratch\nRUN cat <<A <<B > /x\none\nA\ntwo\nB\n')).args[2]).toBe(
      'cat <<A <<B > /x\none\nA\ntwo\nB',
    );
  });

  test('of COPY are files, expanded unless the delimiter is quoted', () => {
    const plan = planOf('FROM scratch\nENV v=x\nCOPY <<a.txt <<"b.txt" /d/\n$v\na.txt\n$v\nb.txt\n');
    expect(stepsOf(plan)[0]?.operation).toMatchObject({
      files: [
        { name: 'a.txt', text: 'x\n' },
        { name: 'b.txt', text: '$v\n' },
      ],
      destination: '/d/',
    });
  });
});

describe('mounts', () => {
  const mount = (flag: string) =>
    firstRun(planOf(`FROM scratch\nENV v=/var\nWORKDIR /w\nRUN --mount=${flag} x`)).mounts[0];

  test.each([
    ['target=/t', { kind: 'bind', source: { kind: 'context' }, sourcePath: '/', target: '/t', readOnly: true }],
    ['type=bind,src=a/b,dst=t,rw', { kind: 'bind', sourcePath: '/a/b', target: '/w/t', readOnly: false }],
    [
      'type=cache,target=$v/cache',
      { kind: 'cache', id: '//var/cache', sharing: 'shared', target: '/var/cache', readOnly: false },
    ],
    [
      'type=cache,id=apt,target=/c,sharing=locked,mode=0700,uid=5',
      { id: '/apt', sharing: 'locked', mode: 0o700, uid: 5 },
    ],
    ['type=tmpfs,target=/t,size=64m', { kind: 'tmpfs', size: 64 * 1024 * 1024 }],
    ['type=secret,id=npm', { kind: 'secret', id: 'npm', target: '/run/secrets/npm', mode: 0o400, required: false }],
    ['type=secret,target=/root/.npmrc,required', { id: '.npmrc', target: '/root/.npmrc', required: true }],
    ['type=ssh', { kind: 'ssh', id: 'default', mode: 0o600 }],
  ])('%s', (flag, planned) => {
    expect(mount(flag)).toMatchObject(planned);
  });

  test('a secret for the environment only makes no file', () => {
    expect(mount('type=secret,id=TOKEN,env=TOKEN')).toEqual({
      kind: 'secret',
      id: 'TOKEN',
      env: 'TOKEN',
      required: false,
      mode: 0o400,
      uid: 0,
      gid: 0,
    });
  });
});

describe('a mistake', () => {
  test.each([
    [
      'a stage that comes later',
      'FROM scratch AS first\nCOPY --from=later a b\nFROM scratch AS later',
      'plan-stage-order',
      { target: 'first' },
    ],
    ['a stage that reads from itself', 'FROM scratch AS me\nCOPY --from=me a b', 'plan-stage-cycle', {}],
    ['an index that is no stage', 'FROM scratch\nCOPY --from=3 a b', 'plan-stage-not-found', {}],
    ['a base that is empty', 'ARG X\nFROM $X', 'plan-base-empty', {}],
    ['an unknown signal', 'FROM scratch\nSTOPSIGNAL SIGNOPE', 'plan-value-invalid', {}],
    ['a port that is none', 'FROM scratch\nEXPOSE 70000', 'plan-value-invalid', {}],
    ['a platform that is none', 'FROM --platform=a/b/c/d scratch', 'platform-invalid', {}],
    ['a mount onto the root', 'FROM scratch\nRUN --mount=target=/ x', 'plan-value-invalid', {}],
  ])('is told with its line: %s', (_, text, code, setting) => {
    const { code: found, hint, source } = refusal(text, setting);
    expect(found).toBe(code);
    expect(hint).not.toBe('');
    expect(text.split('\n')[source.range.start.line - 1]).toBeDefined();
  });

  test('in the target suggests the nearest stage', () => {
    expect(refusal('FROM scratch AS builder\nENV a=b\nFROM scratch AS runtime', { target: 'biulder' }).hint).toBe(
      'Did you mean --target builder?',
    );
  });
});
