/**
 * Runs of the helper: spec in, output and records out. From the second run on a helper stands ready for the next one:
 * starting a process takes this one, with all its memory, longer than the helper takes to make a sandbox.
 * Invariants: a run settles only when its helper is gone and everything the step wrote has been handed on; the helper
 * goes only when every process of the step has. A helper without a spec does nothing, and ends with this process.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { TsbuildError } from '../core/index.ts';
import { decodeRecords, type HelperRecord } from './records.ts';
import type { RunOptions } from './types.ts';

export interface HelperEnd {
  readonly records: readonly HelperRecord[];
  /** Of the helper itself; null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** How long a helper stands ready, milliseconds: builds whose steps take longer do not notice the start of one. */
const readiness = 5000;

export class Helpers {
  readonly #program: string;
  #ready: Helper | undefined;
  #dismissal: NodeJS.Timeout | undefined;
  #runs = 0;

  constructor(program: string) {
    this.#program = program;
  }

  /** @throws TsbuildError `sandbox-helper-missing` when it cannot be started. An abort is passed on as SIGUSR2. */
  async run(spec: Buffer, options: RunOptions): Promise<HelperEnd> {
    if (options.attach) return new Helper(this.#program, options.attach).run(spec, options);
    const helper = this.#take();
    this.#runs += 1;
    const done = helper.run(spec, options);
    if (this.#runs > 1 && this.#ready === undefined) this.#prepare();
    return done;
  }

  /** Dismisses the one that stands ready. */
  async close(): Promise<void> {
    clearTimeout(this.#dismissal);
    const ready = this.#ready;
    this.#ready = undefined;
    await ready?.dismiss();
  }

  #take(): Helper {
    const ready = this.#ready;
    this.#ready = undefined;
    clearTimeout(this.#dismissal);
    return ready?.isAlive ? ready : new Helper(this.#program);
  }

  #prepare(): void {
    const helper = new Helper(this.#program);
    helper.stand();
    this.#ready = helper;
    this.#dismissal = setTimeout(() => {
      if (this.#ready === helper) this.#ready = undefined;
      void helper.dismiss();
    }, readiness).unref();
  }
}

/** One process of the helper. */
class Helper {
  readonly #child: ChildProcess;
  readonly #ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;

  constructor(program: string, attach: RunOptions['attach'] = { input: false, terminal: false }) {
    const output = attach.terminal ? 'inherit' : 'pipe';
    this.#child = spawn(program, ['run'], {
      argv0: 'tsbuild-sandbox',
      cwd: '/',
      env: {},
      stdio: [attach.input ? 'inherit' : 'ignore', output, output, 'pipe', 'pipe'],
    });
    this.#ended = endOf(this.#child, program);
    this.#ended.catch(() => {
      // Thrown to the run; a helper that gets none is missed by nobody.
    });
    // One that fails early closes its end; its record says why.
    this.#input.on('error', () => {});
  }

  get isAlive(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Keeps this process from ending no longer. */
  stand(): void {
    this.#child.unref();
    for (const stream of this.#streams) stream.unref?.();
  }

  /** Settles when it is gone. */
  async dismiss(): Promise<void> {
    this.#child.ref();
    this.#child.kill('SIGKILL');
    for (const stream of this.#streams) stream.destroy();
    await this.#ended.catch(() => {});
  }

  async run(spec: Buffer, options: RunOptions): Promise<HelperEnd> {
    this.#child.ref();
    for (const stream of this.#streams) stream.ref?.();
    const records: Buffer[] = [];
    if (this.#child.stdout) handOn(this.#child.stdout, (chunk) => options.onOutput('stdout', chunk));
    if (this.#child.stderr) handOn(this.#child.stderr, (chunk) => options.onOutput('stderr', chunk));
    this.#records.on('data', (chunk: Buffer) => records.push(chunk));
    this.#input.end(spec);
    options.onStart?.((name) => this.#child.kill(name));
    const abort = () => this.#child.kill('SIGUSR2');
    options.signal.addEventListener('abort', abort, { once: true });
    try {
      const { code, signal } = await this.#ended;
      return { records: decodeRecords(Buffer.concat(records)), code, signal };
    } finally {
      options.signal.removeEventListener('abort', abort);
    }
  }

  get #input(): Writable {
    return this.#child.stdio[3] as Writable;
  }

  get #records(): Readable {
    return this.#child.stdio[4] as Readable;
  }

  /** Sockets, all of them. */
  get #streams(): readonly { ref?(): void; unref?(): void; destroy(): void }[] {
    return this.#child.stdio.flatMap((stream) => stream ?? []);
  }
}

/** Reads no further while the last chunk is being taken. */
function handOn(stream: Readable, take: (chunk: Buffer) => unknown): void {
  const resume = () => stream.resume();
  stream.on('data', (chunk: Buffer) => {
    const taken = take(chunk);
    if (!(taken instanceof Promise)) return;
    stream.pause();
    taken.then(resume, resume);
  });
}

function endOf(child: ChildProcess, helper: string): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
  return new Promise((resolve, reject) => {
    child.on('error', (cause) => {
      reject(
        new TsbuildError({
          code: 'sandbox-helper-missing',
          message: `the sandbox helper ${helper} cannot be started`,
          hint: 'reinstall tsbuild, or run `npm run build` in its source tree',
          cause,
        }),
      );
    });
    // 'close' comes after the ends of all pipes, 'exit' may come before.
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
}
