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
  return known.flatMap((word) => {
    const middle = Math.floor(word.length / 2);
    const swapped = `${word.slice(0, middle - 1)}${word[middle] ?? ''}${word[middle - 1] ?? ''}${word.slice(middle + 1)}`;
    const made = new Set([`${word}x`, word.slice(0, -1), swapped]);
    return [...made]
      .filter((typo) => typo.length > 1 && !known.includes(typo))
      .map((typo): [string, string] => [word, typo]);
  });
}

describe('a flag', () => {
  const names = buildFlags.map(({ name }) => name);
  test.each(casesOf(names))('--%s written --%s', async (word, typo) => {
    const said = await saidOf([`--${typo}=x`]);
    if (word.length >= 4) expect(said).toBe(`there is no flag --${typo} | Did you mean --${word}?`);
    else expect(said).toMatch(new RegExp(`^there is no flag --${typo} \\| Did you mean --(?:${names.join('|')})\\?$`));
  });
});

const schemes = ['docker-image', 'oci-layout', 'docker-archive', 'docker-daemon', 'git', 'ssh'];

const values: readonly (readonly [string, (value: string) => readonly string[], readonly string[]])[] = [
  ['--progress', (value) => ['--progress', value], ['auto', 'plain', 'tty', 'quiet', 'rawjson']],
  ['--network', (value) => ['--network', value], ['default', 'none', 'host']],
  ['--allow', (value) => ['--allow', value], ['network.host', 'security.insecure']],
  ['--isolation', (value) => ['--isolation', value], ['auto', 'root', 'userns', 'chroot', 'none']],
  ['--call', (value) => ['--call', value], ['build', 'check', 'outline', 'targets', 'plan']],
  ['--call format', (value) => ['--call', `check,format=${value}`], ['json', 'text']],
  ['--call key', (value) => ['--call', `check,${value}=json`], ['format']],
  ['--output type', (value) => ['-o', `type=${value},dest=x`], ['local', 'tar', 'oci', 'docker', 'image', 'registry']],
  [
    '--output key',
    (value) => ['-o', `${value}=oci`],
    [
      ...['type', 'dest', 'name', 'push', 'push-by-digest', 'compression', 'compression-level', 'force-compression'],
      ...['oci-mediatypes', 'rewrite-timestamp', 'tar', 'mode', 'unpack', 'store', 'name-canonical', 'platform-split'],
      ...['dangling-name-prefix', 'attestation-inline', 'attestation-prefix'],
    ],
  ],
  ['--output boolean', (value) => ['-o', `type=oci,dest=x,tar=${value}`], ['true', 'false']],
  ['--output mode', (value) => ['-o', `type=local,dest=x,mode=${value}`], ['copy', 'delete']],
  ['--output compression', (value) => ['-o', `type=oci,dest=x,compression=${value}`], ['uncompressed', 'gzip', 'zstd']],
  ['--secret key', (value) => ['--secret', `id=x,${value}=y`], ['id', 'src', 'source', 'env', 'type']],
  ['--secret type', (value) => ['--secret', `id=x,type=${value}`], ['file', 'env']],
  [
    '--annotation',
    (value) => ['--annotation', `${value}:a=b`],
    ['manifest', 'index', 'manifest-descriptor', 'index-descriptor'],
  ],
  [
    '--ulimit',
    (value) => ['--ulimit', `${value}=1`],
    [
      ...['as', 'core', 'cpu', 'data', 'fsize', 'locks', 'memlock', 'msgqueue', 'nice', 'nofile', 'nproc', 'rss'],
      ...['rtprio', 'rttime', 'sigpending', 'stack'],
    ],
  ],
  ['a switch', (value) => [`--pull=${value}`], ['true', 'false']],
  ['--platform', (value) => ['--platform', `linux/${value}`], ['amd64', 'arm', '386', 'riscv64', 's390x']],
  ['--platform os', (value) => ['--platform', `${value}/amd64`], ['linux', 'windows', 'freebsd']],
  ['--platform alone', (value) => ['--platform', value], ['linux', 'amd64']],
  ['--build-context', (value) => ['--build-context', `x=${value}://y`], schemes],
  [
    '--cache-from type',
    (value) => ['--cache-from', `type=${value}`],
    ['registry', 'local', 'inline', 'gha', 's3', 'azblob'],
  ],
  [
    '--cache-to type',
    (value) => ['--cache-to', `type=${value}`],
    ['registry', 'local', 'inline', 'gha', 's3', 'azblob'],
  ],
  [
    '--cache-to key',
    (value) => ['--cache-to', `type=registry,${value}=x`],
    ['ref', 'mode', 'ignore-error', 'oci-mediatypes'],
  ],
  ['--cache-to first key', (value) => ['--cache-to', `${value}=registry`], ['type']],
  ['--cache-from key', (value) => ['--cache-from', `type=local,${value}=x`], ['src', 'tag']],
  ['--cache-to mode', (value) => ['--cache-to', `type=inline,mode=${value}`], ['min', 'max']],
  [
    '--cache-mount key',
    (value) => ['--cache-mount', `id=x,${value}=x`],
    ['type', 'src', 'source', 'dest', 'path', 'ref', 'ignore-error'],
  ],
  ['--cache-mount type', (value) => ['--cache-mount', `id=x,type=${value}`], ['dir', 'registry']],
  ['--attest type', (value) => ['--attest', `type=${value}`], ['provenance', 'sbom']],
  ['--attest key', (value) => ['--attest', `${value}=provenance`], ['type']],
  ['--provenance', (value) => ['--provenance', value], ['true', 'false']],
  [
    '--provenance key',
    (value) => ['--provenance', `${value}=1`],
    ['mode', 'version', 'builder-id', 'reproducible', 'disabled'],
  ],
  ['--provenance mode', (value) => ['--provenance', `mode=${value}`], ['min', 'max']],
  ['--sbom', (value) => ['--sbom', value], ['true', 'false']],
];

describe.each(values)('a word of %s', (_, words, known) => {
  test.each(casesOf(known))('%s written %s', async (word, typo) => {
    // Words of fewer than four letters are as near to each other as to their typing errors: any of them will do.
    const meant = (word.length < 4 ? known : [word]).map((one) => one.replace('.', '\\.'));
    expect(await saidOf(words(typo))).toMatch(new RegExp(`Did you mean [^?]*\\b(?:${meant.join('|')})\\b[^?]*\\?`));
  });
});
