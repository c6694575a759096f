/** `tsbuild store check`: reads every blob of the store and every image's parts. */
import type { CheckFinding } from '../../layers/index.ts';
import { oneOf } from '../args/flag.ts';
import type { Command } from '../command.ts';
import { formatBytes } from '../style.ts';
import { withWiring } from '../wire.ts';

export const store: Command = {
  usage: 'store check',
  about:
    'Reads every blob of the local store and compares it with its digest. Damaged ones are named and dropped, so that they are ' +
    'fetched or built again, or made again at once from another form of the layer. Exit code 1 when something was found.',
  flags: [],
  words: { least: 1, most: 1 },
  async run(flags, session) {
    oneOf('store', flags.positionals[0] ?? '', ['check']);
    const { stdout, signal } = session;
    const result = await withWiring(
      session,
      () => {},
      async (wiring) => (await wiring.store()).check({ signal }),
    );
    const list = (what: string, findings: readonly CheckFinding[]) => {
      for (const { digest, images } of findings) {
        stdout.write(`${what} ${digest}${images.length > 0 ? ` of ${images.join(', ')}` : ''}\n`);
      }
    };
    list('damaged, dropped:', result.damaged);
    list('missing:', result.missing);
    list('damaged or lost, made again from another form of it:', result.restored);
    for (const path of result.strangers) stdout.write(`not a blob: ${path}\n`);
    const { blobs, bytes, damaged, missing, restored, strangers, absentLayers } = result;
    stdout.write(`Checked ${blobs} blobs, ${formatBytes(bytes)}\n`);
    if (absentLayers.length > 0)
      stdout.write(`${absentLayers.length} layers of bases were never fetched; they come when they are needed\n`);
    const found = damaged.length + missing.length + restored.length + strangers.length;
    stdout.write(found === 0 ? 'Nothing is damaged\n' : `${found} found\n`);
    if (damaged.length + missing.length > 0)
      stdout.write('Build, pull or load the images that are named again: only what they lack is made or fetched\n');
    return found === 0 ? 0 : 1;
  },
};
