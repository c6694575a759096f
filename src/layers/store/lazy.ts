/** What is made, and its code loaded, when it is first asked for. */
export class Lazy<T extends { close(): void | Promise<void> }> {
  readonly #make: () => Promise<T>;
  #made: Promise<T> | undefined;

  constructor(make: () => Promise<T>) {
    this.#make = make;
  }

  get(): Promise<T> {
    this.#made ??= this.#make();
    return this.#made;
  }

  async close(): Promise<void> {
    const made = this.#made;
    this.#made = undefined;
    await (await made)?.close();
  }
}
