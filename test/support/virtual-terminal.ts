/**
 * A small terminal for tests: enough of ECMA-48 for a live display (cursor up, erase to the end of line or screen, show and
 * hide the cursor, colours ignored), with a scrollback. An unknown sequence is an error, so that a test notices.
 */
export class VirtualTerminal {
  columns: number;
  rows: number;
  cursorVisible = true;
  /** All lines from the first ever written; the screen is the last `rows` of them. */
  #lines: string[] = [''];
  #row = 0;
  #column = 0;

  constructor(columns: number, rows: number) {
    this.columns = columns;
    this.rows = rows;
  }

  resize(columns: number, rows: number): void {
    this.columns = columns;
    this.rows = rows;
  }

  write(text: string): void {
    let rest = text;
    while (rest !== '') {
      const sequence = /^\u001b\[(\??[0-9;]*)([A-Za-z])/.exec(rest);
      if (sequence) {
        this.#control(sequence[1] ?? '', sequence[2] ?? '');
        rest = rest.slice(sequence[0].length);
        continue;
      }
      const character = String.fromCodePoint(rest.codePointAt(0) ?? 0);
      rest = rest.slice(character.length);
      this.#print(character);
    }
  }

  /** What was written and still stands, scrollback included, without trailing blanks. */
  text(): string {
    return this.#lines
      .map((line) => line.trimEnd())
      .join('\n')
      .trimEnd();
  }

  #control(parameter: string, final: string): void {
    if (final === 'm') return;
    const top = Math.max(0, this.#lines.length - this.rows);
    if (final === 'A') this.#row = Math.max(top, this.#row - Number(parameter || '1'));
    else if (final === 'K') this.#lines[this.#row] = this.#line().slice(0, this.#column);
    else if (final === 'J' && parameter === '') {
      this.#lines[this.#row] = this.#line().slice(0, this.#column);
      this.#lines.length = this.#row + 1;
    } else if (parameter === '?25' && (final === 'l' || final === 'h')) this.cursorVisible = final === 'h';
    else throw new Error(`unknown control sequence: CSI ${parameter} ${final}`);
  }

  #print(character: string): void {
    if (character === '\r') this.#column = 0;
    else if (character === '\n') this.#newLine();
    else if (character < ' ') throw new Error(`unexpected control character ${JSON.stringify(character)}`);
    else {
      if (this.#column >= this.columns) this.#newLine();
      const line = this.#line().padEnd(this.#column);
      this.#lines[this.#row] = line.slice(0, this.#column) + character + line.slice(this.#column + character.length);
      this.#column += character.length;
    }
  }

  #newLine(): void {
    this.#row += 1;
    this.#column = 0;
    if (this.#row === this.#lines.length) this.#lines.push('');
  }

  #line(): string {
    return this.#lines[this.#row] ?? '';
  }
}
