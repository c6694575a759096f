/** Whatever is mistyped on the command line of a build, the message names the word that was meant. */
import { describe, expect, test } from 'vitest';
import { buildFlags } from '../../src/cli/args/build-flags.ts';
import { parseBuildArguments } from '../../src/cli/args/build-request.ts';
import { isTsbuildError } from '../../src/core/index.ts';

const surroundings = {
  env: {},
  hostPlatform: { os: 'linux', architecture: 'amd64' },
  stdoutIsTerminal: false,
  stdin: async function* () {},
};

async function saidOf(words: readonly string[]): Promise<string> {
  try {
    await parseBuildArguments([...words, '.'], surroundings);
    return 'nothing';
  } catch (error) {
    if (!isTsbuildError(error)) throw error;
    return `${error.message} | ${error.hint ?? ''}`;
  }
}

/** A letter too many, one too few, two swapped; never a word of the list. */
function casesOf(known: readonly string[]): [word: string, typo: string][] {
  return known
    .filter((word) => word.length >= 4)
    .flatMap((word) => {
      const middle = Math.floor(word.length / 2);
      const swapped = `${word.slice(0, middle - 1)}${word[middle] ?? ''}${word[middle - 1] ?? ''}${word.slice(middle + 1)}`;
      const made = new Set([`${word}x`, word.slice(0, -1), swapped]);
      return [...made].filter((typo) => !known.includes(typo)).map((typo): [string, string] => [word, typo]);
    });
}

describe('a flag', () => {
  const names = buildFlags.map(({ name }) => name);
  test.each(casesOf(names))('--%s written --%s', async (word, typo) => {
    expect(await saidOf([`--${typo}=x`])).toBe(`there is no flag --${typo} | Did you mean --${word}?`);
  });
});

const values: readonly (readonly [string, (value: string) => readonly string[], readonly string[]])[] = [
  ['--progress', (value) => ['--progress', value], ['auto', 'plain', 'quiet', 'rawjson']],
  ['--network', (value) => ['--network', value], ['default', 'none', 'host']],
  ['--allow', (value) => ['--allow', value], ['network.host', 'security.insecure']],
  ['--isolation', (value) => ['--isolation', value], ['auto', 'root', 'userns', 'chroot', 'none']],
  ['--call', (value) => ['--call', value], ['build', 'check', 'outline', 'targets', 'plan']],
  ['--call format', (value) => ['--call', `check,format=${value}`], ['json', 'text']],
  ['--call key', (value) => ['--call', `check,${value}=json`], ['format']],
  ['--output type', (value) => ['-o', `type=${value},dest=x`], ['local', 'docker', 'image', 'registry']],
  [
    '--output key',
    (value) => ['-o', `type=oci,${value}=true`],
    [
      'dest',
      'name',
      'push',
      'push-by-digest',
      'compression',
      'force-compression',
      'oci-mediatypes',
      'rewrite-timestamp',
    ],
  ],
  ['--output compression', (value) => ['-o', `type=oci,dest=x,compression=${value}`], ['uncompressed', 'gzip', 'zstd']],
  ['--secret key', (value) => ['--secret', `id=x,${value}=y`], ['source', 'type']],
  ['--secret type', (value) => ['--secret', `id=x,type=${value}`], ['file']],
  ['--annotation', (value) => ['--annotation', `${value}:a=b`], ['manifest', 'index', 'index-descriptor']],
  ['--ulimit', (value) => ['--ulimit', `${value}=1`], ['nofile', 'nproc', 'memlock', 'core']],
];

describe.each(values)('a word of %s', (_, words, known) => {
  test.each(casesOf(known))('%s written %s', async (word, typo) => {
    expect(await saidOf(words(typo))).toMatch(new RegExp(`Did you mean ${word.replace('.', '\\.')}\\?`));
  });
});
