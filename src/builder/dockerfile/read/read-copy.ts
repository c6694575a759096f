/** COPY and ADD. */
import type { CopyInstruction, CopySource, Heredoc, Word } from '../types.ts';
import { commonOf } from './common.ts';
import { type FlagKind, type FlagValue, readFlags } from './flags.ts';
import { readHeredocWord } from './heredoc.ts';
import { argumentsRange, type InstructionLine, wordOf } from './line.ts';
import { jsonWords } from './read-words.ts';
import { splitBlank } from './words.ts';

const shared: Readonly<Record<string, FlagKind>> = {
  chown: 'string',
  chmod: 'string',
  link: 'boolean',
  exclude: 'strings',
};
const copyFlags: Readonly<Record<string, FlagKind>> = { from: 'string', parents: 'boolean', ...shared };
const addFlags: Readonly<Record<string, FlagKind>> = {
  checksum: 'string',
  'keep-git-dir': 'boolean',
  unpack: 'boolean',
  ...shared,
};

export function readCopy(on: InstructionLine, heredocs: readonly Heredoc[]): CopyInstruction | undefined {
  const kind = on.name === 'ADD' ? 'add' : 'copy';
  const words = jsonWords(on) ?? splitBlank(on.line.text, on.from, on.to).map((piece) => wordOf(on, piece));
  const flags = readFlags(on.name, on.flags, kind === 'add' ? addFlags : copyFlags, on.range, on.report);
  const destination = words.at(-1);
  if (destination === undefined || words.length < 2) {
    on.report.error(
      'dockerfile-arguments',
      argumentsRange(on),
      destination === undefined
        ? `${on.name} has no source and no destination`
        : `${on.name} has only one argument: the destination is missing`,
      `Write ${on.name} ${destination?.raw ?? '<source>'} <destination>.`,
    );
    return undefined;
  }
  const sources = readSources(on, words.slice(0, -1), destination, heredocs);
  if (sources === undefined) return undefined;
  const word = (name: string) => flagWord(flags.one(name));
  const keepGitDir = flags.truth('keep-git-dir');
  const unpack = flags.truth('unpack');
  return {
    kind,
    ...commonOf(on),
    sources,
    destination,
    ...optional('from', word('from')),
    ...optional('chown', word('chown')),
    ...optional('chmod', word('chmod')),
    link: flags.truth('link') ?? false,
    parents: flags.truth('parents') ?? false,
    excludes: flags.all('exclude').map(({ value, range }) => ({ raw: value, range })),
    ...optional('checksum', word('checksum')),
    ...(keepGitDir !== undefined && { keepGitDir }),
    ...(unpack !== undefined && { unpack }),
  };
}

function readSources(
  on: InstructionLine,
  words: readonly Word[],
  destination: Word,
  heredocs: readonly Heredoc[],
): CopySource[] | undefined {
  if (on.json.kind === 'array') return words.map((word) => ({ kind: 'path', word }));
  if (readHeredocWord(destination.raw).kind === 'heredoc') {
    on.report.error(
      'dockerfile-heredoc',
      destination.range,
      `a heredoc cannot be the destination of ${on.name}`,
      `Write ${on.name} ${destination.raw} <destination>.`,
    );
    return undefined;
  }
  const sources: CopySource[] = [];
  let taken = 0;
  for (const word of words) {
    const heredoc = readHeredocWord(word.raw).kind === 'heredoc' ? heredocs[taken] : undefined;
    if (heredoc !== undefined) taken += 1;
    sources.push(heredoc === undefined ? { kind: 'path', word } : { kind: 'heredoc', heredoc });
  }
  const missed = heredocs[taken];
  if (missed !== undefined) {
    on.report.error(
      'dockerfile-heredoc',
      missed.range,
      `the heredoc '${missed.name}' of ${on.name} is written with spaces`,
      `Write its name without spaces directly after <<.`,
    );
    return undefined;
  }
  return sources;
}

/** An empty value is as good as no flag, as in BuildKit. */
function flagWord(flag: FlagValue | undefined): Word | undefined {
  return flag && flag.value !== '' ? { raw: flag.value, range: flag.range } : undefined;
}

function optional<Key extends string>(key: Key, word: Word | undefined): { readonly [K in Key]?: Word } {
  return (word === undefined ? {} : { [key]: word }) as { readonly [K in Key]?: Word };
}
