/** `tsbuild copy`: an image from anywhere to anywhere. */

import { type EventSink, TsbuildError } from '../../core/index.ts';
import {
  type BlobSink,
  type BlobSource,
  copyGraph,
  type Descriptor,
  formatReference,
  isIndexType,
  parseManifest,
  parseReference,
  readManifest,
  selectPlatform,
} from '../../image/index.ts';
import type { RegistryRepository } from '../../registry/index.ts';
import type { ParsedFlags } from '../args/flag.ts';
import { progressFlag, progressOf } from '../args/progress-flag.ts';
import type { Command } from '../command.ts';
import { hostPlatform } from '../host-platform.ts';
import { writeOutput } from '../output-file.ts';
import { type ImageAddress, parseImageAddress } from '../ports/image-address.ts';
import { startTransferStep, whileStep } from '../ports/transfer-steps.ts';
import { wantedPlatform } from '../remote-image.ts';
import type { Session } from '../session.ts';
import { type Wiring, withWiring } from '../wire.ts';
import { withProgress } from '../with-progress.ts';

export const copy: Command = {
  usage: 'copy [OPTIONS] SOURCE DESTINATION',
  about:
    'Copies an image between registries, the local store and files. Places are written as in skopeo: a name or docker://NAME ' +
    'for a registry, store://NAME, oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE. Of an image for several platforms, ' +
    'one is copied unless --all-platforms is given.',
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
  ],
  words: { least: 2, most: 2 },
  async run(flags, session) {
    const [from = '', to = ''] = flags.positionals;
    const digest = await withProgress(session, progressOf(flags, session.env), 'Copying', (events) =>
      copyImage(parseImageAddress(from), parseImageAddress(to), flags, session, events),
    );
    session.stdout.write(`${digest}\n`);
    return 0;
  },
};

interface Source {
  readonly source: BlobSource;
  /** For `resolve`. */
  readonly name: string;
  readonly repository?: RegistryRepository;
}

async function copyImage(
  from: ImageAddress,
  to: ImageAddress,
  flags: ParsedFlags,
  session: Session,
  events: EventSink,
) {
  const { signal, now } = session;
  return await withWiring(session, events, async (wiring) => {
    const { source, name, repository } = await openSource(wiring, from, signal);
    let target = await source.resolve(name, signal);
    if (!flags.on('all-platforms') && isIndexType(target.mediaType)) {
      const document = parseManifest(await readManifest(source, target, signal), target.mediaType);
      if (document.kind === 'index')
        target = selectPlatform(document, wantedPlatform(flags) ?? hostPlatform(), name || source.name);
    }
    const step = startTransferStep(events, now, 'copy', `copy ${flags.positionals.join(' to ')}`);
    await whileStep(step, async () => {
      const sink = await openSink(wiring, to);
      await copyGraph(source, sink.sink, target, {
        signal,
        onBlob: step.onBlob,
        ...(repository && { knownIn: () => [`${repository.registry}/${repository.repository}`] }),
        ...(repository &&
          flags.on('referrers') && {
            referrers: (subject: Descriptor, inner: AbortSignal) =>
              repository.referrers(subject.digest, { signal: inner }),
          }),
      });
      await sink.name(target, session);
    });
    return target.digest;
  });
}

async function openSource(wiring: Wiring, address: ImageAddress, signal: AbortSignal): Promise<Source> {
  if (address.kind === 'registry') {
    const repository = await wiring.repository(address.reference);
    return { source: repository, repository, name: address.reference.digest ?? address.reference.tag ?? 'latest' };
  }
  if (address.kind === 'store') return { source: await wiring.store(), name: address.name };
  return {
    source: await wiring.openAddress(address, signal),
    name: address.kind === 'engine' ? '' : (address.name ?? ''),
  };
}

interface Sink {
  readonly sink: BlobSink;
  /** Gives the copy its name. */
  readonly name: (target: Descriptor, session: Session) => Promise<void>;
}

async function openSink(wiring: Wiring, address: ImageAddress): Promise<Sink> {
  switch (address.kind) {
    case 'registry': {
      const repository = await wiring.repository(address.reference);
      const { tag } = address.reference;
      return {
        sink: repository,
        name: async (target, { signal }) => {
          if (tag !== undefined) await repository.tag(target, tag, signal);
        },
      };
    }
    case 'store': {
      const store = await wiring.store();
      const reference = parseReference(address.name);
      return { sink: store, name: (target) => store.tagImage(target, reference) };
    }
    case 'oci-layout': {
      const { openOciLayoutSink } = await import('../../layers/index.ts');
      const sink = await openOciLayoutSink(address.path);
      const name = address.name ?? 'latest';
      return { sink, name: (target, { signal }) => sink.tag(target, name, signal) };
    }
    case 'oci-archive':
    case 'docker-archive': {
      // An archive is written in one go: the store holds the image until then.
      const [store, layers] = await Promise.all([wiring.store(), import('../../layers/index.ts')]);
      const write = address.kind === 'oci-archive' ? layers.writeOciArchive : layers.writeDockerArchive;
      const names = address.name === undefined ? [] : [formatReference(parseReference(address.name))];
      return {
        sink: store,
        name: (target, session) =>
          writeOutput(address.path, session, (out) => write(store, [{ target, names }], out, session.signal)),
      };
    }
    case 'engine':
      throw new TsbuildError({
        code: 'usage',
        message: 'docker-daemon: cannot be copied to',
        hint: 'Use a docker archive: tsbuild copy SOURCE docker-archive:image.tar && docker load -i image.tar',
      });
  }
}
