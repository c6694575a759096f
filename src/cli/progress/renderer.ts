/** What every progress renderer is, and the line splitter they share. */
import { StringDecoder } from 'node:string_decoder';
import type { TsbuildEvent } from '../../core/index.ts';

export interface ProgressRenderer {
  handle(event: TsbuildEvent): void;
  /** Writes what is held back and the final state. Nothing is written afterwards. */
  close(): void;
}

export interface RendererOutput {
  readonly write: (text: string) => void;
  /** Milliseconds; only differences matter. */
  readonly now: () => number;
}

/** Cuts a byte stream into lines; a line longer than 64 KiB is cut. */
export class LineSplitter {
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';

  /** The lines that are complete now. */
  push(chunk: Uint8Array): string[] {
    const lines = (
      this.#rest + this.#decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
    ).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > 65_536) {
      lines.push(this.#rest);
      this.#rest = '';
    }
    return lines.map(withoutReturn);
  }

  /** What came after the last line end. */
  get partial(): string {
    return withoutReturn(this.#rest);
  }

  /** The unfinished line, when there is one. */
  end(): string[] {
    const rest = this.#rest + this.#decoder.end();
    this.#rest = '';
    return rest === '' ? [] : [withoutReturn(rest)];
  }
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}
