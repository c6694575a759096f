/**
 * Brings blobs into a sink, each once however many ask for it at the same time: steps of a build that share a base image,
 * pulls of images that share layers.
 * Invariant: a fetch ends with its last user; a failure is told to all who wait and not remembered.
 */
import { Limiter } from '../../core/index.ts';
import type { BlobSink, BlobSource, Descriptor, Digest } from '../../image/index.ts';
import { untilAborted } from '../http/shared-work.ts';

export type FetchBlob = (
  source: BlobSource,
  descriptor: Descriptor,
  signal: AbortSignal,
  onProgress?: (bytes: number) => void,
) => Promise<void>;

interface Fetch {
  readonly done: Promise<void>;
  readonly stop: AbortController;
  readonly listeners: Set<(bytes: number) => void>;
  users: number;
}

/** @param concurrency blobs in flight at once */
export function fetchOnce(sink: BlobSink, concurrency = 4): FetchBlob {
  const underway = new Map<Digest, Fetch>();
  const limiter = new Limiter(concurrency);

  const start = (source: BlobSource, descriptor: Descriptor): Fetch => {
    const stop = new AbortController();
    const listeners: Fetch['listeners'] = new Set();
    const done = limiter
      .run(stop.signal, async () => {
        if (await sink.has(descriptor, stop.signal)) return;
        await sink.put(descriptor, () => source.open(descriptor, stop.signal), {
          signal: stop.signal,
          onProgress: (bytes) => {
            for (const listener of listeners) listener(bytes);
          },
        });
      })
      .finally(() => {
        if (underway.get(descriptor.digest)?.stop === stop) underway.delete(descriptor.digest);
      });
    const fetch: Fetch = { done, stop, listeners, users: 0 };
    underway.set(descriptor.digest, fetch);
    return fetch;
  };

  return async (source, descriptor, signal, onProgress) => {
    const fetch = underway.get(descriptor.digest) ?? start(source, descriptor);
    fetch.users += 1;
    if (onProgress) fetch.listeners.add(onProgress);
    try {
      await untilAborted(fetch.done, signal);
    } finally {
      fetch.users -= 1;
      if (onProgress) fetch.listeners.delete(onProgress);
      if (fetch.users === 0 && signal.aborted) {
        // Whoever asks from now on starts anew instead of joining what is being stopped.
        if (underway.get(descriptor.digest) === fetch) underway.delete(descriptor.digest);
        fetch.stop.abort(signal.reason);
        await fetch.done.catch(() => {});
      }
    }
  };
}
