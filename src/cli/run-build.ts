/** A build from its invocation to its results: progress on stderr, the image ID on stdout with -q, the files asked for. */
import { homedir } from 'node:os';
import { type BuildResult, build } from '../builder/index.ts';
import { type EventSink, hostPlatform } from '../core/index.ts';
import type { Descriptor } from '../image/index.ts';
import type { BuildInvocation, BuildSurroundings } from './args/build-request.ts';
import { buildMetadata, imageIdOf, writeResultFile } from './build-results.ts';
import { patientUntilPlanned } from './engine-flags.ts';
import { OutputLogs } from './output-logs.ts';
import { dockerProxies } from './ports/docker-config.ts';
import type { Session } from './session.ts';
import { storeRoot } from './store-root.ts';
import { withWiring } from './wire.ts';
import { withProgress } from './with-progress.ts';
import { withoutDamage } from './without-damage.ts';

export interface BuildOutcome {
  readonly result: BuildResult;
  /** By full reference. */
  readonly pushed: ReadonlyMap<string, Descriptor>;
}

/** Builds, writes the result files, and prints what stdout is to get. @throws TsbuildError */
export async function runBuild(invocation: BuildInvocation, session: Session): Promise<BuildOutcome> {
  const outcome = await withProgress(session, invocation.progress, 'Building', (events, suspend) =>
    buildWith(invocation, session, events, suspend),
  );
  const { result } = outcome;
  if (invocation.iidFile !== undefined) await writeResultFile(invocation.iidFile, imageIdOf(result));
  if (invocation.metadataFile !== undefined) {
    await writeResultFile(invocation.metadataFile, `${JSON.stringify(buildMetadata(outcome, session.env), null, 2)}\n`);
  }
  if (invocation.quiet) session.stdout.write(`${imageIdOf(result)}\n`);
  else if (invocation.progress !== 'quiet' && invocation.progress !== 'rawjson') {
    const names = result.tags.map((tag) => tag.replace(/^docker\.io\/(library\/)?/, ''));
    session.stderr.write(`${['built', ...names].join(' ')} ${imageIdOf(result)}\n`);
  }
  return outcome;
}

/** The build alone, its events sent where the caller wants them. */
export async function buildWith(
  invocation: BuildInvocation,
  session: Session,
  events: EventSink,
  suspendProgress: () => () => void = () => () => {},
): Promise<BuildOutcome> {
  const failureShell =
    invocation.onError === 'shell'
      ? await import('./failure-shell.ts').then((module) => module.failureShell)
      : undefined;
  for (const message of invocation.warnings) events({ kind: 'notice', level: 'warning', message });
  return await withWiring(session, events, async (wiring) => {
    const [store, baseImages] = await Promise.all([wiring.store(), wiring.baseImages()]);
    const delivery = await wiring.delivery(baseImages, hostPlatform());
    const repeatable = !invocation.request.exports.some((output) => output.destination === '-');
    const attempt = { events, signal: session.signal, repeatable };
    const logs = new OutputLogs(storeRoot(session.env, session.user, homedir()), events);
    const result = await withoutDamage(store, attempt, () =>
      build(invocation.request, {
        store,
        baseImages,
        delivery,
        cachePlaces: async (place) =>
          (await import('./ports/cache-places.ts')).openCachePlace(place, wiring, session.signal),
        stepCaches: async (address) =>
          (await import('./ports/step-caches.ts')).openStepCache(address, wiring, baseImages, session.signal),
        events: patientUntilPlanned(logs.sink),
        now: session.now,
        stdout: session.stdoutStream,
        signal: session.signal,
        onRunFailed: failureShell?.(session, suspendProgress),
      }),
    ).finally(() => logs.close());
    return { result, pushed: new Map(delivery.pushed) };
  });
}

/** What a build's arguments mean in this process. */
export function surroundingsOf(session: Session): BuildSurroundings {
  return {
    env: session.env,
    hostPlatform: hostPlatform(),
    stdoutIsTerminal: session.stdout.isTTY,
    stdin: session.stdin,
    proxies: dockerProxies(session.env),
    stdinIsTerminal: session.stdinIsTerminal,
  };
}
