/**
 * The command line of `tsbuild build` and the environment -> one frozen request. Everything that can be found wrong without
 * reading the Dockerfile, the context or the network is found here.
 */
import { isIP } from 'node:net';
import type { BuildRequest, NamedContext } from '../../builder/index.ts';
import { TsbuildError } from '../../core/index.ts';
import { formatReference, type Platform, parsePlatform, parseReference } from '../../image/index.ts';
import { parseAnnotation } from './annotations.ts';
import { parseAttestations } from './attestations.ts';
import { buildFlags } from './build-flags.ts';
import { parseCacheMount } from './cache-mount.ts';
import { parseContext, parseNamedContext } from './context.ts';
import { parseCsv, splitAssignment } from './csv.ts';
import { invalidFlag, oneOf, type ParsedFlags, parseFlags } from './flag.ts';
import { parseLimits } from './limits.ts';
import { parseOutputs } from './outputs.ts';
import { type ProgressKind, progressKinds } from './progress-flag.ts';
import { type Environment, parseSecret, parseSsh } from './secrets.ts';
import { parseCacheFrom, parseCacheTo } from './step-cache.ts';

const callMethods = ['build', 'check', 'outline', 'targets', 'plan'] as const;
export type CallMethod = (typeof callMethods)[number];

/** A whole `tsbuild build`: the builder's request and what the command line itself does with the result. */
export interface BuildInvocation {
  readonly request: BuildRequest;
  readonly call: { readonly method: CallMethod; readonly json: boolean };
  readonly progress: ProgressKind;
  readonly quiet: boolean;
  /** What happens when a RUN fails; `shell`: a person may look at it, then the build fails. */
  readonly onError: 'stop' | 'shell';
  readonly iidFile: string | undefined;
  readonly metadataFile: string | undefined;
  /** Sentences about flags that were accepted and do nothing. */
  readonly warnings: readonly string[];
}

/** What of the process a command line depends on. */
export interface BuildSurroundings {
  readonly env: Environment;
  readonly hostPlatform: Platform;
  readonly stdoutIsTerminal: boolean;
  readonly stdin: () => AsyncIterable<Uint8Array>;
  /** Build arguments where the command line has none of that name. */
  readonly proxies?: Readonly<Record<string, string>>;
  /** Default: it is none. */
  readonly stdinIsTerminal?: boolean;
}

const proxyNames = ['http_proxy', 'https_proxy', 'ftp_proxy', 'no_proxy', 'all_proxy'].flatMap((name) => [
  name.toUpperCase(),
  name,
]);

const rungs = ['auto', 'root', 'userns', 'chroot', 'none'] as const;

/** @throws TsbuildError `usage`, `flag-*`, `context-unusable`, `reference-invalid`, `platform-invalid` */
export async function parseBuildArguments(
  argv: readonly string[],
  around: BuildSurroundings,
): Promise<BuildInvocation> {
  return await readBuildFlags(parseFlags(argv, buildFlags), around);
}

/** The same, for arguments that were cut into flags already. */
export async function readBuildFlags(
  flags: ParsedFlags,
  around: BuildSurroundings,
  defaults: Partial<Pick<BuildInvocation, 'onError'>> = {},
): Promise<BuildInvocation> {
  const contextText = onlyContext(flags.positionals);
  const warnings: string[] = [];
  const dockerfile = flags.text('file');
  if (dockerfile === '-' && contextText === '-') {
    throw invalidFlag(
      '--file',
      'standard input cannot be both the context and the Dockerfile',
      'Give one of them a path.',
    );
  }
  const cacheTo = flags.all('cache-to').filter(Boolean).map(parseCacheTo);
  const buildArgs = buildArguments(flags, around);
  const epoch = sourceDateEpoch(buildArgs, around.env);
  if (epoch !== undefined) buildArgs.SOURCE_DATE_EPOCH = String(epoch);
  else if (around.env.SOURCE_DATE_EPOCH === 'context') buildArgs.SOURCE_DATE_EPOCH ??= 'context';
  const attestations = parseAttestations(flags, around.env);
  const request: BuildRequest = {
    context: parseContext(contextText, around.stdin),
    ...(dockerfile !== undefined && { dockerfile }),
    ...(dockerfile === '-' && { dockerfileText: await readText(around.stdin()) }),
    tags: [...new Set(flags.all('tag').map(tagOf))],
    ...optionalText('target', flags.text('target')),
    buildArgs,
    namedContexts: namedContexts(flags),
    labels: assignments('--label', flags.all('label')),
    annotations: flags.all('annotation').flatMap((text) => parseAnnotation(text, around.hostPlatform)),
    platforms: platforms(flags, around.hostPlatform),
    noCache: flags.on('no-cache'),
    noCacheFilter: flags
      .all('no-cache-filter')
      .flatMap((text) => text.split(','))
      .filter(Boolean),
    pull: flags.on('pull'),
    network: networkMode(flags),
    extraHosts: flags
      .all('add-host')
      .flatMap((text) => text.split(','))
      .map((text) => parseExtraHost(text, networkMode(flags))),
    secrets: new Map(
      flags
        .all('secret')
        .map((text) => parseSecret(text, around.env))
        .map(({ id, source }) => [id, source]),
    ),
    ssh: new Map(
      flags
        .all('ssh')
        .map((text) => parseSsh(text, around.env))
        .map(({ id, paths }) => [id, paths]),
    ),
    allow: new Set(
      flags
        .all('allow')
        .flatMap((text) => text.split(','))
        .map(entitlement),
    ),
    limits: parseLimits(flags),
    isolation: isolation(flags, warnings),
    exports: parseOutputs({
      outputs: flags.all('output'),
      push: flags.on('push'),
      load: flags.on('load'),
      stdoutIsTerminal: around.stdoutIsTerminal,
      hostPlatform: around.hostPlatform,
    }),
    cacheMounts: flags.all('cache-mount').map(parseCacheMount),
    cacheFrom: flags.all('cache-from').filter(Boolean).map(parseCacheFrom),
    cacheTo: cacheTo.filter((one) => one !== 'inline'),
    inlineCache: cacheTo.includes('inline'),
    ...(epoch !== undefined && { sourceDateEpoch: epoch }),
    ...(attestations && { attestations }),
    proxyEnv: chosenVariables(around.env, proxyNames),
    gitEnv: chosenVariables(around.env, gitNames),
  };
  checkPush(request);
  checkIndexAnnotations(request);
  if (flags.on('squash')) warnings.push('--squash does nothing: layers stay as the Dockerfile makes them');
  if (flags.given('security-opt')) warnings.push('--security-opt does nothing: see --allow and --isolation');
  const quiet = flags.on('quiet');
  return Object.freeze({
    request: Object.freeze(request),
    call: callOf(flags),
    progress: quiet
      ? 'quiet'
      : oneOf('--progress', flags.text('progress') ?? around.env.BUILDKIT_PROGRESS ?? 'auto', progressKinds),
    quiet,
    onError: onError(flags, around, defaults.onError),
    iidFile: flags.text('iidfile'),
    metadataFile: flags.text('metadata-file'),
    warnings,
  });
}

/**
 * `host:ip`, `host=ip`; IPv6 may stand in brackets. `host-gateway` is this machine, which only steps on its own network
 * can reach.
 * @throws TsbuildError `flag-invalid`
 */
export function parseExtraHost(
  text: string,
  network: BuildRequest['network'],
): { readonly host: string; readonly address: string } {
  const match = /^([^=:\s]+)[=:](.+)$/.exec(text);
  const [, host = '', written = ''] = match ?? [];
  if (written === 'host-gateway') {
    if (network === 'host') return { host, address: '127.0.0.1' };
    throw invalidFlag(
      '--add-host',
      `${text}: steps cannot reach this machine over a network of their own`,
      'Add --network=host, or name an address.',
    );
  }
  const address = written.replace(/^\[(.*)\]$/, '$1');
  if (!match || isIP(address) === 0) {
    throw invalidFlag('--add-host', `${JSON.stringify(text)} is not host:ip`, 'Write e.g. db:10.0.0.5 or db=[::1].');
  }
  return { host, address };
}

function onlyContext(positionals: readonly string[]): string {
  const [context, extra] = positionals;
  if (context === undefined) {
    throw new TsbuildError({
      code: 'usage',
      message: 'the build context is missing',
      hint: 'Name a directory, usually the current one: tsbuild -t app:1 .',
    });
  }
  if (extra !== undefined) {
    throw new TsbuildError({
      code: 'usage',
      message: `a build takes one context, and ${JSON.stringify(extra)} comes after ${JSON.stringify(context)}`,
      hint: 'Put flags with values in one word (--target=x), and quote what has spaces.',
    });
  }
  return context;
}

function tagOf(text: string): string {
  const reference = parseReference(text);
  if (reference.digest !== undefined) {
    throw invalidFlag('--tag', `${text}: a digest cannot be chosen`, 'Leave out the part from @ on.');
  }
  return formatReference(reference);
}

function buildArguments(flags: ParsedFlags, { env, proxies }: BuildSurroundings): Record<string, string> {
  const result: Record<string, string> = { ...proxies };
  for (const text of flags.all('build-arg')) {
    const { name, value } = splitAssignment(text);
    if (name === '') throw invalidFlag('--build-arg', `${JSON.stringify(text)} has no name`, 'Write NAME=VALUE.');
    const actual = value ?? env[name];
    if (actual !== undefined) result[name] = actual;
  }
  return result;
}

function assignments(flag: string, texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const { name, value } = splitAssignment(text);
      if (name === '') throw invalidFlag(flag, `${JSON.stringify(text)} has no name`, 'Write KEY=VALUE.');
      return [name, value ?? ''];
    }),
  );
}

function namedContexts(flags: ParsedFlags): Map<string, NamedContext> {
  const parsed = flags.all('build-context').map(parseNamedContext);
  return new Map(parsed.map(({ name, context }) => [name, context]));
}

function platforms(flags: ParsedFlags, host: Platform): Platform[] {
  const words = flags
    .all('platform')
    .flatMap((text) => text.split(','))
    .filter(Boolean);
  const distinct = new Map(
    words.map((word) => {
      const platform = word === 'local' ? host : parsePlatform(word, host);
      return [JSON.stringify(platform), platform];
    }),
  );
  return [...distinct.values()];
}

export function networkMode(flags: ParsedFlags): BuildRequest['network'] {
  return oneOf('--network', flags.text('network') ?? 'default', ['default', 'none', 'host']);
}

function entitlement(text: string): string {
  return oneOf('--allow', text, ['network.host', 'security.insecure']);
}

function isolation(flags: ParsedFlags, warnings: string[]): BuildRequest['isolation'] {
  const value = flags.text('isolation') ?? '';
  if (!['default', 'process', 'hyperv'].includes(value)) return rungOf(flags);
  warnings.push(`--isolation=${value} does nothing: it is meant for Windows containers`);
  return 'auto';
}

export function rungOf(flags: ParsedFlags): BuildRequest['isolation'] {
  return oneOf('--isolation', flags.text('isolation') || 'auto', rungs);
}

function onError(
  flags: ParsedFlags,
  around: BuildSurroundings,
  otherwise: BuildInvocation['onError'] = 'stop',
): BuildInvocation['onError'] {
  const wanted = oneOf('--on-error', flags.text('on-error') ?? otherwise, ['stop', 'shell']);
  if (wanted === 'shell' && !(around.stdoutIsTerminal && around.stdinIsTerminal)) {
    throw invalidFlag(
      '--on-error=shell',
      'standard input and output are not a terminal, and a shell needs one',
      'Run it in a terminal (with docker run -it, ssh -t, script -c), or leave the flag out.',
    );
  }
  return wanted;
}

function callOf(flags: ParsedFlags): BuildInvocation['call'] {
  const given = flags.text('call');
  if (flags.on('check') && given !== undefined && given !== 'check') {
    throw invalidFlag('--check', `does not go with --call=${given}`, 'Give one of them.');
  }
  const [method = '', ...rest] = parseCsv('--call', given ?? (flags.on('check') ? 'check' : 'build'));
  const methodName = oneOf('--call', method.replace(/^lint$/, 'check'), callMethods);
  let json = false;
  for (const field of rest) {
    const { name, value } = splitAssignment(field);
    oneOf('--call', name, ['format', 'ignorestatus']);
    if (name === 'format') json = oneOf('--call format', value ?? '', ['json', 'text']) === 'json';
  }
  return { method: methodName, json };
}

/** Without a name there is nowhere to push to; better said before the build than after. */
function checkPush(request: BuildRequest): void {
  const nameless = request.exports.some(
    (item) => item.push === true && request.tags.length === 0 && item.names === undefined,
  );
  if (nameless) {
    throw new TsbuildError({
      code: 'usage',
      message: 'there is no name to push to',
      hint: 'Add -t registry/name:tag.',
    });
  }
}

/** Better said before the build than after: what is to be annotated will not be there. */
function checkIndexAnnotations(request: BuildRequest): void {
  const { annotations, exports, platforms, buildArgs, attestations } = request;
  const all = [...annotations, ...exports.flatMap((one) => one.annotations ?? [])];
  const hasIndex = platforms.length > 1 || buildArgs.BUILDKIT_MULTI_PLATFORM || attestations;
  if (hasIndex || !all.some(({ target }) => target === 'index')) return;
  throw invalidFlag(
    '--annotation',
    'an image of one platform has no index to annotate',
    'Leave index: out, or name several platforms with --platform.',
  );
}

function sourceDateEpoch(buildArgs: Readonly<Record<string, string>>, env: Environment): number | undefined {
  const text = buildArgs.SOURCE_DATE_EPOCH ?? env.SOURCE_DATE_EPOCH;
  // The time of the context is known when that is opened.
  if (text === undefined || text === '' || text === 'context') return undefined;
  const seconds = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(seconds <= 253_402_300_799)) {
    throw invalidFlag(
      'SOURCE_DATE_EPOCH',
      `${JSON.stringify(text)} is not a number of seconds since 1970`,
      'Write a number, or context for the time of the build context.',
    );
  }
  return seconds;
}

/** Without HOME and GIT_*: no configuration of the user decides what a repository's content may start. */
const gitNames = ['PATH', 'SSH_AUTH_SOCK'];

function chosenVariables(env: Environment, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const value = env[name];
      return value === undefined || value === '' ? [] : [[name, value] as const];
    }),
  );
}

function optionalText<K extends string>(key: K, value: string | undefined): { [P in K]?: string } {
  return value === undefined || value === '' ? {} : ({ [key]: value } as { [P in K]: string });
}

async function readText(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
