/** `tsbuild artifact`: files in a registry that are no images, alone or attached to one (OCI image and distribution spec 1.1). */
import { allOrNothing, Limiter, TsbuildError } from '../../core/index.ts';
import {
  type BlobProgress,
  type Descriptor,
  describe,
  emptyBlob,
  emptyDescriptor,
  formatReference,
  type ImageManifest,
  mediaTypes,
  oneChunk,
  parseManifest,
  readManifest,
  repositoryName,
  serializeManifest,
} from '../../image/index.ts';
import { splitAssignment } from '../args/csv.ts';
import { oneOf, type ParsedFlags } from '../args/flag.ts';
import { progressFlag, progressOf } from '../args/progress-flag.ts';
import { type ArtifactFile, describeFile, openFile, titledLayers, writeTitled } from '../artifact-files.ts';
import type { Command } from '../command.ts';
import { startTransferStep, type TransferStep, whileStep } from '../ports/transfer-steps.ts';
import { printReferrers } from '../print-referrers.ts';
import { type RemoteImage, remoteImage, resolveImage, wantedPlatform, withRegistry } from '../remote-image.ts';
import type { Session } from '../session.ts';
import { withWiring } from '../wire.ts';
import { withProgress } from '../with-progress.ts';

export const artifact: Command = {
  usage: 'artifact push|attach|pull|list NAME [FILE[:MEDIATYPE]...]',
  about:
    'Works with files in a registry that are no images: charts, bills of materials, signatures. push puts files under a name; ' +
    'attach puts them beside an image, as what refers to it; list shows what is attached to an image; pull writes the files ' +
    'of an artifact to a directory.',
  flags: [
    { name: 'artifact-type', value: 'TYPE', help: 'push, attach: what it is, as a media type; list: only those' },
    { name: 'annotation', value: 'KEY=VALUE', many: true, help: 'push, attach: annotation of the artifact' },
    { name: 'platform', value: 'OS/ARCH', help: 'attach, list: the image for a platform instead of the index' },
    { name: 'output', short: 'o', value: 'DIR', help: 'pull: directory to write to (default: the current one)' },
    progressFlag,
    { name: 'format', value: 'FORMAT', help: 'list: json, or a template such as {{.Digest}}' },
  ],
  examples: [
    ['tsbuild artifact push host/docs:1 manual.pdf:application/pdf --artifact-type application/x-docs', 'keep a file'],
    [
      'tsbuild artifact attach host/app:1 sbom.json --artifact-type application/spdx+json',
      'attach a bill of materials',
    ],
    ['tsbuild artifact pull host/docs:1 -o docs', 'get the files back'],
  ],
  words: { least: 2, most: Number.POSITIVE_INFINITY },
  async run(flags, session) {
    const [word = '', name = '', ...files] = flags.positionals;
    const action = oneOf('artifact', word, ['push', 'attach', 'pull', 'list']);
    if (files.length > 0 && (action === 'pull' || action === 'list')) {
      throw new TsbuildError({
        code: 'usage',
        message: `artifact ${action} takes no files`,
        hint: `Write tsbuild ${artifact.usage}`,
      });
    }
    if (files.length === 0 && (action === 'push' || action === 'attach') && flags.all('annotation').length === 0) {
      throw new TsbuildError({
        code: 'usage',
        message: `artifact ${action} has nothing to put there`,
        hint: 'Name a file, or give --annotation.',
      });
    }
    if (action === 'list') {
      return await withRegistry(session, async (wiring) => {
        await printReferrers(wiring, name, flags, session);
        return 0;
      });
    }
    const lines = await withProgress(session, progressOf(flags, session.env), verbs[action], (events) =>
      withWiring(session, events, async (wiring) => {
        const image = await remoteImage(wiring, name);
        const step = startTransferStep(events, session.now, 'artifact', `${action} ${name}`);
        return await whileStep(step, async () => {
          if (action === 'pull') return await pullFiles(image, name, flags, session, step);
          const subject =
            action === 'attach' ? await resolveImage(image, wantedPlatform(flags), session.signal) : undefined;
          return [await pushFiles(image, subject, files, flags, session, step)];
        });
      }),
    );
    for (const line of lines) session.stdout.write(`${line}\n`);
    return 0;
  },
};

/** For the head of the live display. */
const verbs = { push: 'Pushing', attach: 'Attaching', pull: 'Pulling' } as const;

/** @param subject what it is attached to; without one it gets the tag of the name */
async function pushFiles(
  image: RemoteImage,
  subject: Descriptor | undefined,
  words: readonly string[],
  flags: ParsedFlags,
  session: Session,
  step: TransferStep,
): Promise<string> {
  const { repository, reference } = image;
  const { signal } = session;
  const { tag } = reference;
  if (!subject && (reference.digest !== undefined || tag === undefined)) {
    throw new TsbuildError({ code: 'usage', message: 'an artifact cannot be put under a digest', hint: 'Name a tag.' });
  }
  const files = await allOrNothing(
    signal,
    words.map((word) => (inner) => describeFile(word, inner)),
  );
  const limit = new Limiter(4);
  const uploads = new Map([empty, ...files].map((file) => [file.descriptor.digest, file]));
  await allOrNothing(
    signal,
    [...uploads.values()].map((file) => (inner) => limit.run(inner, () => putFile(image, file, step, inner))),
  );
  const manifest = artifactManifest(files, subject, flags);
  const bytes = serializeManifest(manifest);
  const descriptor = describe(mediaTypes.ociManifest, bytes);
  await repository.put(descriptor, async () => oneChunk(bytes), { signal });
  if (!subject && tag !== undefined) await repository.tag(descriptor, tag, signal);
  const shown = subject ? repositoryName(reference) : formatReference(reference);
  return `${shown}@${descriptor.digest}`;
}

/** The configuration of what has none, and the layer of an artifact that is all annotations. */
const empty = { path: undefined, descriptor: emptyDescriptor } as const;

async function putFile(
  { repository }: RemoteImage,
  { path, descriptor }: ArtifactFile | typeof empty,
  step: TransferStep,
  signal: AbortSignal,
): Promise<void> {
  const open = async () => (path === undefined ? oneChunk(emptyBlob) : openFile(path, signal));
  const report = (state: BlobProgress['state'], done: number) => step.onBlob({ descriptor, state, done });
  report(
    await repository.put(descriptor, open, { signal, onProgress: (done) => report('progress', done) }),
    descriptor.size,
  );
}

function artifactManifest(
  files: readonly ArtifactFile[],
  subject: Descriptor | undefined,
  flags: ParsedFlags,
): ImageManifest {
  const annotations = Object.fromEntries(
    flags.all('annotation').map((text) => {
      const { name, value } = splitAssignment(text);
      return [name, value ?? ''] as const;
    }),
  );
  return {
    kind: 'manifest',
    mediaType: mediaTypes.ociManifest,
    // The spec wants a type wherever the configuration is the empty one.
    artifactType: flags.text('artifact-type') ?? 'application/vnd.unknown.artifact.v1',
    config: empty.descriptor,
    layers: files.length > 0 ? files.map((file) => file.descriptor) : [empty.descriptor],
    ...(subject && { subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size } }),
    annotations,
  };
}

/** Resolves to the paths that were written. */
async function pullFiles(
  image: RemoteImage,
  word: string,
  flags: ParsedFlags,
  session: Session,
  step: TransferStep,
): Promise<readonly string[]> {
  const { repository, name } = image;
  const { signal } = session;
  const found = await repository.resolve(name, signal, { alsoRead: true });
  const manifest = parseManifest(await readManifest(repository, found, signal), found.mediaType);
  if (manifest.kind === 'index') {
    throw new TsbuildError({
      code: 'manifest-unsupported',
      message: `${word} is an index, not an artifact`,
      hint: `See tsbuild tree ${word}, and name what you want by its digest.`,
    });
  }
  const files = titledLayers(manifest);
  if (files.length === 0) {
    throw new TsbuildError({
      code: 'manifest-unsupported',
      message: `${word} has no files with names`,
      hint: `If it is an image, pull it: tsbuild pull ${word}`,
    });
  }
  const limit = new Limiter(4);
  return await allOrNothing(
    signal,
    files.map(
      (file) => (inner) =>
        limit.run(inner, () =>
          writeTitled(repository, file, flags.text('output') ?? '.', { ...session, signal: inner }, step.onBlob),
        ),
    ),
  );
}
