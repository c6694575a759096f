/** `tsbuild prune`: frees what nothing needs. */
import { parseSize } from '../args/limits.ts';
import type { Command } from '../command.ts';
import { formatBytes } from '../style.ts';
import { withWiring } from '../wire.ts';

export const prune: Command = {
  usage: 'prune [OPTIONS]',
  about:
    'Frees what no named image needs: images without a name, and what killed processes left. With --all also what is only kept ' +
    'to save work: results of steps, unpacked layers, cache mounts. Running builds lose nothing.',
  flags: [
    { name: 'all', short: 'a', help: 'also free caches' },
    {
      name: 'keep-storage',
      value: 'BYTES',
      help: 'free the least recently used caches until the store is this small, e.g. 10g; with --all, too',
    },
    { name: 'force', short: 'f' },
  ],
  words: { least: 0, most: 0 },
  async run(flags, session) {
    const { enterUserNamespace } = await import('../enter-user-namespace.ts');
    const code = await enterUserNamespace('auto', session);
    if (code !== undefined) return code;
    const keep = flags.text('keep-storage');
    const result = await withWiring(
      session,
      () => {},
      async (wiring) => {
        const store = await wiring.store();
        return await store.prune({
          all: flags.on('all'),
          signal: session.signal,
          ...(keep !== undefined && { keepBytes: parseSize('--keep-storage', keep) }),
        });
      },
    );
    for (const digest of result.images) session.stdout.write(`Deleted: ${digest}\n`);
    const counts = [
      [result.blobs, 'blobs'],
      [result.snapshots, 'unpacked layers'],
      [result.records, 'records'],
      [result.cacheMounts, 'cache mounts'],
      [result.drafts, 'drafts'],
    ] as const;
    const freed = counts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
    if (freed.length > 0) session.stderr.write(`Removed ${freed.join(', ')}\n`);
    session.stdout.write(`Total reclaimed space: ${formatBytes(result.reclaimed)}\n`);
    return 0;
  },
};
