/** What the registry server needs of a store, in memory. */

import { TsbuildError } from '../../src/core/index.ts';
import type { Digest } from '../../src/image/index.ts';
import type { ServedRecord, ServedStorage } from '../../src/registry/index.ts';
import { MemoryStore } from './memory-store.ts';

export class MemoryStorage implements ServedStorage {
  readonly store = new MemoryStore();
  #records: readonly ServedRecord[] = [];

  readonly content: ServedStorage['content'] = {
    open: (descriptor) => this.store.open(descriptor),
    put: async (descriptor, open, options) => {
      try {
        return await this.store.put(descriptor, open, options);
      } catch (cause) {
        throw new TsbuildError({ code: 'blob-mismatch', message: 'wrong bytes', cause });
      }
    },
  };

  async sizeOf(digest: Digest): Promise<number | undefined> {
    return this.store.blobs.get(digest)?.byteLength;
  }

  /** Needs are the business of whoever keeps content: here there are none. */
  async removeContent(digest: Digest): Promise<'removed' | 'absent'> {
    return this.store.blobs.delete(digest) ? 'removed' : 'absent';
  }

  async records(): Promise<readonly ServedRecord[]> {
    return this.#records;
  }

  async record(record: ServedRecord): Promise<void> {
    const same = (other: ServedRecord) =>
      other.repository === record.repository &&
      other.tag === record.tag &&
      (record.tag !== undefined || other.target.digest === record.target.digest);
    this.#records = [...this.#records.filter((other) => !same(other)), record];
  }

  async forget(repository: string, what: { readonly tag?: string; readonly digest?: Digest }): Promise<void> {
    this.#records = this.#records.filter(
      (other) =>
        other.repository !== repository ||
        ('digest' in what ? other.target.digest !== what.digest : other.tag !== what.tag),
    );
  }
}
