/** `tsbuild pull`: an image from a registry into the store. */

import { type EventSink, hostPlatform } from '../../core/index.ts';
import {
  type BlobSource,
  copyGraph,
  type Descriptor,
  formatReference,
  isDocumentType,
  isIndexType,
  type Platform,
  parseManifest,
  parsePlatform,
  parseReference,
  type Reference,
  readManifest,
  selectPlatform,
} from '../../image/index.ts';
import type { LocalStore } from '../../layers/index.ts';
import type { RegistryRepository } from '../../registry/index.ts';
import { progressFlag, progressOf } from '../args/progress-flag.ts';
import type { Command } from '../command.ts';
import { startTransferStep, whileStep } from '../ports/transfer-steps.ts';
import type { Session } from '../session.ts';
import { withWiring } from '../wire.ts';
import { withProgress } from '../with-progress.ts';

interface PullRequest {
  readonly reference: Reference;
  readonly name: string;
  /** Undefined: all. */
  readonly platform: Platform | undefined;
}

export const pull: Command = {
  usage: 'pull [OPTIONS] NAME',
  about:
    'Fetches an image from its registry into the local store. Of an image for several platforms, only yours is fetched.',
  flags: [
    { name: 'platform', value: 'OS/ARCH', help: 'fetch the image for this platform' },
    { name: 'all-platforms', help: 'fetch the images for all platforms' },
    { name: 'quiet', short: 'q', help: 'print the name only' },
    progressFlag,
  ],
  examples: [['tsbuild pull alpine:3', 'docker.io/library/alpine:3, for this machine']],
  words: { least: 1, most: 1 },
  async run(flags, session) {
    const [name = ''] = flags.positionals;
    const host = hostPlatform();
    const wanted = flags.text('platform');
    const request: PullRequest = {
      reference: parseReference(name.replace(/^docker:\/\//, '')),
      name,
      platform: flags.on('all-platforms') ? undefined : wanted === undefined ? host : parsePlatform(wanted, host),
    };
    const target = await withProgress(session, progressOf(flags, session.env), 'Pulling', (events) =>
      fetchImage(request, session, events),
    );
    if (!flags.on('quiet')) session.stderr.write(`Digest: ${target.digest}\n`);
    session.stdout.write(`${formatReference(request.reference)}\n`);
    return 0;
  },
};

async function fetchImage(request: PullRequest, session: Session, events: EventSink): Promise<Descriptor> {
  const { reference, platform, name } = request;
  const { signal, now } = session;
  return await withWiring(session, events, async (wiring) => {
    const [store, repository] = await Promise.all([wiring.store(), wiring.repository(reference)]);
    const full = formatReference(reference);
    const step = startTransferStep(events, now, `pull ${full}`, `pull ${full}`);
    return await whileStep(step, async () => {
      const target = await repository.resolve(reference.digest ?? reference.tag ?? 'latest', signal);
      const source = documentsFrom(store, repository);
      let only: Descriptor | undefined;
      if (platform && isIndexType(target.mediaType)) {
        const document = parseManifest(await readManifest(source, target, signal), target.mediaType);
        only = document.kind === 'index' ? selectPlatform(document, platform, name) : undefined;
      }
      await copyGraph(source, store, target, {
        signal,
        sinkVerifies: true,
        onBlob: step.onBlob,
        ...(only && { select: (child) => child.digest === only.digest || !isIndexChild(child) }),
      });
      await store.tagImage(target, reference);
      return target;
    });
  });
}

/** Manifests that are here already are read here: a pull of what is up to date asks what the tag points at, and no more. */
function documentsFrom(store: LocalStore, repository: RegistryRepository): BlobSource {
  return {
    name: repository.name,
    resolve: (reference, signal) => repository.resolve(reference, signal),
    async open(descriptor, signal) {
      const isHere = isDocumentType(descriptor.mediaType) && (await store.has(descriptor, signal));
      return isHere ? store.open(descriptor, signal) : repository.open(descriptor, signal);
    },
    openUnverified: (descriptor, signal, from) =>
      repository.openUnverified?.(descriptor, signal, from) ?? repository.open(descriptor, signal),
  };
}

/** An index inside an index is looked into; the manifests beside the chosen one are not fetched. */
function isIndexChild(descriptor: Descriptor): boolean {
  return !isIndexType(descriptor.mediaType);
}
