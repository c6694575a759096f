/**
 * Keeps all that the steps of a build print, unclipped: `logs/<time>-<process>/<step>.log` in the store, stdout and stderr as
 * they came. The display shows the last lines only.
 * Invariant: a log that cannot be written never fails a build, and costs nothing where nothing is printed.
 */
import { closeSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type EventSink, makeDirectories, type StepId, systemErrorCode, type TsbuildEvent } from '../core/index.ts';

/** Builds whose logs are kept. */
const keptBuilds = 20;
/** What the display shows of a step that failed; of one that printed more, the log is named. */
const shownLines = 16;

interface Log {
  readonly path: string;
  readonly fd: number;
  lines: number;
}

export class OutputLogs {
  readonly #folder: string;
  readonly #events: EventSink;
  readonly #logs = new Map<StepId, Log>();
  #unusable = false;
  #made: string | undefined;

  /** @param store the store's root @param events what is logged goes on to it, and so does the place of a failed step's log */
  constructor(store: string, events: EventSink) {
    this.#folder = join(store, 'logs');
    this.#events = events;
  }

  readonly sink: EventSink = (event) => {
    if (event.kind === 'step-output') this.#add(event.id, event.chunk);
    this.#events(event);
    if (event.kind === 'step-finished') this.#finish(event);
  };

  /** Of steps that never finished. */
  close(): void {
    for (const { fd } of this.#logs.values()) closeSync(fd);
    this.#logs.clear();
  }

  #add(id: StepId, chunk: Uint8Array): void {
    if (this.#unusable) return;
    try {
      const log = this.#logs.get(id) ?? this.#open(id);
      for (let at = 0; at < chunk.length; ) at += writeSync(log.fd, chunk, at);
      for (const byte of chunk) if (byte === 10) log.lines += 1;
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === undefined) throw error;
      this.#unusable = true;
      const message = `the output of steps is not kept in ${this.#folder} (${code})`;
      this.#events({ kind: 'notice', level: 'warning', message });
    }
  }

  #finish({ id, outcome }: Extract<TsbuildEvent, { kind: 'step-finished' }>): void {
    const log = this.#logs.get(id);
    if (log === undefined) return;
    this.#logs.delete(id);
    closeSync(log.fd);
    if (outcome !== 'failed' || log.lines <= shownLines) return;
    this.#events({ kind: 'notice', level: 'info', message: `all ${log.lines} lines it printed: ${log.path}` });
  }

  #open(id: StepId): Log {
    this.#made ??= this.#makeFolder();
    // IDs of steps are made by the planner, but a file name allows less.
    const path = join(this.#made, `${String(id).replaceAll(/[^\w.-]+/g, '-')}.log`);
    const log = { path, fd: openSync(path, 'a', 0o600), lines: 0 };
    this.#logs.set(id, log);
    return log;
  }

  /** Names sort by time. */
  #makeFolder(): string {
    const name = `${new Date().toISOString().replaceAll(':', '')}-${process.pid}`;
    makeDirectories(join(this.#folder, name), 0o700);
    for (const old of readdirSync(this.#folder).sort().slice(0, -keptBuilds)) {
      rmSync(join(this.#folder, old), { recursive: true, force: true });
    }
    return join(this.#folder, name);
  }
}
