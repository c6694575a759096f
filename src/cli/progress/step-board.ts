/**
 * The state of a run, folded from events: what each step is doing, since when, and its last lines. Read by renderers that
 * draw the whole picture again and again.
 */
import type { StepId, StepOutcome, TsbuildEvent } from '../../core/index.ts';
import { LineSplitter } from './renderer.ts';

export interface Transfer {
  readonly item: string;
  done: number;
  total: number | undefined;
  /** When its first bytes came, or, before that, when it was announced. */
  started: number;
  /** Bytes that were there when the transfer was first seen: not counted in the rate. */
  readonly initially: number;
}

export interface BoardStep {
  readonly id: StepId;
  readonly title: string;
  readonly started: number;
  outcome: StepOutcome | undefined;
  milliseconds: number;
  readonly transfers: Map<string, Transfer>;
  /** The last lines printed; at most `keptLines`. */
  readonly lines: string[];
  readonly stdout: LineSplitter;
  readonly stderr: LineSplitter;
}

const keptLines = 16;

export class StepBoard {
  readonly #now: () => number;
  readonly #titles = new Map<StepId, string>();
  readonly #steps = new Map<StepId, BoardStep>();
  readonly started: number;

  constructor(now: () => number) {
    this.#now = now;
    this.started = now();
  }

  /** In the order in which they started. */
  get steps(): readonly BoardStep[] {
    return [...this.#steps.values()];
  }

  /** Planned steps and those that announced themselves. */
  get total(): number {
    return new Set([...this.#titles.keys(), ...this.#steps.keys()]).size;
  }

  get finished(): number {
    return this.steps.filter((step) => step.outcome !== undefined).length;
  }

  handle(event: TsbuildEvent): void {
    switch (event.kind) {
      case 'plan':
        for (const step of event.steps) this.#titles.set(step.id, step.title);
        return;
      case 'step-started':
        this.#stepOf(event.step.id, event.step.title);
        return;
      case 'step-output': {
        const { lines, [event.stream]: splitter } = this.#stepOf(event.id);
        lines.push(...splitter.push(event.chunk).slice(-keptLines));
        lines.splice(0, lines.length - keptLines);
        return;
      }
      case 'transfer': {
        const { transfers } = this.#stepOf(event.id);
        const known = transfers.get(event.item);
        const begins = known?.done === 0 && event.done > 0;
        if (known)
          Object.assign(known, { done: event.done, total: event.total, ...(begins && { started: this.#now() }) });
        else transfers.set(event.item, { ...transferOf(event), started: this.#now(), initially: event.done });
        return;
      }
      case 'step-finished': {
        const step = this.#stepOf(event.id);
        step.outcome = event.outcome;
        step.milliseconds = event.milliseconds;
        return;
      }
      case 'notice':
        return;
    }
  }

  #stepOf(id: StepId, title = this.#titles.get(id) ?? id): BoardStep {
    const known = this.#steps.get(id);
    if (known) return known;
    const step: BoardStep = {
      id,
      title,
      started: this.#now(),
      outcome: undefined,
      milliseconds: 0,
      transfers: new Map(),
      lines: [],
      stdout: new LineSplitter(),
      stderr: new LineSplitter(),
    };
    this.#steps.set(id, step);
    return step;
  }
}

function transferOf({ item, done, total }: { item: string; done: number; total: number | undefined }) {
  return { item, done, total };
}
