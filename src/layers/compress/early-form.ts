/**
 * The compressed form of a layer that is known to be exported, begun while the layer itself is still being written: one
 * thread packs and another compresses, and what is compressed was just written.
 * Invariants: the form is that of `compressLayer`, which waits for it instead of making it; what fails here is done again
 * there, and told there; a layer that is given up leaves nothing.
 */
import { cancelled } from '../../core/index.ts';
import type { Digest } from '../../image/index.ts';
import type { StoreParts } from '../store/store-parts.ts';
import type { LayerForm } from '../types.ts';
import { checkedLevel, hasLevel, keepForm, writeForm } from './compress-layer.ts';
import { GrowingFile } from './growing-file.ts';

/** A layer with fewer bytes is compressed when it is asked for: a second thread would cost more than it saves. */
const worthwhile = 8 * 1024 * 1024;

interface MadeLayer {
  readonly diffId: Digest;
  /** Bytes. */
  readonly size: number;
}

/**
 * Makes a layer, and begins its compressed form where one is wanted.
 * @param make writes it to `draft`, says how far it is, and adopts it as a blob only after that
 */
export async function withEarlyForm<T extends MadeLayer>(
  parts: StoreParts,
  {
    draft,
    form,
    signal,
  }: { readonly draft: string; readonly form: LayerForm | undefined; readonly signal: AbortSignal },
  make: (onWritten: ((bytes: number) => void) | undefined) => Promise<T>,
): Promise<T> {
  // A level that does not exist is refused where the form is asked for.
  if (form === undefined || !hasLevel(form.compression, form.level)) return await make(undefined);
  const early = new EarlyForm(parts, draft, form);
  try {
    const made = await make((bytes) => early.grow(bytes));
    early.end(made, signal);
    return made;
  } catch (error) {
    early.abandon(error);
    throw error;
  }
}

class EarlyForm {
  readonly #parts: StoreParts;
  readonly #path: string;
  readonly #form: { readonly compression: 'gzip' | 'zstd'; readonly level: number };
  readonly #stop = new AbortController();
  #file: GrowingFile | undefined;
  #written: Promise<{ readonly draft: string; readonly digest: Digest }> | undefined;

  constructor(parts: StoreParts, path: string, { compression, level }: LayerForm) {
    this.#parts = parts;
    this.#path = path;
    this.#form = { compression, level: checkedLevel(compression, level) };
  }

  grow(bytes: number): void {
    if (this.#file === undefined && bytes >= worthwhile) this.#begin();
    this.#file?.grow(bytes);
  }

  /** From now on it belongs to whoever asks for the form. */
  end({ diffId, size }: MadeLayer, signal: AbortSignal): void {
    const written = this.#written;
    if (!written) return;
    this.#file?.end(size);
    let isTaken = false;
    keepForm(this.#parts, diffId, this.#form, signal, (inner) => {
      isTaken = true;
      inner.addEventListener('abort', () => this.abandon(cancelled(inner)), { once: true });
      return written;
    }).then(
      // An equal layer had the same idea.
      () => isTaken || void written.then(({ draft }) => this.#parts.blobs.discard(draft)),
      () => {
        // Who asks for the form makes it, and hears of what fails.
      },
    );
  }

  abandon(error: unknown): void {
    this.#file?.abandon(error);
    this.#stop.abort(error);
  }

  #begin(): void {
    const file = new GrowingFile(this.#path);
    this.#file = file;
    this.#written = writeForm(this.#parts, file, { ...this.#form, signal: this.#stop.signal }).finally(() =>
      file[Symbol.dispose](),
    );
    this.#written.catch(() => {
      // Seen in `end`, or the layer has failed as well.
    });
  }
}
