/**
 * The helper as a server of steps (native/serve.h has the wire form): one process for a build, which forks for each step.
 * Starting a program takes this process, with all its memory, longer than the helper takes to make a sandbox.
 * Invariants: a run settles only when every process of the step is gone and everything it wrote has been handed on. The
 * mounts of one that succeeded may go a moment later; the server mounts no root before they have. It ends with this
 * process, and its steps with it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import type { Duplex } from 'node:stream';
import { TsbuildError } from '../core/index.ts';
import { helperMissing } from './failures.ts';
import { decodeRecords, type HelperEnd, signalName } from './records.ts';
import type { RunOptions } from './types.ts';

const requests = { step: 1, signal: 2, begin: 3, hold: 4, mount: 5 } as const;
const answers = { output: 1, error: 2, records: 3, exited: 4, killed: 5 } as const;
const headerSize = 9;
const nothing = Buffer.alloc(0);

interface Run {
  readonly onOutput: RunOptions['onOutput'];
  readonly held: RunOptions['held'];
  readonly records: Buffer[];
  readonly settle: (end: Omit<HelperEnd, 'records'>) => void;
  readonly fail: (error: TsbuildError) => void;
}

export class StepServer {
  readonly #program: string;
  readonly #mode: readonly string[];
  #process: ServerProcess | undefined;

  /** @param mode the arguments that say what all its steps have in common (`serverMode`) */
  constructor(program: string, mode: readonly string[]) {
    this.#program = program;
    this.#mode = mode;
  }

  /**
   * @param later what the spec of a held step is when its root may be mounted, if it is another one by then
   * @throws TsbuildError `sandbox-helper-missing` when it cannot be started. An abort is passed on as SIGUSR2
   */
  async run(spec: Buffer, options: RunOptions, later: () => Buffer | undefined): Promise<HelperEnd> {
    return await this.#running().run(spec, options, later);
  }

  /** So that the first step finds it ready. */
  start(): void {
    this.#running();
  }

  /** Resolves when the server is gone. */
  async close(): Promise<void> {
    await this.#process?.close();
    this.#process = undefined;
  }

  #running(): ServerProcess {
    if (!this.#process?.isAlive) this.#process = new ServerProcess(this.#program, this.#mode);
    return this.#process;
  }
}

class ServerProcess {
  readonly #child: ChildProcess;
  readonly #runs = new Map<number, Run>();
  readonly #ended: Promise<void>;
  #numbers = 0;
  #isAlive = true;
  /** Receivers of output that ask for no more. */
  #holding = 0;
  /** Of an answer that has not arrived as a whole. */
  #rest: Buffer = Buffer.alloc(0);

  constructor(program: string, mode: readonly string[]) {
    this.#child = spawn(program, ['serve', ...mode], {
      argv0: 'tsbuild-sandbox',
      cwd: '/',
      env: {},
      stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'],
    });
    this.#ended = new Promise((resolve) => {
      this.#child.on('error', (cause) => this.#lost(helperMissing(program, cause), resolve));
      this.#child.on('close', (code, signal) => this.#lost(gone(signal ?? `exit code ${code}`), resolve));
    });
    // What cannot be written any more is known by its end.
    this.#requests.on('error', () => {});
    this.#answers.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#wait();
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  async run(spec: Buffer, options: RunOptions, later: () => Buffer | undefined): Promise<HelperEnd> {
    this.#numbers += 1;
    const number = this.#numbers;
    const { signal, onOutput, onStart, held } = options;
    const send = (name: NodeJS.Signals) => this.#request(requests.signal, number, Buffer.of(constants.signals[name]));
    let isMounted = held === undefined;
    // Before, there is nothing of it that would have to be put in order.
    const abort = () => send(isMounted ? 'SIGUSR2' : 'SIGKILL');
    const mount = () => {
      isMounted = true;
      this.#request(requests.mount, number, later() ?? nothing);
      held?.onBegun();
    };
    const records: Buffer[] = [];
    try {
      const end = await new Promise<Omit<HelperEnd, 'records'>>((settle, fail) => {
        this.#runs.set(number, { onOutput, held, records, settle, fail });
        this.#wait();
        this.#request(held ? requests.hold : requests.step, number, spec);
        onStart?.(send);
        held?.rooted.then(mount, abort);
        held?.needed.then(() => this.#request(requests.begin, number, nothing), abort);
        signal.addEventListener('abort', abort, { once: true });
      });
      return { ...end, records: decodeRecords(Buffer.concat(records)) };
    } finally {
      signal.removeEventListener('abort', abort);
      this.#runs.delete(number);
      this.#wait();
    }
  }

  async close(): Promise<void> {
    if (!this.#isAlive) return;
    this.#child.ref();
    this.#requests.end();
    await this.#ended;
  }

  /** Between steps it does not keep this process from ending. */
  #wait(): void {
    const change = this.#runs.size > 0 ? 'ref' : 'unref';
    this.#child[change]();
    for (const stream of [this.#requests, this.#answers]) stream[change]();
  }

  #request(kind: number, run: number, data: Buffer): void {
    const header = Buffer.alloc(headerSize);
    header.writeUInt8(kind);
    header.writeUInt32LE(run, 1);
    header.writeUInt32LE(data.byteLength, 5);
    this.#requests.cork();
    this.#requests.write(header);
    this.#requests.write(data);
    this.#requests.uncork();
  }

  #take(chunk: Buffer): void {
    const data = this.#rest.byteLength === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    while (at + headerSize <= data.byteLength) {
      const end = at + headerSize + data.readUInt32LE(at + 5);
      if (end > data.byteLength) break;
      const run = this.#runs.get(data.readUInt32LE(at + 1));
      const taken = run && answer(run, data.readUInt8(at), data.subarray(at + headerSize, end));
      if (taken instanceof Promise) this.#holdBack(taken);
      at = end;
    }
    this.#rest = data.subarray(at);
  }

  /** Of all steps: they share one stream. */
  #holdBack(until: Promise<unknown>): void {
    this.#answers.pause();
    this.#holding += 1;
    const done = () => {
      this.#holding -= 1;
      if (this.#holding === 0) this.#answers.resume();
    };
    until.then(done, done);
  }

  #lost(error: TsbuildError, done: () => void): void {
    this.#isAlive = false;
    for (const run of this.#runs.values()) run.fail(error);
    done();
  }

  get #requests(): Stream {
    return this.#child.stdio[3] as Stream;
  }

  get #answers(): Stream {
    return this.#child.stdio[4] as Stream;
  }
}

/** Both are sockets. */
type Stream = Duplex & { ref(): unknown; unref(): unknown };

/** @returns what the receiver of output says */
function answer(run: Run, kind: number, data: Buffer): unknown {
  switch (kind) {
    case answers.output:
      return run.onOutput('stdout', data);
    case answers.error:
      return run.onOutput('stderr', data);
    case answers.records:
      run.records.push(data);
      if (run.held && decodeRecords(data).some(({ kind }) => kind === 'ready')) run.held.onRootOpen();
      break;
    case answers.exited:
      run.settle({ code: data.readUInt8(), signal: null });
      break;
    case answers.killed:
      run.settle({ code: null, signal: signalName(data.readUInt8()) as NodeJS.Signals });
      break;
  }
  return undefined;
}

function gone(how: string): TsbuildError {
  return new TsbuildError({
    code: 'sandbox-lost',
    message: `the sandbox helper ended before its step did (${how})`,
    hint: 'look in the kernel log for an out-of-memory kill',
  });
}
