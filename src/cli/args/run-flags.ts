/** The flags of `tsbuild run`: names and meanings of `docker run`, where it has them. */
import { readFileSync } from 'node:fs';
import { posix, resolve } from 'node:path';
import type { RunRequest, Volume } from '../../builder/index.ts';
import { buildFlags } from './build-flags.ts';
import { networkMode, parseExtraHost, rungOf } from './build-request.ts';
import { splitAssignment } from './csv.ts';
import { type Flag, invalidFlag, oneOf, type ParsedFlags } from './flag.ts';
import { parseLimits } from './limits.ts';
import { progressFlag } from './progress-flag.ts';
import type { Environment } from './secrets.ts';

const command = 'What to run';
const streams = 'Streams';
const image = 'The image';

/** Those of a build that mean the same here. */
const shared = buildFlags.filter(({ name, group }) => group === 'How RUN steps run' && name !== 'on-error');

export const runFlags: readonly Flag[] = [
  { name: 'interactive', short: 'i', group: streams, help: 'the command reads our standard input' },
  { name: 'tty', short: 't', group: streams, help: 'the command has a terminal' },

  { name: 'env', short: 'e', value: 'NAME[=VALUE]', many: true, group: command, help: 'set a variable' },
  { name: 'env-file', value: 'FILE', many: true, group: command, help: 'set the variables of a file' },
  { name: 'workdir', short: 'w', value: 'DIR', group: command, help: 'directory to run in' },
  { name: 'user', short: 'u', value: 'USER[:GROUP]', group: command, help: 'user to run as' },
  { name: 'entrypoint', value: 'PROGRAM', group: command, help: 'in place of the ENTRYPOINT of the image' },
  { name: 'hostname', value: 'NAME', group: command, help: 'host name (default: tsbuild)' },
  {
    name: 'volume',
    short: 'v',
    value: 'PATH:TARGET[:ro]',
    many: true,
    group: command,
    help: 'a file or directory of this machine',
  },
  { name: 'tmpfs', value: 'TARGET', many: true, group: command, help: 'an empty directory in memory' },

  { name: 'platform', value: 'OS/ARCH', group: image, help: 'the image for this platform' },
  { name: 'pull', value: 'WHEN', group: image, help: 'missing (default), always or never' },
  { name: 'quiet', short: 'q', group: image, help: 'no progress of a pull' },
  { ...progressFlag, group: image },

  ...shared,

  { name: 'rm' },
  { name: 'init' },
];

/**
 * @param proxies variables that ours come over
 * @throws TsbuildError `flag-invalid`
 */
export function readRunFlags(
  flags: ParsedFlags,
  env: Environment,
  proxies: Readonly<Record<string, string>> = {},
): RunRequest {
  const [, ...words] = flags.positionals;
  const entrypoint = flags.text('entrypoint');
  const network = networkMode(flags);
  return {
    command: words,
    ...(entrypoint !== undefined && { entrypoint: entrypoint === '' ? [] : [entrypoint] }),
    env: [
      ...Object.entries(proxies).map(([name, value]) => `${name}=${value}`),
      ...(flags.on('tty') ? [`TERM=${env.TERM || 'xterm'}`] : []),
      ...flags.all('env-file').flatMap((file) => variablesOf(file, env)),
      ...flags.all('env').flatMap((text) => variable('--env', text, env)),
    ],
    ...(flags.given('workdir') && { cwd: absolute('--workdir', flags.text('workdir') ?? '') }),
    ...(flags.given('user') && { user: flags.text('user') ?? '' }),
    hostname: flags.text('hostname') ?? 'tsbuild',
    network,
    extraHosts: flags.all('add-host').map((text) => parseExtraHost(text, network)),
    volumes: flags.all('volume').map(parseVolume),
    tmpfs: flags.all('tmpfs').map((target) => absolute('--tmpfs', target)),
    limits: parseLimits(flags),
    isolation: rungOf(flags),
  };
}

/** `PATH:TARGET[:ro|:rw]`. A word without a slash is a named volume in docker, which tsbuild does not have. */
export function parseVolume(text: string): Volume {
  const [source = '', target = '', mode = 'rw', ...rest] = text.split(':');
  if (source === '' || target === '' || rest.length > 0) {
    throw invalidFlag('--volume', `${JSON.stringify(text)} is not path:target[:ro]`, 'Write e.g. ./data:/data:ro.');
  }
  if (!/^\.{0,2}\/|^\.{1,2}$/.test(source)) {
    throw invalidFlag(
      '--volume',
      `${JSON.stringify(source)} would be a named volume, and there are none here`,
      `For a directory write ./${source} or an absolute path.`,
    );
  }
  return {
    source: resolve(source),
    target: absolute('--volume', target),
    readOnly: oneOf('--volume', mode, ['ro', 'rw']) === 'ro',
  };
}

function absolute(flag: string, path: string): string {
  if (path.startsWith('/')) return posix.normalize(path);
  throw invalidFlag(flag, `${JSON.stringify(path)} is not an absolute path in the image`, 'Begin it with a slash.');
}

/** Without a value the environment's, and nothing when that has none. */
function variable(flag: string, text: string, env: Environment): readonly string[] {
  const { name, value } = splitAssignment(text);
  if (name === '') throw invalidFlag(flag, `${JSON.stringify(text)} has no name`, 'Write NAME=VALUE.');
  const actual = value ?? env[name];
  return actual === undefined ? [] : [`${name}=${actual}`];
}

/** A variable a line; lines that begin with `#` and empty ones say nothing. */
function variablesOf(file: string, env: Environment): readonly string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    throw invalidFlag('--env-file', `${file} cannot be read`, 'Check the path.');
  }
  const lines = text.split(/\r?\n/).map((line) => line.trimStart());
  return lines.filter((line) => line !== '' && !line.startsWith('#')).flatMap((line) => variable(file, line, env));
}
