/** Warnings about lines of the Dockerfile, held back while the build runs and printed once after it. */
import type { TsbuildEvent } from '../../core/index.ts';
import { rulePage } from '../rule-page.ts';
import { printable } from '../style.ts';

type Notice = Extract<TsbuildEvent, { kind: 'notice' }>;

export class WarningList {
  readonly #lines = new Set<string>();

  /** One that was added before (a second platform's) is not added again. */
  add(notice: Notice): void {
    const { source, code, message } = notice;
    const page = code === undefined ? '' : `, see ${rulePage(code)}`;
    const place = source === undefined ? '' : ` (${printable(source.file)}:${source.range.start.line}${page})`;
    this.#lines.add(` - ${code === undefined ? '' : `${code}: `}${printable(message)}${place}`);
  }

  /** A heading and one line each; empty when there is none. */
  render(): string[] {
    if (this.#lines.size === 0) return [];
    return [`${this.#lines.size} ${this.#lines.size === 1 ? 'warning' : 'warnings'}:`, ...this.#lines];
  }
}
