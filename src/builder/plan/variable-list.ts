/**
 * Variables as `NAME=VALUE`, in the order of their first definition. A stage may define thousands, with a RUN after
 * each that keeps the list as it is then.
 * Invariant: a list that was handed out never changes.
 */
import { variableName } from './variables.ts';

export class VariableList {
  readonly #entries: string[];
  /** Where the first entry of a name stands. */
  readonly #places = new Map<string, number>();
  #list: readonly string[] | undefined;

  constructor(entries: readonly string[]) {
    this.#entries = [...entries];
    this.#list = entries;
    for (const [place, entry] of entries.entries()) {
      const name = variableName(entry);
      if (!this.#places.has(name)) this.#places.set(name, place);
    }
  }

  /** A variable that is there keeps its place. */
  set(name: string, value: string): void {
    const place = this.#places.get(name) ?? this.#entries.length;
    this.#places.set(name, place);
    this.#entries[place] = `${name}=${value}`;
    this.#list = undefined;
  }

  /** The same list until the next `set`. */
  get list(): readonly string[] {
    this.#list ??= this.#entries.slice();
    return this.#list;
  }
}
