/** The last lines a step printed, for its error message. Bounded whatever the step prints. */

const maxLines = 20;
const maxLineBytes = 4096;

export class LogTail {
  readonly #lines: string[] = [];
  #open = Buffer.alloc(0);

  add(chunk: Uint8Array): void {
    let rest = Buffer.concat([this.#open, chunk]);
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10)) {
      this.#push(rest.subarray(0, end));
      rest = rest.subarray(end + 1);
    }
    this.#open = Buffer.from(rest.subarray(0, maxLineBytes));
  }

  lines(): readonly string[] {
    return this.#open.length === 0 ? [...this.#lines] : [...this.#lines, this.#open.toString()];
  }

  #push(line: Uint8Array): void {
    this.#lines.push(Buffer.from(line.subarray(0, maxLineBytes)).toString().replace(/\r$/, ''));
    if (this.#lines.length > maxLines) this.#lines.shift();
  }
}
