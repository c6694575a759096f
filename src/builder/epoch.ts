/**
 * The time of a build that is to be reproducible: the build argument SOURCE_DATE_EPOCH, else the default the Dockerfile
 * gives it before the first FROM. `context` stands for the time the build context has (BuildKit, docs/build-repro.md).
 */
import type { BuildContext } from './context/index.ts';
import type { ParsedDockerfile } from './dockerfile/index.ts';
import { failAt, globalArguments } from './plan/index.ts';
import type { BuildRequest } from './types.ts';

const name = 'SOURCE_DATE_EPOCH';
/** The end of the year 9999: the last second RFC 3339 can write. */
const latest = 253_402_300_799;

/**
 * The request with its time known.
 * @param context opens the build context, when its time is asked for
 * @throws TsbuildError `plan-value-invalid`, and what opening the context throws
 */
export async function withEpoch(
  request: BuildRequest,
  parsed: ParsedDockerfile,
  context: () => Promise<BuildContext>,
): Promise<BuildRequest> {
  if (request.sourceDateEpoch !== undefined) return request;
  const written = request.buildArgs[name] ?? globalArguments(parsed, new Map(), request.buildArgs).get(name);
  if (written === undefined || written === '') return request;
  if (written !== 'context') return { ...request, sourceDateEpoch: readSeconds(written, parsed) };
  const { time } = await context();
  // What a stage declares is the number, or nothing for a directory of this machine, which has no time.
  const buildArgs = { ...request.buildArgs, [name]: time === undefined ? '' : String(time) };
  return { ...request, buildArgs, ...(time !== undefined && { sourceDateEpoch: time }) };
}

function readSeconds(text: string, parsed: ParsedDockerfile): number {
  const seconds = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (seconds <= latest) return seconds;
  const declared = parsed.globalArgs.findLast(({ args }) => args.some((arg) => arg.name.raw === name));
  const start = { line: 1, column: 1 };
  throw failAt(parsed, declared?.range ?? { start, end: start }, {
    code: 'plan-value-invalid',
    message: `${name} is ${JSON.stringify(text)}: neither seconds since 1970 nor context`,
    hint: `Write ARG ${name}=<seconds>, or give --build-arg ${name}=<seconds>.`,
  });
}
