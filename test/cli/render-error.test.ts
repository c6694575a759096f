import { describe, expect, test } from 'vitest';
import { renderError } from '../../src/cli/render-error.ts';
import { type Range, TsbuildError } from '../../src/core/index.ts';

const dockerfile = 'FROM alpine\nCOPY . .\nRUN make \\\n  --all\n\nCMD ["x"]\n';
const plain = { colour: false, columns: 80, debug: false };

function range(line: number, column: number, endLine: number, endColumn: number): Range {
  return { start: { line, column }, end: { line: endLine, column: endColumn } };
}

function drawn(at: Range, text = dockerfile, columns = 80): string {
  return renderError(
    new TsbuildError({ code: 'usage', message: 'it went wrong', source: { file: 'app/Dockerfile', text, range: at } }),
    { ...plain, columns },
  );
}

describe('an error', () => {
  test('shows what failed, the lines around it with a caret, the log and the hint', () => {
    const error = new TsbuildError({
      code: 'usage',
      message: 'the command exited with code 2',
      hint: 'Fix it.',
      log: ['cc -c main.c', 'main.c:1: error'],
      source: { file: 'Dockerfile', text: dockerfile, range: range(2, 6, 2, 7) },
    });
    expect(renderError(error, plain)).toBe(
      [
        'error: the command exited with code 2 [usage]',
        '  ╭─ Dockerfile:2:6',
        '1 │ FROM alpine',
        '2 │ COPY . .',
        '  │      ^',
        '3 │ RUN make \\',
        'the last lines it printed:',
        '  │ cc -c main.c',
        '  │ main.c:1: error',
        'hint: Fix it.',
        '',
      ].join('\n'),
    );
  });

  test('of several lines marks the first and shows them all', () => {
    expect(drawn(range(3, 1, 4, 8))).toBe(
      [
        'error: it went wrong [usage]',
        '  ╭─ app/Dockerfile:3:1',
        '1 │ FROM alpine',
        '2 │ COPY . .',
        '3 │ RUN make \\',
        '  │ ^^^^^^^^^^',
        '4 │   --all',
        '',
      ].join('\n'),
    );
  });

  test('at the end of the text has a caret still', () => {
    expect(drawn(range(6, 10, 6, 10))).toContain('6 │ CMD ["x"]\n  │          ^\n');
  });

  test('of many lines says how many are left out', () => {
    const long = `${Array.from({ length: 30 }, (_, i) => `line ${i + 1}`).join('\n')}\n`;
    expect(drawn(range(9, 1, 29, 3), long)).toMatch(/16 │ line 16\n {3}│ … 13 more lines\n$/);
  });

  test('keeps the caret below its column after tabs and wide letters', () => {
    expect(drawn(range(1, 7, 1, 8), 'RUN\t変 x')).toContain('1 │ RUN    変 x\n  │           ^\n');
  });

  test('cuts lines at the width of the terminal', () => {
    const lines = drawn(range(1, 5, 1, 300), `RUN ${'x'.repeat(300)}`, 40).split('\n');
    expect(lines.slice(1).every((line) => line.length <= 40)).toBe(true);
    expect(lines[2]).toMatch(/…$/);
  });

  test('lets no escape sequence of a hostile text through', () => {
    const error = new TsbuildError({
      code: 'usage',
      message: 'the server said \u001b]0;title\u0007"no"\u001b[2J',
      log: ['\u001b[31mred\u001b[0m\r\u0000'],
      source: { file: 'Dockerfile', text: 'RUN \u001b[8mhidden', range: range(1, 1, 1, 4) },
    });
    const text = renderError(error, plain);
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
    expect(text).toContain('the server said "no"');
    expect(text).toContain('  │ red\n');
  });

  test('has colour only when asked', () => {
    const error = new TsbuildError({ code: 'usage', message: 'no' });
    expect(renderError(error, { ...plain, colour: true })).toContain('\u001b[31m');
    expect(renderError(error, plain)).not.toContain('\u001b');
  });
});

describe('an unexpected failure', () => {
  test('has no stack trace, and asks for a report', () => {
    const text = renderError(new TypeError('x is not a function'), plain);
    expect(text).toBe(
      'error: x is not a function\nhint: This is a bug in tsbuild. Run again with TSBUILD_DEBUG=1 and report what it prints.\n',
    );
  });

  test('of the system is shown as it is', () => {
    const error = Object.assign(new Error("ENOSPC: no space left on device, write '/x'"), { code: 'ENOSPC' });
    expect(renderError(error, plain)).toBe("error: ENOSPC: no space left on device, write '/x'\n");
  });

  test('shows the chain of causes when debugging', () => {
    const error = new TsbuildError({ code: 'internal', message: 'outer', cause: new Error('inner') });
    expect(renderError(error, { ...plain, debug: true })).toMatch(/caused by: Error: inner\n {2} +at /);
  });
});
