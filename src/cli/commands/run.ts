/** `tsbuild run`: a command in an image, for smoke tests without an engine. */
import { type PreparedRun, prepareRun, type ResolvedImage, type RunRequest } from '../../builder/index.ts';
import { type EventSink, hostPlatform, TsbuildError } from '../../core/index.ts';
import { formatReference, parsePlatform, parseReference } from '../../image/index.ts';
import type { LocalStore } from '../../layers/index.ts';
import { invalidFlag, oneOf, type ParsedFlags } from '../args/flag.ts';
import { progressOf } from '../args/progress-flag.ts';
import { readRunFlags, runFlags } from '../args/run-flags.ts';
import { runAttached } from '../attached-run.ts';
import type { Command } from '../command.ts';
import { enterUserNamespace } from '../enter-user-namespace.ts';
import { dockerProxies } from '../ports/docker-config.ts';
import { reportFailure } from '../report-failure.ts';
import type { Session } from '../session.ts';
import { type Wiring, withWiring } from '../wire.ts';
import { withProgress } from '../with-progress.ts';

/** As docker: what the command ends with is told apart from what keeps it from starting. */
const notRun = 125;

export const run: Command = {
  usage: 'run [OPTIONS] IMAGE [COMMAND] [ARGUMENT...]',
  about:
    'Runs a command in an image of the local store, or of a registry when the store has none, in the sandbox that RUN has. ' +
    'What it writes to its root is thrown away (--rm is always meant). The exit code is that of the command, 128 + n when signal ' +
    'n ended it, 127 and 126 when it is not found or cannot be run, and 125 when tsbuild could not start it. Signals are passed ' +
    'on; the third Ctrl-C ends it in any case.',
  flags: runFlags,
  examples: [
    ['tsbuild run app:1', 'what the image runs by itself'],
    ['tsbuild run -it app:1 sh', 'a shell'],
    ['tsbuild run -v ./out:/out app:1 make -C /src', 'with a directory of this machine'],
  ],
  words: { least: 1, most: Number.POSITIVE_INFINITY },
  firstWordEndsFlags: true,
  async run(flags, session) {
    try {
      const request = readRunFlags(flags, session.env, dockerProxies(session.env));
      const attach = { input: flags.on('interactive'), terminal: flags.on('tty') };
      if (attach.input && attach.terminal && !session.stdinIsTerminal) {
        throw invalidFlag('-t', 'standard input is not a terminal', 'Leave -t out: -i alone hands standard input on.');
      }
      const code = await enterUserNamespace(request.isolation, session);
      if (code !== undefined) return code;
      return await withWiring(session, warningsTo(session), async (wiring) => {
        await using prepared = await withProgress(session, progressOf(flags, session.env), 'Pulling', (events) =>
          prepare(flags, request, session, wiring, withoutInfo(events)),
        );
        return await runAttached(session, attach, (options) => prepared.run(options));
      });
    } catch (error) {
      await reportFailure(error, session);
      return notRun;
    }
  },
};

async function prepare(
  flags: ParsedFlags,
  request: RunRequest,
  session: Session,
  wiring: Wiring,
  events: EventSink,
): Promise<PreparedRun> {
  const [store, baseImages] = await Promise.all([wiring.store(), wiring.baseImages(events)]);
  const { signal } = session;
  const image = await resolveImage(flags, store, (reference, pull) =>
    baseImages.resolve(reference, { platform: platformOf(flags), pull, signal }),
  );
  return await prepareRun(image, request, { store, baseImages, events, signal });
}

async function resolveImage(
  flags: ParsedFlags,
  store: LocalStore,
  resolve: (reference: string, pull: boolean) => Promise<ResolvedImage>,
): Promise<ResolvedImage> {
  const [name = ''] = flags.positionals;
  const when = oneOf('--pull', flags.text('pull') ?? 'missing', ['missing', 'always', 'never']);
  if (when === 'always') return await resolve(name, true);
  const stored = /^[a-z-]+:\/\//.test(name) ? undefined : await store.findImage(name);
  // What was not found by its name was found by its ID or digest, which no registry knows.
  if (stored && (when === 'never' || stored.name !== fullName(name))) return await resolve(`store://${name}`, false);
  if (stored || when === 'missing') return await resolve(name, false);
  throw new TsbuildError({
    code: 'image-unknown',
    message: `the local store has no image ${name}`,
    hint: 'Leave out --pull=never, or see tsbuild images.',
  });
}

function fullName(name: string): string | undefined {
  return /^(sha256:)?[0-9a-f]{12,64}$/.test(name) ? undefined : formatReference(parseReference(name));
}

function platformOf(flags: ParsedFlags): ReturnType<typeof parsePlatform> {
  const text = flags.text('platform');
  return text === undefined ? hostPlatform() : parsePlatform(text, hostPlatform());
}

/** Standard error is the command's, but for what is weaker than it should be. */
function warningsTo({ stderr }: Session): EventSink {
  return (event) => {
    if (event.kind === 'notice' && event.level === 'warning') stderr.write(`warning: ${event.message}\n`);
  };
}

function withoutInfo(events: EventSink): EventSink {
  return (event) => {
    if (event.kind !== 'notice' || event.level === 'warning') events(event);
  };
}
