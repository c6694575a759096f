/**
 * Worker threads for the work over many files and bytes: synchronous system calls there cost a fraction of what streams
 * cost on the main thread.
 * Invariants: a worker runs one job at a time; a job ends exactly once, with its output, its error or `cancelled`;
 * idle workers do not keep the process alive. The jobs' code is not loaded on this side.
 */
import { setMaxListeners } from 'node:events';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { cancelled, distPath, TsbuildError, throwIfAborted } from '../../core/index.ts';
import { type EntryTable, packEntries, transferables } from '../tree/entry-table.ts';
import type { LayerEntry } from '../types.ts';
import type { JobInput, JobName, JobOutput } from './jobs.ts';
import { errorFrom, type JobReply, type JobRequest } from './messages.ts';

/** What a caller gives: entries of a layer as they are; they are packed on the way. */
export type PoolInput<N extends JobName> = N extends 'writeLayer'
  ? Omit<JobInput<'writeLayer'>, 'entries'> & { readonly entries: Iterable<LayerEntry> }
  : JobInput<N>;

export interface WorkerPool {
  /**
   * Runs a job on the next free worker.
   * @throws TsbuildError the job's own; `cancelled` soon after an abort, when the job has let go of its files;
   *   `worker-failed` when its thread died
   * @param onWritten hears how many bytes of the file it makes are there; never after the job has ended
   */
  run<N extends JobName>(
    job: N,
    input: PoolInput<N>,
    signal: AbortSignal,
    onWritten?: (bytes: number) => void,
  ): Promise<JobOutput<N>>;
  /** Starts a worker, so that the first job finds it ready. */
  warm(): void;
  /** Stops all workers; jobs that still run fail with `cancelled`. */
  close(): Promise<void>;
}

/** @param size workers at most; they are started when there is work for them */
export function createWorkerPool(size = Math.min(Math.max(availableParallelism(), 2), 8)): WorkerPool {
  return new ThreadPool(Math.max(1, size));
}

interface Task {
  readonly job: JobName;
  readonly input: unknown;
  readonly transfer: ArrayBuffer[];
  readonly signal: AbortSignal;
  readonly onWritten: ((bytes: number) => void) | undefined;
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Of a worker, mebibytes; Node's own default is 48. */
const youngGeneration = 12;

/** How long a job may take to notice an abort before its thread is stopped, milliseconds. */
const patience = 5000;

class ThreadPool implements WorkerPool {
  readonly #size: number;
  readonly #threads = new Set<JobThread>();
  readonly #waiting: Task[] = [];
  #closed = false;

  constructor(size: number) {
    this.#size = size;
  }

  async run<N extends JobName>(
    job: N,
    input: PoolInput<N>,
    signal: AbortSignal,
    onWritten?: (bytes: number) => void,
  ): Promise<JobOutput<N>> {
    throwIfAborted(signal);
    if (this.#closed) throw new TsbuildError({ code: 'internal', message: 'the workers were stopped already' });
    // One signal serves a whole build: every job waits on it.
    setMaxListeners(0, signal);
    const packed = pack(job, input);
    const output = await new Promise((resolve, reject) => {
      const task: Task = { job, ...packed, signal, onWritten, resolve, reject };
      const leave = () => {
        const at = this.#waiting.indexOf(task);
        if (at < 0) return;
        this.#waiting.splice(at, 1);
        reject(cancelled(signal));
      };
      signal.addEventListener('abort', leave, { once: true });
      const settle = <T extends unknown[]>(then: (...values: T) => void) => {
        return (...values: T) => {
          signal.removeEventListener('abort', leave);
          then(...values);
        };
      };
      this.#waiting.push(Object.assign(task, { resolve: settle(resolve), reject: settle(reject) }));
      this.#dispatch();
    });
    return output as JobOutput<N>;
  }

  warm(): void {
    if (this.#threads.size === 0 && !this.#closed) this.#start();
  }

  async close(): Promise<void> {
    this.#closed = true;
    const stopped = new TsbuildError({ code: 'cancelled', message: 'the workers were stopped' });
    for (const task of this.#waiting.splice(0)) task.reject(stopped);
    await Promise.all([...this.#threads].map((thread) => thread.stop(stopped)));
  }

  #dispatch(): void {
    while (this.#waiting.length > 0) {
      const free = [...this.#threads].find((thread) => thread.isFree) ?? this.#startIfAllowed();
      if (!free) return;
      const task = this.#waiting.shift();
      if (task) free.take(task);
    }
  }

  #startIfAllowed(): JobThread | undefined {
    return this.#threads.size < this.#size ? this.#start() : undefined;
  }

  #start(): JobThread {
    const thread = new JobThread({
      freed: () => this.#dispatch(),
      ended: () => {
        this.#threads.delete(thread);
        if (!this.#closed) this.#dispatch();
      },
    });
    this.#threads.add(thread);
    return thread;
  }
}

/** One worker thread and the job it has. */
class JobThread {
  readonly #abort = new Int32Array(new SharedArrayBuffer(4));
  readonly #worker: Worker;
  readonly #freed: () => void;
  #task: Task | undefined;
  #number = 0;
  #onAbort: (() => void) | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor({ freed, ended }: { readonly freed: () => void; readonly ended: () => void }) {
    this.#freed = freed;
    this.#worker = new Worker(distPath('layers-worker.js'), {
      workerData: { abort: this.#abort },
      // V8 collects when the young generation's buffers reach its size: a small one keeps what zlib returns from piling up.
      resourceLimits: { maxYoungGenerationSizeMb: youngGeneration },
      // The addon opens descriptors Node does not know of; every job closes what it opened.
      trackUnmanagedFds: false,
    });
    this.#worker.unref();
    this.#worker.on('message', (reply: JobReply) => this.#receive(reply));
    this.#worker.on('error', (error) => this.#fail(workerFailed(error)));
    this.#worker.on('exit', () => {
      this.#fail(workerFailed(undefined));
      ended();
    });
  }

  get isFree(): boolean {
    return this.#task === undefined;
  }

  take(task: Task): void {
    this.#task = task;
    this.#number += 1;
    const number = this.#number;
    this.#onAbort = () => {
      Atomics.store(this.#abort, 0, number);
      this.#timer = setTimeout(() => void this.stop(cancelled(task.signal)), patience);
    };
    task.signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#worker.ref();
    const { job, input, onWritten } = task;
    const request: JobRequest = { number, job, input, tellsWritten: onWritten !== undefined };
    try {
      this.#worker.postMessage(request, task.transfer);
    } catch (error) {
      this.#release()?.reject(error);
    }
    if (task.signal.aborted) this.#onAbort();
  }

  async stop(reason: TsbuildError): Promise<void> {
    this.#release()?.reject(reason);
    await this.#worker.terminate();
  }

  #receive(reply: JobReply): void {
    if (reply.number !== this.#number) return;
    if (reply.kind === 'written') {
      this.#task?.onWritten?.(reply.bytes);
      return;
    }
    const task = this.#release();
    if (reply.kind === 'done') task?.resolve(reply.output);
    else if (reply.error.code === 'cancelled' && task?.signal.aborted) task.reject(cancelled(task.signal));
    else task?.reject(errorFrom(reply.error));
    this.#freed();
  }

  #fail(error: TsbuildError): void {
    this.#release()?.reject(error);
  }

  #release(): Task | undefined {
    const task = this.#task;
    this.#task = undefined;
    clearTimeout(this.#timer);
    if (this.#onAbort) task?.signal.removeEventListener('abort', this.#onAbort);
    this.#onAbort = undefined;
    this.#worker.unref();
    return task;
  }
}

function pack<N extends JobName>(job: N, input: PoolInput<N>): { input: unknown; transfer: ArrayBuffer[] } {
  if (job !== 'writeLayer') return { input, transfer: [] };
  const { entries, ...rest } = input as PoolInput<'writeLayer'>;
  const table: EntryTable = packEntries(entries);
  return { input: { ...rest, entries: table }, transfer: transferables(table) };
}

function workerFailed(cause: unknown): TsbuildError {
  return new TsbuildError({
    code: 'worker-failed',
    message: `a worker thread ended before its work was done${cause instanceof Error ? `: ${cause.message}` : ''}`,
    hint: 'Run the command again; if it stays so, free memory or report a bug.',
    cause,
  });
}
