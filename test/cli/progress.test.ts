import { describe, expect, test } from 'vitest';
import { PlainRenderer } from '../../src/cli/progress/plain.ts';
import { RawJsonRenderer } from '../../src/cli/progress/rawjson.ts';
import { TtyRenderer } from '../../src/cli/progress/tty.ts';
import { styleFor } from '../../src/cli/style.ts';
import { TsbuildError, type TsbuildEvent } from '../../src/core/index.ts';
import { VirtualTerminal } from '../support/virtual-terminal.ts';

/** What happened, and when: milliseconds from the start. */
type Recording = readonly (readonly [at: number, event: TsbuildEvent])[];

const started = (id: string, title = `[build ${id}] RUN ${id}`): TsbuildEvent => ({
  kind: 'step-started',
  step: { id, title },
});
const output = (id: string, text: string): TsbuildEvent => ({
  kind: 'step-output',
  id,
  stream: 'stdout',
  chunk: Buffer.from(text),
});
const finished = (
  id: string,
  milliseconds: number,
  outcome: 'done' | 'cached' | 'cancelled' = 'done',
): TsbuildEvent => ({
  kind: 'step-finished',
  id,
  outcome,
  milliseconds,
});
const failed = (id: string, milliseconds: number, message: string): TsbuildEvent => ({
  kind: 'step-finished',
  id,
  outcome: 'failed',
  milliseconds,
  error: new TsbuildError({ code: 'internal', message }),
});

function playPlain(recording: Recording, isTerminal = false): string {
  let now = 0;
  let text = '';
  const renderer = new PlainRenderer({ now: () => now, write: (part) => (text += part), isTerminal });
  for (const [at, event] of recording) {
    while (now < at) {
      now = Math.min(at, now + 100);
      renderer.tick();
    }
    renderer.handle(event);
  }
  renderer.close();
  return text;
}

describe('plain progress', () => {
  test('prints each step with its number, every line with its time, and how it ended', () => {
    const text = playPlain([
      [0, { kind: 'plan', steps: [{ id: 'a', title: '[build 1/2] FROM x' }] }],
      [0, finished('a', 0, 'cached')],
      [10, started('b', '[build 2/2] RUN make')],
      [322, output('b', 'one\ntwo\nthr')],
      [400, output('b', 'ee')],
      [410, finished('b', 400)],
      [500, started('c', 'exporting')],
      [500, failed('c', 0, 'the disk is full')],
    ]);
    expect(text).toBe(
      [
        '#1 [build 1/2] FROM x',
        '#1 CACHED',
        '',
        '#2 [build 2/2] RUN make',
        '#2 0.312 one',
        '#2 0.312 two',
        '#2 0.400 three',
        '#2 DONE 0.4s',
        '',
        '#3 exporting',
        '#3 ERROR: the disk is full',
        '',
      ].join('\n'),
    );
  });

  test('keeps the lines of concurrent steps together', () => {
    const text = playPlain([
      [0, started('a')],
      [0, started('b')],
      [100, output('a', 'a1\n')],
      [100, output('b', 'b1\n')],
      [200, output('a', 'a2\n')],
      [300, finished('a', 300)],
      [400, finished('b', 400)],
    ]);
    expect(text).toBe(
      [
        '#1 [build a] RUN a',
        '#1 0.100 a1',
        '#1 0.200 a2',
        '#1 DONE 0.3s',
        '',
        '#2 [build b] RUN b',
        '#2 0.100 b1',
        '#2 DONE 0.4s',
        '',
      ].join('\n'),
    );
  });

  test('gives the floor to another step when its holder is silent, and says so', () => {
    const text = playPlain([
      [0, started('a')],
      [0, started('b')],
      [100, output('a', 'a1\n')],
      [200, output('b', 'b1\n')],
      [5000, output('a', 'a2\n')],
      [5000, finished('a', 5000)],
      [6000, finished('b', 6000, 'cancelled')],
    ]);
    expect(text).toBe(
      [
        '#1 [build a] RUN a',
        '#1 0.100 a1',
        '#1 ...',
        '',
        '#2 [build b] RUN b',
        '#2 0.200 b1',
        '#2 ...',
        '',
        '#1 [build a] RUN a',
        '#1 5.000 a2',
        '#1 DONE 5.0s',
        '',
        '#2 [build b] RUN b',
        '#2 CANCELED',
        '',
      ].join('\n'),
    );
  });

  test('lets nobody wait for more than five seconds for a step that never stops talking', () => {
    const talk = Array.from({ length: 80 }, (_, i) => [i * 100, output('a', `a${i}\n`)] as const);
    const text = playPlain([[0, started('a')], [0, started('b')], ...talk.slice(1), [8000, finished('b', 1)]]);
    const lines = text.split('\n');
    expect(lines.indexOf('#2 [build b] RUN b')).toBeLessThan(lines.indexOf('#1 5.500 a55'));
    expect(lines.filter((line) => / a\d+$/.test(line))).toHaveLength(79);
  });

  test('loses no byte of a letter that is cut in two', () => {
    const bytes = Buffer.from('größe\n');
    const text = playPlain([
      [0, started('a')],
      [0, { kind: 'step-output', id: 'a', stream: 'stderr', chunk: bytes.subarray(0, 3) }],
      [0, { kind: 'step-output', id: 'a', stream: 'stderr', chunk: bytes.subarray(3) }],
    ]);
    expect(text).toContain('#1 0.000 größe\n');
  });

  test('reports transfers when they are complete, and now and then before', () => {
    const transfer = (done: number): TsbuildEvent => ({
      kind: 'transfer',
      id: 'a',
      item: 'sha256:abc',
      done,
      total: 3_000_000,
    });
    const text = playPlain([
      [0, started('a', 'pull x')],
      [0, transfer(0)],
      [100, transfer(500_000)],
      [5100, transfer(1_500_000)],
      [6000, transfer(3_000_000)],
      [6000, finished('a', 6000)],
    ]);
    expect(text).toBe(
      ['#1 pull x', '#1 sha256:abc 1.5MB / 3MB 5.1s', '#1 sha256:abc 3MB / 3MB 6.0s done', '#1 DONE 6.0s', ''].join(
        '\n',
      ),
    );
  });

  test('prints notices at once and the warnings of checks once, at the end', () => {
    const source = {
      file: 'Dockerfile',
      text: 'from x',
      range: { start: { line: 1, column: 1 }, end: { line: 1, column: 5 } },
    };
    const check: TsbuildEvent = {
      kind: 'notice',
      level: 'warning',
      message: 'casing',
      code: 'ConsistentInstructionCasing',
      source,
    };
    const text = playPlain([
      [0, check],
      [0, { kind: 'notice', level: 'info', message: 'isolation: root' }],
      [0, { kind: 'notice', level: 'warning', message: 'no network' }],
      [0, started('a')],
      [0, finished('a', 0)],
      [0, check],
    ]);
    expect(text).toBe(
      [
        'isolation: root',
        'WARNING: no network',
        '#1 [build a] RUN a',
        '#1 DONE 0.0s',
        '',
        '1 warning:',
        ' - ConsistentInstructionCasing: casing (Dockerfile:1, see docs/checks/ConsistentInstructionCasing.md)',
        '',
      ].join('\n'),
    );
  });

  test('hands escape sequences of a step to a file, not to a terminal', () => {
    const recording: Recording = [
      [0, started('a')],
      [0, output('a', '\u001b[2Jhello\n')],
    ];
    expect(playPlain(recording)).toContain('0.000 \u001b[2Jhello');
    expect(playPlain(recording, true)).toContain('0.000 hello');
  });
});

class Live {
  now = 0;
  readonly screen: VirtualTerminal;
  readonly renderer: TtyRenderer;

  constructor(columns: number, rows: number, colour = false) {
    this.screen = new VirtualTerminal(columns, rows);
    this.renderer = new TtyRenderer({
      now: () => this.now,
      write: (text) => this.screen.write(text),
      style: styleFor(colour),
      size: () => ({ columns: this.screen.columns, rows: this.screen.rows }),
      verb: 'Building',
    });
  }

  play(recording: Recording): this {
    for (const [at, event] of recording) {
      this.until(at);
      this.renderer.handle(event);
    }
    return this;
  }

  until(at: number): this {
    while (this.now < at) {
      this.now = Math.min(at, this.now + 100);
      this.renderer.draw();
    }
    return this;
  }
}

describe('live progress', () => {
  test('shows finished, cached and running steps, and the last lines of those that run', () => {
    const live = new Live(50, 20).play([
      [0, { kind: 'plan', steps: ['a', 'b', 'c', 'd'].map((id) => ({ id, title: `[${id}] RUN ${id}` })) }],
      [0, started('a', '[a] FROM x')],
      [0, finished('a', 0, 'cached')],
      [0, started('b', '[b] RUN b')],
      [300, finished('b', 300)],
      [300, started('c', '[c] RUN c')],
      [500, output('c', 'first\nsecond\nprogress 10%\rprogress 20%')],
    ]);
    expect(live.until(1000).screen.text()).toBe(
      [
        'Building 1.0s (2/4)',
        ' ✔ [a] FROM x                              CACHED',
        ' ✔ [b] RUN b                                 0.3s',
        ' ⠋ [c] RUN c                                 0.7s',
        '   │ first',
        '   │ second',
        '   │ progress 20%',
      ].join('\n'),
    );
  });

  test('leaves every step and no log on the screen when it closes, however small the screen', () => {
    const ids = Array.from({ length: 12 }, (_, i) => `s${i}`);
    const live = new Live(40, 6).play(
      ids.flatMap((id, i) => [
        [i * 100, started(id, `RUN ${id}`)],
        [i * 100, output(id, 'noise\n')],
        [i * 100 + 100, finished(id, 100)],
      ]),
    );
    live.renderer.close();
    expect(live.screen.text()).toBe(
      ['Building 1.2s (12/12)', ...ids.map((id) => ` ✔ RUN ${id}`.padEnd(35).concat('0.1s'))].join('\n'),
    );
    expect(live.screen.cursorVisible).toBe(true);
  });

  test('folds finished steps when they do not fit', () => {
    const ids = Array.from({ length: 9 }, (_, i) => `s${i}`);
    const live = new Live(40, 7).play([
      ...ids.flatMap(
        (id): Recording => [
          [0, started(id, `RUN ${id}`)],
          [0, finished(id, 100)],
        ],
      ),
      [0, started('last', 'RUN last')],
      [0, output('last', 'one\ntwo\n')],
    ]);
    const lines = live.until(100).screen.text().split('\n');
    expect(lines).toHaveLength(6);
    expect(lines[1]).toMatch(/more finished$/);
    expect(lines.slice(-3).map((line) => line.trim().split(/ {2,}/)[0])).toEqual(['⠙ RUN last', '│ one', '│ two']);
  });

  test('draws a bar, the amount and the rate of each transfer that has begun, and counts those that wait', () => {
    const transfer = (done: number, byte = 'ab'): TsbuildEvent => ({
      kind: 'transfer',
      id: 'p',
      item: `sha256:${byte.repeat(32)}`,
      done,
      total: 20_000_000,
    });
    const live = new Live(90, 20).play([
      [0, started('p', 'pulling alpine')],
      [0, transfer(0, 'cd')],
      [0, transfer(0)],
      [1000, transfer(1)],
      [3000, transfer(10_000_000)],
    ]);
    expect(live.until(3100).screen.text().split('\n').slice(2, 4)).toEqual([
      '   sha256:abababababab ████████░░░░░░░░       10MB / 20MB  4.76MB/s',
      '   0 of 2 complete, 10MB / 40MB  3.23MB/s',
    ]);
  });

  test('prints notices above the picture and keeps them', () => {
    const live = new Live(40, 10).play([
      [0, started('a', 'RUN a')],
      [100, { kind: 'notice', level: 'info', message: 'isolation: userns' }],
      [200, finished('a', 200)],
    ]);
    live.renderer.close();
    expect(
      live.screen
        .text()
        .split('\n')
        .map((line) => line.trim().split(/ {3,}/)[0]),
    ).toEqual(['isolation: userns', 'Building 0.2s (1/1)', '✔ RUN a']);
  });

  test('draws no line wider than the screen, also after it became narrower', () => {
    const live = new Live(80, 10).play([
      [0, started('a', `RUN ${'long '.repeat(40)}`)],
      [0, output('a', `${'変'.repeat(100)}\n`)],
    ]);
    live.until(300);
    live.screen.resize(30, 10);
    live.until(600);
    live.renderer.close();
    const lines = live.screen.text().split('\n');
    expect(lines.at(-1)).toMatch(/^ – RUN long.*… 0\.6s$/);
    expect(lines.at(-1)?.length).toBeLessThanOrEqual(30);
  });

  test('lets no escape sequence of a step reach the terminal', () => {
    const live = new Live(60, 10).play([
      [0, started('a', 'RUN \u001b[2Jx')],
      [0, output('a', '\u001b]0;owned\u0007\u001b[5Aup\n')],
    ]);
    expect(live.until(100).screen.text()).toMatch(/RUN x .*\n {3}│ up$/);
  });
});

describe('rawjson progress', () => {
  test('prints the objects of BuildKit, one a line', () => {
    const lines: string[] = [];
    const renderer = new RawJsonRenderer({ now: () => 0, write: (text) => lines.push(text) });
    for (const event of [
      { kind: 'plan', steps: [{ id: 'a', title: 'RUN a' }] } as const,
      started('a', 'RUN a'),
      output('a', 'x\n'),
      finished('a', 5),
    ]) {
      renderer.handle(event);
    }
    const digest = expect.stringMatching(/^sha256:[0-9a-f]{64}$/);
    const time = '1970-01-01T00:00:00.000Z';
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      { vertexes: [{ digest, name: 'RUN a' }] },
      { vertexes: [{ digest, name: 'RUN a', started: time }] },
      { logs: [{ vertex: digest, stream: 1, data: 'eAo=', timestamp: time }] },
      { vertexes: [{ digest, name: 'RUN a', started: time, completed: time }] },
    ]);
  });
});
