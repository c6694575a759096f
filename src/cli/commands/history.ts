/** `tsbuild history`: how an image came to be, newest first. */

import { hostPlatform } from '../../core/index.ts';
import type { Command } from '../command.ts';
import { type Column, renderRecords } from '../print-records.ts';
import { viewImage } from '../stored-image.ts';
import { formatBytes, formatCreated, printable } from '../style.ts';
import { withWiring } from '../wire.ts';

interface HistoryRow {
  readonly ID: string;
  readonly CreatedSince: string;
  readonly CreatedAt: string;
  readonly CreatedBy: string;
  readonly Size: string;
  readonly Comment: string;
}

export const history: Command = {
  usage: 'history [OPTIONS] IMAGE',
  about:
    'Shows the instructions an image of the local store was made by, newest first, and the size of the layer of each.',
  flags: [
    { name: 'no-trunc', help: 'do not shorten instructions' },
    { name: 'format', value: 'FORMAT', help: 'json, or a template such as {{.CreatedBy}}' },
    { name: 'quiet', short: 'q', help: 'print instructions only' },
  ],
  words: { least: 1, most: 1 },
  async run(flags, session) {
    const [name = ''] = flags.positionals;
    const view = await withWiring(
      session,
      () => {},
      async (wiring) => {
        const store = await wiring.store();
        const { target } = await store.useImage(name, session.signal);
        return await viewImage(store, target, hostPlatform(), session.signal);
      },
    );
    let layer = 0;
    const rows = view.config.history.map((entry): HistoryRow => {
      const size = entry.empty_layer ? 0 : (view.manifest.layers[layer++]?.size ?? 0);
      return {
        ID: '<missing>',
        CreatedSince: formatCreated(entry.created, session.now()),
        CreatedAt: entry.created ?? '',
        CreatedBy: printable(entry.created_by ?? ''),
        Size: formatBytes(size),
        Comment: printable(entry.comment ?? ''),
      };
    });
    const full = flags.on('no-trunc');
    const columns: readonly Column<HistoryRow>[] = [
      { title: 'CREATED', value: (row) => row.CreatedSince },
      { title: 'CREATED BY', value: ({ CreatedBy: by }) => (full || by.length <= 60 ? by : `${by.slice(0, 59)}…`) },
      { title: 'SIZE', value: (row) => row.Size },
      { title: 'COMMENT', value: (row) => row.Comment },
    ];
    const newestFirst = rows.toReversed();
    if (flags.on('quiet')) session.stdout.write(newestFirst.map((row) => `${row.CreatedBy}\n`).join(''));
    else session.stdout.write(renderRecords(newestFirst, flags.text('format'), columns));
    return 0;
  },
};
