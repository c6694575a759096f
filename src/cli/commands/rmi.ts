/** `tsbuild rmi`: takes names off images. Blobs go with `tsbuild prune`. */
import { TsbuildError } from '../../core/index.ts';
import {
  type Descriptor,
  familiarReference,
  isAttachmentTag,
  isReferrersTag,
  parseReference,
} from '../../image/index.ts';
import type { LocalStore } from '../../layers/index.ts';
import type { Command } from '../command.ts';
import { reportFailure } from '../report-failure.ts';
import { withWiring } from '../wire.ts';

export const rmi: Command = {
  usage: 'rmi [OPTIONS] IMAGE...',
  about:
    'Takes names off images of the local store; an image is gone with its last name. An ID takes off the only name, or with ' +
    '--force all. What no image and no cache needs any more is freed by tsbuild prune.',
  flags: [
    { name: 'force', short: 'f', help: 'take off all names of an ID; a missing image is no failure' },
    { name: 'no-prune' },
  ],
  words: { least: 1, most: Number.POSITIVE_INFINITY },
  async run(flags, session) {
    return await withWiring(
      session,
      () => {},
      async (wiring) => {
        const store = await wiring.store();
        let code = 0;
        for (const word of flags.positionals) {
          try {
            const lines = await remove(store, word, flags.on('force'), session.signal);
            for (const line of lines) session.stdout.write(`${line}\n`);
          } catch (error) {
            if (session.signal.aborted) throw error;
            // As with docker, one that is not there does not keep the others.
            code = Math.max(code, await reportFailure(error, session));
          }
        }
        return code;
      },
    );
  },
};

async function remove(store: LocalStore, word: string, force: boolean, signal: AbortSignal): Promise<string[]> {
  const found = await store.findImage(word);
  if (force && !found) return [];
  const image = found ?? (await store.useImage(word, signal));
  const names = (await store.images()).flatMap((other) =>
    other.target.digest === image.target.digest && other.name !== undefined ? [other.name] : [],
  );
  const named = names.find((name) => isName(word, name));
  if (named !== undefined && names.length > 1) {
    await store.untagImage(parseReference(named));
    await forgetReferrers(store, image.target, [named], signal);
    return [`Untagged: ${short(named)}`];
  }
  if (named === undefined && names.length > 1 && !force) {
    throw new TsbuildError({
      code: 'usage',
      message: `${word} has several names: ${names.map(short).join(', ')}`,
      hint: 'Name one of them, or take off all with --force.',
    });
  }
  await store.unlistImage(image.target.digest);
  await forgetReferrers(store, image.target, names, signal);
  return [...names.map((name) => `Untagged: ${short(name)}`), `Deleted: ${image.target.digest}`];
}

/** What refers to an image goes with its last name in a repository. */
async function forgetReferrers(
  store: LocalStore,
  target: Descriptor,
  names: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const tags = (await store.images()).map(({ name }) => name?.slice(name.lastIndexOf(':') + 1) ?? '');
  if (!tags.some((tag) => isReferrersTag(tag) || isAttachmentTag(tag))) return;
  const { forgetStoredReferrers } = await import('../ports/stored-referrers.ts');
  for (const name of names) await forgetStoredReferrers(store, target, name, signal);
}

function isName(word: string, name: string): boolean {
  try {
    const { digest: _, ...wanted } = parseReference(word);
    return familiarReference(wanted) === short(name);
  } catch {
    return false;
  }
}

function short(name: string): string {
  return familiarReference(parseReference(name));
}
