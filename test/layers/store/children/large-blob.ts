/**
 * Puts a blob of many megabytes, reads it back, compresses it, and prints the largest resident size meanwhile, in bytes.
 * Arguments: the store, megabytes.
 */
import { mediaTypes } from '../../../../src/image/index.ts';
import { openStore } from '../../../../src/layers/index.ts';

const [root = '', megabytes = '1'] = process.argv.slice(2);
const signal = new AbortController().signal;
const chunk = Buffer.from(Array.from({ length: 1 << 16 }, (_, i) => `${(i * 2654435761) % 65536}`.padEnd(16)).join(''));

async function* content(): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < Number(megabytes); i += 1) {
    const copy = Buffer.from(chunk);
    copy.writeUInt32LE(i, 0);
    yield copy;
  }
}

const store = await openStore(root, { workers: 2 });
const blob = await store.putStream(mediaTypes.ociLayerTar, content(), signal);
for await (const _chunk of await store.open(blob, signal));
await store.compress({ diffId: blob.digest, blob }, 'gzip', { signal });
await store.compress({ diffId: blob.digest, blob }, 'zstd', { signal });
await store.close();
process.stdout.write(`${process.resourceUsage().maxRSS * 1024}\n`);
