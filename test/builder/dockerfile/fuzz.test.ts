/** Properties of the parser under random and near-valid texts. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  checkDockerfile,
  expandWord,
  expandWords,
  formatDockerfile,
  type Instruction,
  type ParsedDockerfile,
  parseDockerfile,
  parseTrigger,
} from '../../../src/builder/dockerfile/index.ts';
import type { Position, Range } from '../../../src/core/index.ts';
import { dockerfileCases } from '../../support/dockerfile-cases.ts';

/** Pieces Dockerfiles are made of, and the characters that trip readers. */
const piece = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...'\\`"\'$#<>[]{}=,:/-| \t\r\n\v\f\u00a0\u2028\ufeff\u0000🚀é'.split('')) },
  {
    weight: 6,
    arbitrary: fc.constantFrom(
      ...['FROM', 'from', 'RUN', 'COPY', 'ADD', 'ENV', 'ARG', 'LABEL', 'CMD', 'ENTRYPOINT', 'SHELL', 'EXPOSE'],
      ...['VOLUME', 'USER', 'WORKDIR', 'STOPSIGNAL', 'HEALTHCHECK', 'ONBUILD', 'MAINTAINER', 'AS', 'NONE', 'nonsense'],
    ),
  },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      ...['--mount=type=cache,target=/x', '--from=a', '--link', '--', '--interval=1s', '--chown="a b"', '--platform='],
      ...['["a", "b c"]', '["a", 1]', '[]', '["\\u0041"', 'a=b', '"a b"=c', "k='v w'", '$X', '${X:-y}', '${X#*}'],
      ...['<<EOF', '<<-EOF', "<<'E F'", '3<<A', '<< B', 'EOF', '\nEOF\n', '\n\tEOF\n', 'A\n', '\\\n', '`\n', '\\ \n'],
      ...['# escape=`\n', '# syntax=x\n', '# check=skip=all\n', '\n# c\n', '\n  # c\n', '\r\n', '\n\n', '8080/tcp'],
    ),
  },
  { weight: 2, arbitrary: fc.string({ maxLength: 6 }) },
);

const anyText = fc.array(piece, { maxLength: 40 }).map((parts) => parts.join(''));

const spacedText = fc
  .array(
    fc.array(piece, { maxLength: 8 }).map((parts) => parts.join(' ')),
    { maxLength: 12 },
  )
  .map((lines) => `FROM a\n${lines.join('\n')}`);

/** A text that is nearly right: a case with a few places cut out, doubled or overwritten. */
const mutatedText = fc
  .tuple(
    fc.constantFrom(...dockerfileCases().map(({ text }) => text)),
    fc.array(fc.tuple(fc.nat(), fc.nat({ max: 12 }), fc.constantFrom('cut', 'double', 'insert'), piece), {
      minLength: 1,
      maxLength: 4,
    }),
  )
  .map(([text, changes]) =>
    changes.reduce((whole, [where, length, kind, inserted]) => {
      const at = where % (whole.length + 1);
      const part = whole.slice(at, at + length);
      const middle = kind === 'cut' ? '' : kind === 'double' ? part + part : inserted + part;
      return whole.slice(0, at) + middle + whole.slice(at + length);
    }, text),
  );

const dockerfileText = fc.oneof(anyText, spacedText, mutatedText, fc.string({ unit: 'binary', maxLength: 200 }));

function lengths(text: string): number[] {
  return text.split('\n').map((line) => line.length);
}

function isInside(position: Position, lines: readonly number[]): boolean {
  const length = lines[position.line - 1];
  return length !== undefined && position.column >= 1 && position.column <= length + 1;
}

function rangesIn(value: unknown, found: Range[] = []): Range[] {
  if (typeof value !== 'object' || value === null) return found;
  if ('start' in value && 'end' in value) found.push(value as Range);
  else for (const each of Object.values(value)) rangesIn(each, found);
  return found;
}

function expectRangesInside(parsed: ParsedDockerfile): void {
  const lines = lengths(parsed.text);
  for (const range of rangesIn([parsed.globalArgs, parsed.stages, parsed.diagnostics, checkDockerfile(parsed)])) {
    const { start, end } = range;
    const inOrder = start.line < end.line || (start.line === end.line && start.column <= end.column);
    if (!inOrder || !isInside(start, lines) || !isInside(end, lines)) {
      throw new Error(`range ${JSON.stringify(range)} is not inside ${JSON.stringify(parsed.text)}`);
    }
  }
}

/** Instructions without what printing does not keep. */
function meaning(parsed: ParsedDockerfile): unknown {
  const strip = (key: string, value: unknown) => {
    if (key === 'range' || key === 'emptyContinuation') return undefined;
    return key === 'trigger' && typeof value === 'string' ? value.replace(/([\\`])\s+(?=\n|$)/, '$1') : value;
  };
  const { directives, globalArgs, stages } = parsed;
  return JSON.parse(JSON.stringify({ directives, globalArgs, stages }, strip));
}

const runs = { numRuns: 1500 };

describe('whatever the text', () => {
  test('parsing and checking never throw, and every range lies inside the text', () => {
    fc.assert(
      fc.property(dockerfileText, (text) => {
        expectRangesInside(parseDockerfile(text, 'Dockerfile'));
      }),
      runs,
    );
  });

  test('printing and parsing again gives the same instructions', () => {
    fc.assert(
      fc.property(dockerfileText, (text) => {
        const parsed = parseDockerfile(text, 'Dockerfile');
        const again = parseDockerfile(formatDockerfile(parsed), 'Dockerfile');
        expect(meaning(again)).toEqual(meaning(parsed));
      }),
      runs,
    );
  });

  test('every word of every instruction expands or names its mistake', () => {
    fc.assert(
      fc.property(dockerfileText, fc.constantFrom('\\' as const, '`' as const), (text, escapeCharacter) => {
        const options = { escape: escapeCharacter, lookup: (name: string) => (name === 'X' ? ' x y ' : undefined) };
        const one = expandWord(text, options);
        const split = expandWords(text, options);
        expect(one.error === undefined).toBe(split.error === undefined);
        expect(split.words.every((word) => word !== '')).toBe(true);
        for (const { error } of [one, split]) {
          if (error) expect(0 <= error.start && error.start <= error.end && error.end <= text.length).toBe(true);
        }
      }),
      runs,
    );
  });

  test('a trigger is one instruction or has an error', () => {
    const range = { start: { line: 1, column: 1 }, end: { line: 1, column: 2 } };
    fc.assert(
      fc.property(dockerfileText, (text) => {
        const { instruction, diagnostics } = parseTrigger(text, range);
        expect(instruction !== undefined || diagnostics.some(({ severity }) => severity === 'error')).toBe(true);
        for (const each of rangesIn([instruction, diagnostics])) expect(each).toEqual(range);
      }),
      runs,
    );
  });
});

describe('for every case under fixtures/dockerfile', () => {
  test.for(dockerfileCases())('ranges are inside and printing keeps the meaning: $name', ({ text }) => {
    const parsed = parseDockerfile(text, 'Dockerfile');
    expectRangesInside(parsed);
    expect(meaning(parseDockerfile(formatDockerfile(parsed), 'Dockerfile'))).toEqual(meaning(parsed));
  });

  test.for(dockerfileCases())('any cut of it is read without harm: $name', ({ text }) => {
    for (let end = 0; end < text.length; end += 1)
      expectRangesInside(parseDockerfile(text.slice(0, end), 'Dockerfile'));
  });
});

describe('large texts', () => {
  /** Instructions of each kind, told by their number. */
  const instructionsOf = (text: string): readonly Instruction[] =>
    parseDockerfile(text, 'Dockerfile').stages.flatMap(({ instructions }) => instructions);

  test('a line of 1 MB is one instruction', () => {
    const [run] = instructionsOf(`FROM a\nRUN ${'a "b" $c \\d '.repeat(90_000)}`);
    expect(run?.kind === 'run' && run.command.form === 'shell' && run.command.text.length).toBeGreaterThan(1_000_000);
  });

  test('as ENV, EXPOSE, COPY, JSON and flags, too', () => {
    const lines = [
      `ENV ${'a="b c" '.repeat(100_000)}`,
      `EXPOSE ${'80 '.repeat(100_000)}`,
      `COPY ${'a '.repeat(100_000)} /b/`,
      `CMD ${JSON.stringify(Array(100_000).fill('x'))}`,
      `RUN --mount=${'x=y,'.repeat(100_000)}type=bind true`,
      `RUN ${'<<A '.repeat(100)}\n${'A\n'.repeat(100)}`,
      `LABEL ${'"'.repeat(500_001)}`,
      `${'x'.repeat(1_000_000)} y`,
    ];
    const parsed = parseDockerfile(`FROM a\n${lines.join('\n')}`, 'Dockerfile');
    expect(parsed.stages[0]?.instructions.map(({ kind }) => kind)).toEqual([
      'env',
      'expose',
      'copy',
      'cmd',
      'run',
      'run',
    ]);
    expectRangesInside(parsed);
  });

  test('a million empty lines are nothing, and so are comments', () => {
    expect(instructionsOf(`FROM a\n${'\n'.repeat(1_000_000)}RUN x`).length).toBe(1);
    expect(instructionsOf(`FROM a\n${'#c\n'.repeat(300_000)}RUN x`)[0]?.comments?.length).toBe(300_000);
    expect(instructionsOf(`FROM a\nRUN y\\\n${' \n'.repeat(500_000)}x`).length).toBe(1);
    expect(instructionsOf(`FROM a\n${'# syntax\n'.repeat(100_000)}${'\\\n'.repeat(300_000)}`).length).toBe(0);
  });

  test('texts made to trip a pattern are refused or read at once', () => {
    const many = 300_000;
    const lines = [
      `HEALTHCHECK --interval=${'1'.repeat(many)} CMD x`,
      `HEALTHCHECK --retries=${'1'.repeat(many)} CMD x`,
      `RUN <<${' '.repeat(many)}<`,
      `RUN --mount=\\"${'a'.repeat(many)}\\",type=bind x`,
      `RUN --mount=type=tmpfs,size=${'1'.repeat(many)} x`,
      `FROM ${'a-'.repeat(many)}`,
      `FROM a AS ${'a'.repeat(many)}/`,
      `SHELL ${'a '.repeat(many)}`,
      `COPY ${'a'.repeat(many)}`,
      `ENV ${'A_KEY_'.repeat(many)}=1`,
      `CMD ${'['.repeat(many)}]`,
    ];
    const parsed = parseDockerfile(`FROM a\n${lines.join('\n')}`, 'Dockerfile');
    expectRangesInside(parsed);
    expect(parsed.diagnostics.map(({ code }) => code)).toEqual([
      ...['dockerfile-healthcheck', 'dockerfile-healthcheck', 'dockerfile-mount', 'dockerfile-mount'],
      ...['dockerfile-stage-name', 'dockerfile-arguments', 'dockerfile-arguments'],
    ]);
    expect(parsed.diagnostics.every(({ message, hint }) => message.length <= 300 && (hint ?? '').length <= 300)).toBe(
      true,
    );
  });

  test('100,000 continued lines are one instruction', () => {
    const [run, more] = instructionsOf(`FROM a\nRUN x ${'\\\n  # c\n  y '.repeat(100_000)}`);
    expect(run?.kind).toBe('run');
    expect(more).toBeUndefined();
  });

  test('a value that doubles itself line by line does not fill the memory', () => {
    const text = `FROM a\nENV A=xxxxxxxxxx\n${'ENV A=$A$A$A\n'.repeat(200)}`;
    expect(checkDockerfile(parseDockerfile(text, 'Dockerfile'))).toEqual([]);
  });
});
