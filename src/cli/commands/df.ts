/** `tsbuild df`: what the store holds, and what could be freed. */
import { familiarReference, parseReference } from '../../image/index.ts';
import type { ImageUsage, UsageRow } from '../../layers/index.ts';
import type { Command } from '../command.ts';
import { type Column, renderRecords, renderTable } from '../print-records.ts';
import { formatBytes, formatSince } from '../style.ts';
import { withWiring } from '../wire.ts';

const columns: readonly Column<UsageRow>[] = [
  { title: 'TYPE', value: (row) => row.kind.replace(/^./, (first) => first.toUpperCase()) },
  { title: 'TOTAL', value: (row) => String(row.count) },
  { title: 'ACTIVE', value: (row) => String(row.active) },
  { title: 'SIZE', value: (row) => formatBytes(row.size) },
  { title: 'RECLAIMABLE', value: (row) => formatBytes(row.reclaimable) },
];

export const df: Command = {
  usage: 'df [OPTIONS]',
  about: 'Shows how much room the local store takes and how much tsbuild prune --all would free.',
  flags: [
    { name: 'verbose', short: 'v', help: 'list images and cache mounts as well' },
    { name: 'format', value: 'FORMAT', help: 'json, or a template such as {{.kind}} {{.size}}' },
  ],
  words: { least: 0, most: 0 },
  async run(flags, session) {
    const { stdout, signal, now } = session;
    const usage = await withWiring(
      session,
      () => {},
      async (wiring) => (await wiring.store()).usage({ signal }),
    );
    stdout.write(renderRecords(usage.rows, flags.text('format'), columns));
    if (!flags.on('verbose')) return 0;
    const images: readonly Column<ImageUsage>[] = [
      {
        title: 'IMAGE',
        value: ({ name }) => (name === undefined ? '<none>' : familiarReference(parseReference(name))),
      },
      { title: 'DIGEST', value: (image) => image.target.slice(7, 19) },
      { title: 'TAGGED', value: (image) => `${formatSince(now() - image.tagged)} ago` },
      { title: 'SIZE', value: (image) => formatBytes(image.size) },
      { title: 'SHARED', value: (image) => formatBytes(image.shared) },
    ];
    stdout.write(`\n${renderTable(usage.images, images)}`);
    if (usage.cacheMounts.length > 0) {
      stdout.write(
        `\n${renderTable(usage.cacheMounts, [
          { title: 'CACHE MOUNT', value: (mount) => mount.name },
          { title: 'SIZE', value: (mount) => formatBytes(mount.size) },
        ])}`,
      );
    }
    return 0;
  },
};
