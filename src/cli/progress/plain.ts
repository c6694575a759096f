/**
 * Progress for logs and pipes: every line of every step, in docker buildx's plain style, each with the step's number.
 * One step holds the floor while it talks, so that its lines stay together; the others' lines wait until it has finished, is
 * silent for a second, or has made them wait for five.
 * Invariant: nothing a step printed is lost or reordered within the step.
 */
import type { StepId, StepInfo, TsbuildEvent } from '../../core/index.ts';
import { formatBytes, formatDuration, printable } from '../style.ts';
import { LineSplitter, type ProgressRenderer, type RendererOutput } from './renderer.ts';
import { WarningList } from './warning-list.ts';

export interface PlainOptions extends RendererOutput {
  /** The lines end on a terminal: escape sequences of steps are taken out. */
  readonly isTerminal: boolean;
  /** Marks warnings; identity without colour. */
  readonly emphasise?: (text: string) => string;
}

interface PlainStep {
  readonly number: number;
  readonly title: string;
  readonly started: number;
  readonly stdout: LineSplitter;
  readonly stderr: LineSplitter;
  readonly transfers: Map<string, number>;
  /** Lines not written yet, complete but for the `#n `. */
  waiting: string[];
  waitingSince: number | undefined;
  introduced: boolean;
  finished: boolean;
}

const silence = 1000;
const patience = 5000;
const transferInterval = 5000;

export class PlainRenderer implements ProgressRenderer {
  readonly #options: PlainOptions;
  readonly #titles = new Map<StepId, string>();
  readonly #steps = new Map<StepId, PlainStep>();
  readonly #warnings = new WarningList();
  #current: PlainStep | undefined;
  #lastWrite = 0;
  #wroteBlock = false;

  constructor(options: PlainOptions) {
    this.#options = options;
  }

  handle(event: TsbuildEvent): void {
    switch (event.kind) {
      case 'plan':
        for (const step of event.steps) this.#titles.set(step.id, step.title);
        return;
      case 'step-started':
        this.#start(event.step);
        break;
      case 'step-output': {
        const step = this.#stepOf(event.id);
        for (const line of step[event.stream].push(event.chunk)) this.#say(step, this.#timed(step, line));
        break;
      }
      case 'transfer':
        this.#transfer(this.#stepOf(event.id), event);
        break;
      case 'step-finished':
        this.#finish(this.#stepOf(event.id), event);
        break;
      case 'notice':
        this.#notice(event);
        break;
    }
    this.tick();
  }

  /** Gives the floor on when its holder is silent. Called with every event, and by a timer. */
  tick(): void {
    const now = this.#options.now();
    for (;;) {
      if (this.#current) this.#drain(this.#current);
      if (this.#current?.finished) this.#current = undefined;
      const next = this.#nextWaiting();
      if (!next) return;
      if (this.#current) {
        const impatient = now - (next.waitingSince ?? now) >= patience;
        if (now - this.#lastWrite < silence && !impatient) return;
        this.#write(`#${this.#current.number} ...`);
      }
      this.#takeFloor(next);
    }
  }

  close(): void {
    if (this.#current) this.#drain(this.#current);
    this.#current = undefined;
    for (let next = this.#nextWaiting(); next; next = this.#nextWaiting()) {
      this.#takeFloor(next);
      this.#drain(next);
    }
    const lines = this.#warnings.render();
    if (lines.length > 0) this.#write(['', ...lines].join('\n'));
  }

  #start(info: StepInfo): PlainStep {
    const existing = this.#steps.get(info.id);
    if (existing) return existing;
    const step: PlainStep = {
      number: this.#steps.size + 1,
      title: info.title,
      started: this.#options.now(),
      stdout: new LineSplitter(),
      stderr: new LineSplitter(),
      transfers: new Map(),
      waiting: [],
      waitingSince: this.#options.now(),
      introduced: false,
      finished: false,
    };
    this.#steps.set(info.id, step);
    return step;
  }

  #stepOf(id: StepId): PlainStep {
    return this.#steps.get(id) ?? this.#start({ id, title: this.#titles.get(id) ?? id });
  }

  #finish(step: PlainStep, event: Extract<TsbuildEvent, { kind: 'step-finished' }>): void {
    for (const line of [...step.stdout.end(), ...step.stderr.end()]) this.#say(step, this.#timed(step, line));
    const outcomes = {
      done: `DONE ${formatDuration(event.milliseconds)}`,
      cached: 'CACHED',
      failed: `ERROR: ${printable(event.error?.message ?? 'failed')}`,
      cancelled: 'CANCELED',
    };
    this.#say(step, outcomes[event.outcome]);
    step.finished = true;
  }

  #transfer(step: PlainStep, event: Extract<TsbuildEvent, { kind: 'transfer' }>): void {
    const now = this.#options.now();
    const complete = event.total !== undefined && event.done >= event.total;
    const last = step.transfers.get(event.item);
    if (last === Number.POSITIVE_INFINITY) return;
    const due = complete || (last !== undefined && now - last >= transferInterval);
    // A small blob is done before anyone wants to know that it began: the first line comes after an interval.
    if (due || last === undefined) step.transfers.set(event.item, complete ? Number.POSITIVE_INFINITY : now);
    if (!due) return;
    const amount =
      event.total === undefined ? formatBytes(event.done) : `${formatBytes(event.done)} / ${formatBytes(event.total)}`;
    const time = ((now - step.started) / 1000).toFixed(1);
    this.#say(step, `${printable(event.item)} ${amount} ${time}s${complete ? ' done' : ''}`);
  }

  #notice(event: Extract<TsbuildEvent, { kind: 'notice' }>): void {
    if (event.level === 'warning' && event.source !== undefined) {
      this.#warnings.add(event);
      return;
    }
    const mark = event.level === 'warning' ? 'WARNING: ' : '';
    const text = `${mark}${printable(event.message)}`;
    this.#write(event.level === 'warning' ? (this.#options.emphasise?.(text) ?? text) : text);
  }

  #timed(step: PlainStep, line: string): string {
    const text = this.#options.isTerminal ? printable(line) : line;
    return `${((this.#options.now() - step.started) / 1000).toFixed(3)} ${text}`.trimEnd();
  }

  #say(step: PlainStep, line: string): void {
    step.waitingSince ??= this.#options.now();
    step.waiting.push(line);
  }

  #nextWaiting(): PlainStep | undefined {
    for (const step of this.#steps.values()) {
      if (step !== this.#current && (step.waiting.length > 0 || !step.introduced)) return step;
    }
    return undefined;
  }

  #takeFloor(step: PlainStep): void {
    this.#current = step;
    step.introduced = true;
    this.#write(`${this.#wroteBlock ? '\n' : ''}#${step.number} ${printable(step.title)}`);
    this.#wroteBlock = true;
  }

  #drain(step: PlainStep): void {
    if (step.waiting.length > 0) this.#write(step.waiting.map((line) => `#${step.number} ${line}`).join('\n'));
    step.waiting = [];
    step.waitingSince = undefined;
  }

  #write(text: string): void {
    this.#lastWrite = this.#options.now();
    this.#options.write(`${text}\n`);
  }
}
