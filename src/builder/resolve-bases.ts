/**
 * Resolves the images a Dockerfile names, all at once, and says what may be wrong with a name for which there is none.
 * Invariant: a name that is near a stage's is still asked for as an image, but not for long: whoever means the image
 * and has a slow registry writes its full name.
 */
import { setMaxListeners } from 'node:events';
import { allOrNothing, isTsbuildError, nearest, type SourceLocation, TsbuildError } from '../core/index.ts';
import { formatPlatform } from '../image/index.ts';
import { type ImageNeed, imageKey, unsetHint } from './plan/index.ts';
import type { BuildPorts, BuildRequest, ResolvedImage } from './types.ts';

export interface BaseNames {
  /** The Dockerfile. */
  readonly file: string;
  readonly text: string;
  readonly stages: readonly string[];
  /** Variables that FROM may use. */
  readonly variables: readonly string[];
}

/** How long a name that is near a stage's may take, in milliseconds. */
const patience = 8000;

/** @returns by `imageKey` @throws TsbuildError of the image port, with the line, and a hint for what looks mistyped */
export async function resolveBases(
  needs: readonly ImageNeed[],
  names: BaseNames,
  request: BuildRequest,
  ports: BuildPorts,
): Promise<ReadonlyMap<string, ResolvedImage>> {
  const wanted = needs.map((need) => ({ need, near: nearName(need, names, request) }));
  const resolved = await allOrNothing(
    ports.signal,
    wanted.map((one) => async (signal: AbortSignal) => {
      const others = wanted.filter((other) => other !== one && other.near !== undefined);
      const image = await resolveOne(one, others, names, request, { ...ports, signal });
      return [imageKey(one.need.reference, one.need.platform), image] as const;
    }),
  );
  return new Map(resolved);
}

interface Wanted {
  readonly need: ImageNeed;
  /** What the name may have been meant to be: `the stage builder`. */
  readonly near: string | undefined;
}

async function resolveOne(
  wanted: Wanted,
  others: readonly Wanted[],
  names: BaseNames,
  request: BuildRequest,
  { baseImages, events, now, signal }: BuildPorts,
): Promise<ResolvedImage> {
  const { reference, platform, range } = wanted.need;
  const source: SourceLocation = { file: names.file, text: names.text, range };
  const id = `resolve ${formatPlatform(platform)} ${reference}`;
  const started = now();
  const finish = (outcome: 'done' | 'cancelled' | 'failed', error?: TsbuildError): void =>
    events({ kind: 'step-finished', id, outcome, milliseconds: now() - started, ...(error && { error }) });
  events({ kind: 'step-started', step: { id, title: `[internal] resolve ${reference}`, source } });
  const limit = wanted.near === undefined ? undefined : AbortSignal.timeout(patience);
  try {
    const options = { platform, pull: request.pull, signal: limit ? either(signal, limit) : signal };
    const image = await baseImages.resolve(reference, options);
    finish('done');
    return image;
  } catch (error) {
    const isLate = limit?.aborted === true && !signal.aborted;
    if (!isTsbuildError(error) || error.source || (error.code === 'cancelled' && !isLate)) {
      finish('cancelled');
      throw error;
    }
    const located = explained(isLate ? late() : error, wanted, others, names);
    finish('failed', located);
    throw located;
  }
}

function either(signal: AbortSignal, limit: AbortSignal): AbortSignal {
  const joined = AbortSignal.any([signal, limit]);
  setMaxListeners(0, joined);
  return joined;
}

function late(): TsbuildError {
  return new TsbuildError({ code: 'registry-timeout', message: `its registry gave no answer in ${patience / 1000} s` });
}

/** A mistyped stage looks like an image nobody has, and so does a name with a variable left out. */
function explained(
  error: TsbuildError,
  { need, near }: Wanted,
  others: readonly Wanted[],
  { file, text, variables }: BaseNames,
): TsbuildError {
  const { code, message, cause } = error;
  // An image that is there, but not for the platform, was not mistyped.
  const isMistyped = near !== undefined && code !== 'platform-not-found';
  const patient = code === 'registry-timeout' ? ' An image is waited for longer when its name says the registry.' : '';
  const own = unsetHint(need.unset, variables) ?? (isMistyped ? `Did you mean ${near}?${patient}` : error.hint);
  const rest = others.map((other) => `Line ${other.need.range.start.line}: did you mean ${other.near}?`);
  const name = JSON.stringify(need.reference);
  const hint = [...(own === undefined ? [] : [own]), ...rest].join(' ');
  return new TsbuildError({
    code,
    message: isMistyped ? `there is no stage ${name}, nor can an image of that name be had: ${message}` : message,
    source: { file, text, range: need.range },
    cause,
    ...(hint !== '' && { hint }),
  });
}

function nearName(
  { reference }: ImageNeed,
  { stages }: BaseNames,
  { namedContexts }: BuildRequest,
): string | undefined {
  const stage = nearest(reference, stages);
  if (stage !== undefined) return `the stage ${stage}`;
  const context = nearest(reference, namedContexts.keys());
  return context === undefined ? undefined : `the context ${context}`;
}
