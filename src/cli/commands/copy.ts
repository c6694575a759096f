/** `tsbuild copy`: an image from anywhere to anywhere. */

import { type EventSink, hostPlatform, TsbuildError } from '../../core/index.ts';
import {
  attachmentTags,
  copyGraph,
  type Descriptor,
  isIndexType,
  parseManifest,
  readManifest,
  selectPlatform,
} from '../../image/index.ts';
import type { ParsedFlags } from '../args/flag.ts';
import { progressFlag, progressOf } from '../args/progress-flag.ts';
import type { Command } from '../command.ts';
import { type CopySource, openCopySink, openCopySource } from '../ports/copy-places.ts';
import { type ImageAddress, parseImageAddress, withTransportHint } from '../ports/image-address.ts';
import { startTransferStep, whileStep } from '../ports/transfer-steps.ts';
import { wantedPlatform } from '../remote-image.ts';
import type { Session } from '../session.ts';
import { withWiring } from '../wire.ts';
import { withProgress } from '../with-progress.ts';

export const copy: Command = {
  usage: 'copy [OPTIONS] SOURCE DESTINATION',
  about:
    'Copies an image between registries, the local store, an engine and files. Places are written as in skopeo: a name or ' +
    'docker://NAME for a registry, store://NAME, oci:DIR[:TAG], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME], ' +
    'docker-daemon:NAME. Of an image for several platforms, one is copied unless --all-platforms is given.',
  flags: [
    { name: 'platform', value: 'OS/ARCH', help: 'the platform to copy (default: this machine)' },
    { name: 'all-platforms', short: 'a', help: 'copy the index and all its images' },
    { name: 'referrers', help: 'copy signatures, attestations and what else refers to the image' },
    { name: 'quiet', short: 'q', help: 'print the digest only' },
    progressFlag,
  ],
  examples: [
    ['tsbuild copy -a alpine:3 ghcr.io/me/alpine:3', 'mirror an image with all its platforms'],
    ['tsbuild copy alpine:3 oci:images/alpine:3', 'keep it in a directory'],
    ['tsbuild copy docker-daemon:app:1 ghcr.io/me/app:1', 'push what Docker built'],
  ],
  words: { least: 2, most: 2 },
  async run(flags, session) {
    const digest = await withTransportHint(flags.positionals, async () => {
      const [source = '', destination = ''] = flags.positionals;
      const [from, to] = [parseImageAddress(source), parseImageAddress(destination)];
      checkWishes(from, to, flags);
      await refuseBareFile(source, from);
      return await withProgress(session, progressOf(flags, session.env), 'Copying', (events) =>
        copyImage(from, to, flags, session, events),
      );
    });
    session.stdout.write(`${digest}\n`);
    return 0;
  },
};

async function copyImage(
  from: ImageAddress,
  to: ImageAddress,
  flags: ParsedFlags,
  session: Session,
  events: EventSink,
) {
  const { signal, now } = session;
  return await withWiring(session, events, async (wiring) => {
    const source = await openCopySource(wiring, from, signal);
    const sink = await openCopySink(wiring, to);
    const target = await targetOf(source, flags, signal);
    const step = startTransferStep(events, now, 'copy', `copy ${flags.positionals.join(' to ')}`);
    await whileStep(step, async () => {
      const { knownIn, referrers } = source;
      const found = new Map<string, Descriptor>();
      const attached = new Map<string, Descriptor>();
      await copyGraph(source.source, sink.sink, target, {
        signal,
        onBlob: step.onBlob,
        ...(knownIn !== undefined && { knownIn: () => [knownIn] }),
        ...(referrers &&
          flags.on('referrers') && {
            referrers: async (subject: Descriptor, inner: AbortSignal) => {
              const referring = await referrers(subject, inner);
              for (const referrer of referring) found.set(referrer.digest, referrer);
              const tags = attachmentTags(subject.digest);
              const targets = await Promise.all(tags.map((tag) => source.attachment?.(tag, inner)));
              for (const [i, tag] of tags.entries()) if (targets[i]) attached.set(tag, targets[i]);
              return [...referring, ...targets.filter((item) => item !== undefined)];
            },
          }),
      });
      for (const referrer of found.values()) await sink.keepReferrer?.(referrer, session);
      for (const [tag, attachment] of attached) await sink.keepAttachment?.(attachment, tag, session);
      await sink.name(target, session);
    });
    return target.digest;
  });
}

/** Before anything is opened: what a place cannot hold. */
function checkWishes(from: ImageAddress, to: ImageAddress, flags: ParsedFlags): void {
  const isPlain = ({ kind }: ImageAddress) => kind === 'docker-archive' || kind === 'engine';
  const [source = '', destination = ''] = flags.positionals;
  if (flags.on('all-platforms') && isPlain(to)) {
    throw new TsbuildError({
      code: 'usage',
      message: `${destination} holds one platform of an image`,
      hint: 'Leave out --all-platforms, or copy to oci-archive:FILE.',
    });
  }
  if (flags.on('referrers') && (isPlain(from) || isPlain(to))) {
    throw new TsbuildError({
      code: 'usage',
      message: `${isPlain(from) ? source : destination} does not keep what refers to an image`,
      hint: 'Leave out --referrers, or use a registry, the store (store://NAME), oci:DIR or oci-archive:FILE.',
    });
  }
}

/** `copy app.tar …` means the file, and would ask Docker Hub for an image of that name. */
async function refuseBareFile(word: string, { kind }: ImageAddress): Promise<void> {
  if (kind !== 'registry' || !/\.(?:tar|tgz|tar\.\w+)$/.test(word)) return;
  const { stat } = await import('node:fs/promises');
  if (!(await stat(word).catch(() => undefined))?.isFile()) return;
  throw new TsbuildError({
    code: 'usage',
    message: `${word} is a file, and an image name as well`,
    hint: `Write docker-archive:${word} or oci-archive:${word}; or docker://${word} for the image.`,
  });
}

async function targetOf({ source, name }: CopySource, flags: ParsedFlags, signal: AbortSignal): Promise<Descriptor> {
  const target = await source.resolve(name, signal);
  if (flags.on('all-platforms') || !isIndexType(target.mediaType)) return target;
  const document = parseManifest(await readManifest(source, target, signal), target.mediaType);
  if (document.kind !== 'index') return target;
  return selectPlatform(document, wantedPlatform(flags) ?? hostPlatform(), name || source.name);
}
