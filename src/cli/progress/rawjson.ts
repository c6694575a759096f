/**
 * Progress for programs: one JSON object a line, in the shape of BuildKit's SolveStatus (`docker buildx build
 * --progress=rawjson`), so that tools which read that read this.
 */
import { createHash } from 'node:crypto';
import type { StepId, TsbuildEvent } from '../../core/index.ts';
import type { ProgressRenderer, RendererOutput } from './renderer.ts';

interface Vertex {
  readonly digest: string;
  readonly name: string;
  readonly started?: string;
  readonly completed?: string;
  readonly cached?: boolean;
  readonly error?: string;
}

export class RawJsonRenderer implements ProgressRenderer {
  readonly #output: RendererOutput;
  readonly #vertices = new Map<StepId, Vertex>();

  /** `now` is milliseconds since 1970. */
  constructor(output: RendererOutput) {
    this.#output = output;
  }

  handle(event: TsbuildEvent): void {
    const time = new Date(this.#output.now()).toISOString();
    switch (event.kind) {
      case 'plan':
        for (const { id, title } of event.steps) this.#vertices.set(id, { digest: digestFor(id), name: title });
        this.#print({ vertexes: event.steps.map(({ id }) => this.#vertexOf(id)) });
        break;
      case 'step-started': {
        const { id, title } = event.step;
        this.#update(id, { digest: digestFor(id), name: title, started: time });
        break;
      }
      case 'step-output':
        this.#print({
          logs: [
            {
              vertex: digestFor(event.id),
              stream: event.stream === 'stdout' ? 1 : 2,
              data: Buffer.from(event.chunk).toString('base64'),
              timestamp: time,
            },
          ],
        });
        break;
      case 'transfer': {
        const { item, done, total } = event;
        this.#print({
          statuses: [
            {
              id: item,
              vertex: digestFor(event.id),
              current: done,
              ...(total !== undefined && { total }),
              timestamp: time,
              ...(done === total && { completed: time }),
            },
          ],
        });
        break;
      }
      case 'step-finished':
        this.#update(event.id, {
          started: time,
          ...this.#vertexOf(event.id),
          completed: time,
          ...(event.outcome === 'cached' && { cached: true }),
          ...(event.outcome === 'failed' && { error: event.error?.message ?? 'failed' }),
          ...(event.outcome === 'cancelled' && { error: 'cancelled' }),
        });
        break;
      case 'notice': {
        const { level, message, code, source } = event;
        const short = Buffer.from(code === undefined ? message : `${code}: ${message}`).toString('base64');
        const place = source && {
          url: source.file,
          range: [{ start: { line: source.range.start.line }, end: { line: source.range.end.line } }],
        };
        this.#print({ warnings: [{ level: level === 'warning' ? 1 : 0, short, ...place }] });
        break;
      }
    }
  }

  close(): void {}

  #vertexOf(id: StepId): Vertex {
    return this.#vertices.get(id) ?? { digest: digestFor(id), name: id };
  }

  #update(id: StepId, vertex: Vertex): void {
    this.#vertices.set(id, vertex);
    this.#print({ vertexes: [vertex] });
  }

  #print(status: object): void {
    this.#output.write(`${JSON.stringify(status)}\n`);
  }
}

function digestFor(id: StepId): string {
  return `sha256:${createHash('sha256').update(id).digest('hex')}`;
}
