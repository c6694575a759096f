/** What the cases under fixtures/dockerfile do not show: triggers, mounts with variables, durations, order, cost. */
import { describe, expect, test } from 'vitest';
import {
  formatDockerfile,
  type MountFlag,
  parseDockerfile,
  parseDuration,
  parseSize,
  parseTrigger,
  resolveMount,
} from '../../../src/builder/dockerfile/index.ts';

const from = { start: { line: 3, column: 1 }, end: { line: 3, column: 12 } };

describe('a trigger of a base image', () => {
  test('is an instruction that points at the FROM that brings it', () => {
    const { instruction, diagnostics } = parseTrigger('RUN <<EOF\necho a\nEOF', from);
    expect(diagnostics).toEqual([]);
    expect(instruction).toMatchObject({ kind: 'run', range: from, heredocs: [{ content: 'echo a\n', range: from }] });
  });

  test.for<[string, string]>([
    ['', 'the ONBUILD trigger holds no instruction'],
    ['# nothing', 'the ONBUILD trigger holds no instruction'],
    ['RUN a\nRUN b', 'the ONBUILD trigger holds more than one instruction'],
    ['FROM a', 'FROM cannot be an ONBUILD trigger'],
    ['RUM a', "'RUM' is not an instruction (did you mean RUN?)"],
    ['RUN <<EOF', "the heredoc 'EOF' has no end"],
    ['FROM a b', 'FROM takes an image, or an image AS a name'],
  ])('that cannot be read says why: %j', ([text, message]) => {
    const { instruction, diagnostics } = parseTrigger(text, from);
    expect(instruction).toBeUndefined();
    expect(diagnostics.map((each) => each.message)).toEqual([message]);
    expect(diagnostics[0]?.range).toEqual(from);
  });

  test('has the backslash as escape character', () => {
    expect(parseTrigger('RUN a \\\n  b', from).instruction).toMatchObject({ command: { text: 'a   b' } });
  });
});

function mountOf(flag: string): MountFlag {
  const [stage] = parseDockerfile(`FROM a\nRUN --mount=${flag} true\n`, 'Dockerfile').stages;
  const run = stage?.instructions[0];
  const mount = run?.kind === 'run' ? run.mounts[0] : undefined;
  if (!mount) throw new Error(`no mount in ${flag}`);
  return mount;
}

describe('a mount with its variables', () => {
  const expand = (value: string) => value.replaceAll('$id', 'one').replaceAll('$mode', '0700');
  const plain = { source: '', target: '', required: false, size: 0 };

  test.for<[string, object]>([
    ['target=/x', { ...plain, type: 'bind', target: '/x', readOnly: true }],
    [
      'type=bind,dst=/x,src=a,from=b,rw',
      { ...plain, type: 'bind', target: '/x', source: 'a', from: 'b', readOnly: false },
    ],
    ['type=cache,destination=/x', { ...plain, type: 'cache', target: '/x', readOnly: false }],
    [
      'type=cache,target=/$id,id=$id,sharing=LOCKED,mode=$mode,uid=1,gid=2,ro',
      {
        ...plain,
        type: 'cache',
        target: '/one',
        id: 'one',
        sharing: 'locked',
        mode: 0o700,
        uid: 1,
        gid: 2,
        readOnly: true,
      },
    ],
    ['type=tmpfs,target=/x,size=64m', { ...plain, type: 'tmpfs', target: '/x', size: 67_108_864, readOnly: false }],
    [
      'type=secret,id=s,env=S,required',
      { ...plain, type: 'secret', id: 's', env: 'S', required: true, readOnly: true },
    ],
    ['type=ssh,required=false', { ...plain, type: 'ssh', readOnly: true }],
    ['type=bind,target=/x,readonly=false', { ...plain, type: 'bind', target: '/x', readOnly: false }],
  ])('has its defaults: %s', ([flag, mount]) => {
    expect(resolveMount(mountOf(flag), expand)).toEqual({ ok: true, mount });
  });

  test('names a value that is wrong once its variables are in', () => {
    const outcome = resolveMount(mountOf('type=cache,target=/x,mode=$id'), expand);
    expect(outcome).toEqual({
      ok: false,
      problem: {
        message: "'one' is not a value of the mount key 'mode'",
        hint: 'Write an octal number, such as 0755.',
      },
    });
  });

  test('hands on what the expansion says', () => {
    const problem = { message: 'not closed', hint: 'Close it.' };
    expect(resolveMount(mountOf('type=cache,target=${x'), () => problem)).toEqual({ ok: false, problem });
  });

  test('is an error only where its stage is built', () => {
    const { diagnostics } = parseDockerfile('FROM a\nRUN --mount=type=nfs true\nRUN --x true\n', 'Dockerfile');
    expect(diagnostics.map(({ code, whenBuilt }) => [code, whenBuilt])).toEqual([
      ['dockerfile-mount', true],
      ['dockerfile-flag', undefined],
    ]);
  });
});

describe('durations, as Go writes them', () => {
  test.for<[string, number | undefined]>([
    ['0', 0],
    ['1s', 1e9],
    ['1h2m3s', 3_723e9],
    ['1.5s', 1.5e9],
    ['.5s', 0.5e9],
    ['0.57s', 570_000_000],
    ['0.0000000001s', 0],
    ['1.s', 1e9],
    ['300ms', 3e8],
    ['10us', 1e4],
    ['10µs', 1e4],
    ['7ns', 7],
    ['1m1m', 120e9],
    ['-1s', -1e9],
    ['+1s', 1e9],
    ['', undefined],
    ['1', undefined],
    ['s', undefined],
    ['.s', undefined],
    ['1 s', undefined],
    ['1d', undefined],
    ['1S', undefined],
    ['--1s', undefined],
    ['9999999h', undefined],
  ])('%j', ([text, nanoseconds]) => {
    expect(parseDuration(text)).toBe(nanoseconds);
  });
});

test.for<[string, number | undefined]>([
  ['0', 0],
  ['10', 10],
  ['10b', 10],
  ['1k', 1024],
  ['1KB', 1024],
  ['1KiB', 1024],
  ['1.5g', 1_610_612_736],
  ['2 mb', 2_097_152],
  ['', undefined],
  ['k', undefined],
  ['-1', undefined],
  ['1x', undefined],
  ['1e3', undefined],
])('a size in bytes, units of 1024: %j', ([text, bytes]) => {
  expect(parseSize(text)).toBe(bytes);
});

describe('a Dockerfile', () => {
  test('keeps what can be read beside a mistake', () => {
    const { stages, diagnostics } = parseDockerfile('FROM a\nRUN x\nNOPE\nCOPY --nope a b\nUSER u\n', 'Dockerfile');
    expect(stages[0]?.instructions.map(({ kind }) => kind)).toEqual(['run', 'copy', 'user']);
    expect(diagnostics.length).toBe(2);
  });

  test('with a mistake in FROM does not call its instructions misplaced', () => {
    const { diagnostics } = parseDockerfile('FROM a b\nRUN x\n', 'Dockerfile');
    expect(diagnostics.map(({ code }) => code)).toEqual(['dockerfile-arguments']);
  });

  test('names its file and keeps its text', () => {
    expect(parseDockerfile('FROM a', 'app/Dockerfile.prod')).toMatchObject({
      file: 'app/Dockerfile.prod',
      text: 'FROM a',
    });
  });

  test('prints as one line an instruction, with directives, comments and heredocs', () => {
    const text = [
      ...['# syntax=docker/dockerfile:1', '# escape=`', '# check=skip=all', 'FROM a `', '  # why', ' AS b'],
      ...['# about this', 'RUN <<-EOF', '\tx', '\tEOF'],
    ];
    expect(formatDockerfile(parseDockerfile(text.join('\n'), 'Dockerfile'))).toBe(
      [
        ...['# syntax=docker/dockerfile:1', '# escape=`', '# check=error=false;skip=all', '', 'FROM a  AS b'],
        ...['# about this', 'RUN <<-EOF', '\tx', 'EOF', ''],
      ].join('\n'),
    );
  });

  test('reads lists of words the same with and without dockerfile-ast', () => {
    const lists = ['a', 'a b', '  a   b\tc ', '80 443/tcp $P ${Q:-1}', '/a,b /c:d @e +f {g} x=y', '--odd a'];
    for (const list of lists) {
      const wordsOf = (text: string) => {
        const volume = parseDockerfile(text, 'Dockerfile').stages[0]?.instructions[0];
        return volume?.kind === 'volume' ? volume.words : undefined;
      };
      // A character dockerfile-ast is not asked about makes our own rule read the line.
      const own = wordsOf(`FROM a\nVOLUME -- ${list} ~`)?.slice(0, -1);
      expect(wordsOf(`FROM a\nVOLUME -- ${list}`)).toEqual(own);
    }
  });
});
