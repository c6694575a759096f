/**
 * What could not be unpacked as the layer says because this process may not: counted, with the first as an example.
 */
import { bytePathToText } from '../../core/index.ts';

export type NoteKind = 'devices' | 'owners' | 'xattrs';

const sentences: Readonly<Record<NoteKind, (count: number, example: string) => string>> = {
  devices: (count, example) =>
    `${count} device ${count === 1 ? 'node was' : 'nodes were'} left out, which only root may make: ${example}`,
  owners: (count, example) =>
    `${count} ${count === 1 ? 'entry keeps' : 'entries keep'} this user as owner, other IDs are not mapped here: ${example}`,
  xattrs: (count, example) =>
    `${count} extended ${count === 1 ? 'attribute was' : 'attributes were'} left out, not permitted here: ${example}`,
};

export class Notes {
  readonly #found = new Map<NoteKind, { count: number; readonly example: string }>();

  add(kind: NoteKind, example: string): void {
    const known = this.#found.get(kind);
    if (known) known.count += 1;
    else this.#found.set(kind, { count: 1, example: bytePathToText(example) });
  }

  sentences(): string[] {
    return [...this.#found].map(([kind, { count, example }]) => sentences[kind](count, example));
  }
}
