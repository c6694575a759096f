/**
 * The next RUN of a stage, made ready while the changes of the one beneath are packed: its root lies over that one's, and
 * all of it is there but its program, which starts when its key has said that it must run.
 * Invariants: a step is held only where nothing but tsbuild can notice, so none with mounts or privileges; one that is not
 * needed ends without its program, before the stage goes on. The root beneath keeps its name until the held one is open,
 * and its files until the held step has ended.
 */
import { TsbuildError } from '../../core/index.ts';
import type { Sandbox, StepResult } from '../../sandbox/index.ts';
import type { Operation, RunOperation, Step } from '../plan/index.ts';
import { type Command, startCommand, succeeded } from './run-command.ts';
import type { StepRoot } from './step-root.ts';
import type { StepContext } from './types.ts';

/** What is left to do for the step beneath a held one. */
interface Beneath {
  keep(): Promise<void>;
  release(): Promise<void>;
}

export class HeldRun {
  readonly step: Step;
  readonly root: StepRoot;
  /** Settles when its sandbox has what it needs to begin, or there will be none. */
  readonly begun: Promise<unknown>;
  readonly #command: Command;
  readonly #ended: Promise<unknown>;
  readonly #rootIsOpen: Promise<unknown>;
  readonly #needed: Switch;
  #beneath: Beneath | undefined;

  constructor(
    step: Step,
    root: StepRoot,
    command: Command,
    switches: Readonly<Record<'needed' | 'begun' | 'open', Switch>>,
  ) {
    this.step = step;
    this.root = root;
    this.#command = command;
    this.#ended = Promise.allSettled([command.result]);
    this.begun = Promise.race([switches.begun.promise, this.#ended]);
    this.#rootIsOpen = Promise.race([switches.open.promise, this.#ended]);
    this.#needed = switches.needed;
  }

  /** Starts the program. */
  begin(): Command {
    this.#needed.on();
    return this.#command;
  }

  /** The step beneath was packed: what remains to be done for it is this one's. */
  takeOver(beneath: Beneath): void {
    this.#beneath = beneath;
  }

  async keepBeneath(): Promise<void> {
    await this.#rootIsOpen;
    await this.#beneath?.keep();
  }

  /** After the command has ended. */
  async releaseBeneath(): Promise<void> {
    await this.#beneath?.release();
  }

  async refuse(): Promise<void> {
    this.#needed.off(new TsbuildError({ code: 'cancelled', message: 'the step is not needed' }));
    await this.#ended;
    await this.root.release();
    try {
      await this.keepBeneath();
    } finally {
      await this.releaseBeneath();
    }
  }
}

/** One stage's. */
export class RunAhead implements AsyncDisposable {
  #held: HeldRun | undefined;

  /** While the command of `context`'s step runs in `root`: holds the next step, if it can be held. */
  async hold(sandbox: Sandbox, context: StepContext, operation: RunOperation, below: RootUnder): Promise<void> {
    const { next } = context;
    if (!next || !below.root.above || !canBeHeld(next.step.operation, operation)) return;
    const root = await below.root.above();
    const [needed, begun, open] = [makeSwitch(), makeSwitch(), makeSwitch()];
    const rooted = below.result.then((result) => {
      if (!succeeded(result)) throw new TsbuildError({ code: 'cancelled', message: 'the step beneath failed' });
      root.lay();
    });
    rooted.catch(() => {
      // The sandbox hears it, unless it gave up before.
    });
    const held = { rooted, needed: needed.promise, onBegun: begun.on, onRootOpen: open.on };
    const command = await startCommand(sandbox, { ...context, ...next }, next.step.operation, root, undefined, held);
    this.#held = new HeldRun(next.step, root, command, { needed, begun, open });
  }

  get held(): HeldRun | undefined {
    return this.#held;
  }

  /** What is held of a step. It is the caller's now. */
  take(step: Step): HeldRun | undefined {
    if (this.#held?.step !== step) return undefined;
    const held = this.#held;
    this.#held = undefined;
    return held;
  }

  /** The step that is held, if any, is not needed. */
  async drop(): Promise<void> {
    const held = this.#held;
    this.#held = undefined;
    await held?.refuse();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.drop();
  }
}

interface RootUnder {
  readonly root: StepRoot;
  readonly result: Promise<StepResult>;
}

/** `below`: of the step beneath. */
function canBeHeld(operation: Operation, below: RunOperation): operation is RunOperation {
  if (operation.kind !== 'run' || operation.mounts.length > 0 || operation.script !== undefined) return false;
  return operation.security === 'sandbox' && operation.network === below.network;
}

interface Switch {
  readonly promise: Promise<void>;
  readonly on: () => void;
  readonly off: (reason: TsbuildError) => void;
}

function makeSwitch(): Switch {
  let [on, off]: [() => void, (reason: TsbuildError) => void] = [() => {}, () => {}];
  const promise = new Promise<void>((resolve, reject) => {
    [on, off] = [resolve, reject];
  });
  promise.catch(() => {
    // Whoever waits for it hears.
  });
  return { promise, on, off };
}
