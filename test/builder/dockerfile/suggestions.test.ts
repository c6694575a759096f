/** Whatever is mistyped in a Dockerfile, the message names the word that was meant. */
import { describe, expect, test } from 'vitest';
import { instructionNames, parseDockerfile } from '../../../src/builder/dockerfile/index.ts';
import { planOf } from '../plan/plan-of.ts';

/** Typing errors of the usual kinds; never a word of the list itself. */
function typos(word: string, known: readonly string[]): string[] {
  const middle = Math.floor(word.length / 2);
  const swapped = `${word.slice(0, middle - 1)}${word[middle] ?? ''}${word[middle - 1] ?? ''}${word.slice(middle + 1)}`;
  const made = [word.slice(0, -1), `${word}x`, swapped, `${word.slice(0, middle)}${word.slice(middle + 1)}`];
  return [...new Set(made)].filter((typo) => !known.includes(typo) && typo !== word);
}

/** Each word with each of its typing errors. Shorter words are too near to each other for a suggestion. */
function casesOf(known: readonly string[]): [word: string, typo: string][] {
  return known
    .filter((word) => word.length >= 4)
    .flatMap((word) => typos(word, known).map((typo): [string, string] => [word, typo]));
}

/** What is said about a line after FROM. */
function saidOf(line: string): string {
  const [first] = parseDockerfile(`FROM scratch\n${line}\n`, 'Dockerfile').diagnostics;
  return `${first?.message ?? 'nothing'} | ${first?.hint ?? ''}`;
}

describe('an instruction', () => {
  test.each(casesOf(instructionNames))('%s written %s', (word, typo) => {
    expect(saidOf(`${typo} x y`)).toContain(`did you mean ${word}?`);
  });
});

const flags: Readonly<Record<string, readonly string[]>> = {
  RUN: ['mount', 'network', 'security'],
  COPY: ['from', 'chown', 'chmod', 'link', 'parents', 'exclude'],
  ADD: ['chown', 'chmod', 'link', 'exclude', 'checksum', 'keep-git-dir', 'unpack'],
  HEALTHCHECK: ['interval', 'timeout', 'start-period', 'start-interval', 'retries'],
};

describe.each(Object.entries(flags))('a flag of %s', (instruction, known) => {
  test.each(casesOf(known))('--%s written --%s', (word, typo) => {
    expect(saidOf(`${instruction} --${typo}=1 a b`)).toContain(`did you mean --${word}?`);
  });
});

test.each(casesOf(['platform']))('FROM --%s written --%s', (word, typo) => {
  const [first] = parseDockerfile(`FROM --${typo}=linux/amd64 scratch\n`, 'Dockerfile').diagnostics;
  expect(first?.message).toContain(`did you mean --${word}?`);
});

const mountKeys = [
  'type',
  'from',
  'source',
  'target',
  'destination',
  'readonly',
  'readwrite',
  'sharing',
  'required',
  'size',
  'mode',
];

describe('a key of --mount', () => {
  test.each(casesOf(mountKeys))('%s written %s', (word, typo) => {
    expect(saidOf(`RUN --mount=type=cache,${typo}=x true`)).toContain(`did you mean ${word}?`);
  });
});

const values: readonly (readonly [string, (value: string) => string, readonly string[]])[] = [
  ['--mount=type', (value) => `RUN --mount=type=${value},target=/x true`, ['bind', 'cache', 'tmpfs', 'secret']],
  ['sharing', (value) => `RUN --mount=type=cache,target=/x,sharing=${value} true`, ['shared', 'private', 'locked']],
  ['--network', (value) => `RUN --network=${value} true`, ['default', 'none', 'host']],
  ['--security', (value) => `RUN --security=${value} true`, ['sandbox', 'insecure']],
];

describe.each(values)('a value of %s', (_, line, known) => {
  test.each(casesOf(known))('%s written %s', (word, typo) => {
    expect(saidOf(line(typo))).toContain(`did you mean ${word}?`);
  });
});

describe('what is known when the build is planned', () => {
  test.each([
    ['STOPSIGNAL SIGTREM', 'did you mean SIGTERM?'],
    ['STOPSIGNAL WINCHH', 'did you mean WINCH?'],
    ['EXPOSE 443/tpc', 'did you mean tcp?'],
  ])('%s', (line, said) => {
    expect(() => planOf(`FROM scratch\n${line}\n`)).toThrow(said);
  });

  test.each([
    ['FROM --platform=$BUILDPLATFROM scratch', 'BUILDPLATFROM has no value: did you mean BUILDPLATFORM?'],
    ['ARG VERSION=1\nFROM $VERSON', 'VERSON has no value: did you mean VERSION?'],
    ['FROM $NOTHING', 'NOTHING has no value: declare it with ARG NOTHING=… before the first FROM'],
  ])('%s', (text, hint) => {
    expect(() => planOf(text)).toThrow(expect.objectContaining({ hint: expect.stringContaining(hint) }));
  });

  test('the stage that was meant by --target', () => {
    expect(() => planOf('FROM scratch AS release\n', { target: 'relaese' })).toThrow(
      expect.objectContaining({ hint: 'Did you mean --target release?' }),
    );
  });
});
