/** Words of the registry commands: a name becomes its repository and what to ask of it. */

import { hostPlatform } from '../core/index.ts';
import {
  type Descriptor,
  isIndexType,
  type Platform,
  parseManifest,
  parsePlatform,
  parseReference,
  type Reference,
  type ResolveOptions,
  readManifest,
  selectPlatform,
} from '../image/index.ts';
import type { RegistryRepository } from '../registry/index.ts';
import type { ParsedFlags } from './args/flag.ts';
import type { Session } from './session.ts';
import { type Wiring, withWiring } from './wire.ts';

export interface RemoteImage {
  readonly reference: Reference;
  readonly repository: RegistryRepository;
  /** A tag or a digest. */
  readonly name: string;
}

/** @throws TsbuildError `reference-invalid` */
export async function remoteImage(wiring: Wiring, text: string): Promise<RemoteImage> {
  const reference = parseReference(text.replace(/^docker:\/\//, ''));
  return {
    reference,
    repository: await wiring.repository(reference),
    name: reference.digest ?? reference.tag ?? 'latest',
  };
}

/** For commands without progress: the work with a wiring whose warnings go to stderr. */
export function withRegistry<T>(session: Session, work: (wiring: Wiring) => Promise<T>): Promise<T> {
  return withWiring(
    session,
    (event) => {
      if (event.kind === 'notice')
        session.stderr.write(`${event.level === 'warning' ? 'warning: ' : ''}${event.message}\n`);
    },
    work,
  );
}

/** The platform of `--platform`; undefined when it was not given. @throws TsbuildError `platform-invalid` */
export function wantedPlatform(flags: ParsedFlags): Platform | undefined {
  const text = flags.text('platform');
  return text === undefined ? undefined : parsePlatform(text, hostPlatform());
}

/** What a name stands for, or of an index the manifest for a platform. */
export async function resolveImage(
  { repository, name }: Pick<RemoteImage, 'repository' | 'name'>,
  platform: Platform | undefined,
  signal: AbortSignal,
  options: ResolveOptions = {},
): Promise<Descriptor> {
  const target = await repository.resolve(name, signal, platform === undefined ? options : { alsoRead: true });
  if (platform === undefined || !isIndexType(target.mediaType)) return target;
  const document = parseManifest(await readManifest(repository, target, signal), target.mediaType);
  return document.kind === 'index' ? selectPlatform(document, platform, name) : target;
}
