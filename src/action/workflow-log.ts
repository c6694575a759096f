/**
 * Progress in a workflow's log: one group per step, with the runner's own commands kept out of the hands of what is built.
 * Invariant: a line of a step is printed between `::stop-commands::` and its token, so that no RUN can set an output, mask
 * a value or forge an annotation.
 */
import { LineSplitter } from '../cli/index.ts';
import type { SourceLocation, StepId, TsbuildEvent } from '../core/index.ts';

interface OpenStep {
  readonly title: string;
  readonly lines: string[];
  readonly stdout: LineSplitter;
  readonly stderr: LineSplitter;
}

export interface WorkflowLogOptions {
  readonly write: (text: string) => void;
  /** Unguessable: whoever knows it can make the runner listen again. */
  readonly stopToken: string;
}

export class WorkflowLog {
  readonly #options: WorkflowLogOptions;
  readonly #titles = new Map<StepId, string>();
  readonly #open = new Map<StepId, OpenStep>();

  constructor(options: WorkflowLogOptions) {
    this.#options = options;
  }

  handle(event: TsbuildEvent): void {
    switch (event.kind) {
      case 'plan':
        for (const step of event.steps) this.#titles.set(step.id, step.title);
        return;
      case 'step-started':
        this.#titles.set(event.step.id, event.step.title);
        this.#stepOf(event.step.id);
        return;
      case 'step-output': {
        const step = this.#stepOf(event.id);
        step.lines.push(...step[event.stream].push(event.chunk));
        return;
      }
      case 'step-finished':
        this.#finish(event);
        return;
      case 'notice':
        if (event.level === 'info') this.#print(oneLine(event.message));
        else this.annotate('warning', event.message, event.source, event.code);
        return;
      case 'transfer':
        return;
    }
  }

  /** A mark at a line of a file in the workspace, or at the run as a whole. */
  annotate(level: 'error' | 'warning', message: string, source?: SourceLocation, title?: string): void {
    const { start, end } = source?.range ?? {};
    const properties = [
      ...(source ? [`file=${property(source.file)}`] : []),
      ...(start ? [`line=${start.line}`, `col=${start.column}`] : []),
      ...(start && end && end.line > start.line ? [`endLine=${end.line}`] : []),
      ...(title === undefined ? [] : [`title=${property(title)}`]),
    ];
    this.#print(`::${level}${properties.length > 0 ? ` ${properties.join(',')}` : ''}::${data(message)}`);
  }

  /** Prints what steps said that never finished. */
  close(): void {
    for (const id of [...this.#open.keys()]) this.#flush(id, 'not finished');
  }

  #finish(event: Extract<TsbuildEvent, { kind: 'step-finished' }>): void {
    const seconds = `${(event.milliseconds / 1000).toFixed(1)}s`;
    const endings = { done: seconds, cached: 'CACHED', failed: `FAILED after ${seconds}`, cancelled: 'CANCELED' };
    this.#flush(event.id, endings[event.outcome]);
  }

  /** Steps run at the same time; the log gets each of them whole, when it ends. */
  #flush(id: StepId, ending: string): void {
    const step = this.#stepOf(id);
    this.#open.delete(id);
    const lines = [...step.lines, ...step.stdout.end(), ...step.stderr.end()];
    const heading = `${oneLine(step.title)} (${ending})`;
    if (lines.length === 0) {
      this.#print(data(heading).replace(/^::/, ' ::'));
      return;
    }
    const { stopToken } = this.#options;
    this.#print(`::group::${data(heading)}\n::stop-commands::${stopToken}`);
    this.#print(lines.join('\n').replaceAll(stopToken, '***'));
    this.#print(`::${stopToken}::\n::endgroup::`);
  }

  #stepOf(id: StepId): OpenStep {
    const known = this.#open.get(id);
    if (known) return known;
    const title = this.#titles.get(id) ?? id;
    const step: OpenStep = { title, lines: [], stdout: new LineSplitter(), stderr: new LineSplitter() };
    this.#open.set(id, step);
    return step;
  }

  #print(text: string): void {
    this.#options.write(`${text}\n`);
  }
}

/** The text of a workflow command: the runner decodes these and no other escapes. */
export function data(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

/** Plain text that begins no workflow command. */
function oneLine(text: string): string {
  return text
    .replace(/[\r\n]+/g, ' ')
    .replace(/^(\s*)::/, '$1 ::')
    .replaceAll('##[', '## [');
}
