/** `tsbuild load`: images out of an archive into the store. */
import { TsbuildError } from '../../core/index.ts';
import {
  copyGraph,
  type Descriptor,
  type Digest,
  familiarReference,
  isAttachmentTag,
  isPlatformImage,
  parseManifest,
  parseReference,
  readManifest,
} from '../../image/index.ts';
import type { LocalStore } from '../../layers/index.ts';
import { progressFlag, progressOf } from '../args/progress-flag.ts';
import type { Command } from '../command.ts';
import { startTransferStep, whileStep } from '../ports/transfer-steps.ts';
import { withWiring } from '../wire.ts';
import { withProgress } from '../with-progress.ts';

export const load: Command = {
  usage: 'load [OPTIONS]',
  about:
    'Reads images from an archive (docker save, tsbuild save, an OCI archive; plain or compressed) or an OCI layout directory into the local store.',
  flags: [
    { name: 'input', short: 'i', value: 'FILE', help: 'archive or layout to read; without it, standard input' },
    { name: 'quiet', short: 'q', help: 'print only what was loaded' },
    progressFlag,
  ],
  examples: [['docker save app:1 | tsbuild load', 'bring an image over from Docker']],
  words: { least: 0, most: 0 },
  async run(flags, session) {
    const input = flags.text('input');
    if ((input === undefined || input === '-') && session.stdinIsTerminal) {
      throw new TsbuildError({
        code: 'usage',
        message: 'there is nothing to read',
        hint: 'Add -i FILE, or pipe an archive in.',
      });
    }
    const { signal, now } = session;
    const loaded = await withProgress(session, progressOf(flags, session.env), 'Loading', (events) =>
      withWiring(session, events, async (wiring) => {
        const store = await wiring.store();
        const { openArchive, openOciLayout } = await import('../../layers/index.ts');
        const step = startTransferStep(events, now, 'load', `load ${input ?? 'standard input'}`);
        return await whileStep(step, async () => {
          const fromStdin = input === undefined || input === '-';
          await using archive =
            !fromStdin && (await isDirectory(input))
              ? await openOciLayout(input, signal)
              : await openArchive(fromStdin ? session.stdin() : input, { signal, draft: store.draftPath() });
          const lines: string[] = [];
          /** Names of the images that a manifest belongs to. */
          const owners = new Map<Digest, readonly string[]>();
          // What refers to an image comes after it.
          const images = archive.images.toSorted((a, b) => Number(a.names.length === 0) - Number(b.names.length === 0));
          for (const { target, names } of images) {
            owners.set(target.digest, names);
            await copyGraph(archive, store, target, {
              signal,
              onBlob: step.onBlob,
              select: (child) => {
                owners.set(child.digest, names);
                return isPlatformImage(child);
              },
            });
            const beside = names.length === 0 ? await subjectOwners(store, target, owners, signal) : [];
            if (beside.length > 0) {
              const { keepStoredReferrer } = await import('../ports/stored-referrers.ts');
              for (const name of beside) await keepStoredReferrer(store, target, parseReference(name), signal);
              owners.set(target.digest, beside);
              continue;
            }
            for (const name of names) await store.tagImage(target, parseReference(name));
            if (names.length === 0) await store.listUnnamed(target);
            const shown = names.filter((name) => !isAttachmentTag(name));
            if (names.length === 0) lines.push(target.digest);
            else lines.push(...shown.map((name) => familiarReference(parseReference(name))));
          }
          return lines;
        });
      }),
    );
    for (const line of loaded) session.stdout.write(flags.on('quiet') ? `${line}\n` : `Loaded image: ${line}\n`);
    return 0;
  },
};

/** Of what refers to an image that came before it, the names of that image. */
async function subjectOwners(
  store: LocalStore,
  target: Descriptor,
  owners: ReadonlyMap<Digest, readonly string[]>,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { subject } = parseManifest(await readManifest(store, target, signal), target.mediaType);
  return (subject && owners.get(subject.digest)) ?? [];
}

async function isDirectory(path: string): Promise<boolean> {
  const { stat } = await import('node:fs/promises');
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
