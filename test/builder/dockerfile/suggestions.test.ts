/** Whatever is mistyped in a Dockerfile, the message names the word that was meant. */
import { describe, expect, test } from 'vitest';
import { ruleNames } from '../../../src/builder/dockerfile/checks/rules.ts';
import { instructionNames, parseDockerfile } from '../../../src/builder/dockerfile/index.ts';
import { planOf } from '../plan/plan-of.ts';

/** Typing errors of the usual kinds; never a word of the list itself. */
function typos(word: string, known: readonly string[]): string[] {
  const middle = Math.floor(word.length / 2);
  const swapped = `${word.slice(0, middle - 1)}${word[middle] ?? ''}${word[middle - 1] ?? ''}${word.slice(middle + 1)}`;
  const made = [word.slice(0, -1), `${word}x`, swapped, `${word.slice(0, middle)}${word.slice(middle + 1)}`];
  return [...new Set(made)].filter((typo) => !known.includes(typo) && typo !== word);
}

/** Each word with each of its typing errors; one letter says nothing. */
function casesOf(known: readonly string[]): [word: string, typo: string][] {
  return known.flatMap((word) =>
    typos(word, known)
      .filter((typo) => typo.length > 1)
      .map((typo): [string, string] => [word, typo]),
  );
}

/** Words of fewer than four letters are as near to each other as to their typing errors: any of them will do. */
function saysOneOf(said: string, word: string, known: readonly string[], before = ''): void {
  const meant = (word.length < 4 ? known : [word]).map((one) => `did you mean ${before}${one}?`);
  expect(
    meant.filter((text) => said.includes(text)),
    said,
  ).toHaveLength(1);
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
  ...['type', 'from', 'source', 'src', 'target', 'dst', 'destination', 'readonly', 'ro', 'readwrite', 'rw'],
  ...['id', 'sharing', 'required', 'size', 'mode', 'uid', 'gid', 'env'],
];

describe('a key of --mount', () => {
  test.each(casesOf(mountKeys))('%s written %s', (word, typo) => {
    saysOneOf(saidOf(`RUN --mount=type=cache,${typo}=x true`), word, mountKeys);
  });
});

const values: readonly (readonly [string, (value: string) => string, readonly string[]])[] = [
  ['--mount=type', (value) => `RUN --mount=type=${value},target=/x true`, ['bind', 'cache', 'tmpfs', 'secret', 'ssh']],
  ['sharing', (value) => `RUN --mount=type=cache,target=/x,sharing=${value} true`, ['shared', 'private', 'locked']],
  ['--network', (value) => `RUN --network=${value} true`, ['default', 'none', 'host']],
  ['--security', (value) => `RUN --security=${value} true`, ['sandbox', 'insecure']],
  ['--link', (value) => `COPY --link=${value} a b`, ['true', 'false']],
  ['--parents', (value) => `COPY --parents=${value} a b`, ['true', 'false']],
  ['--unpack', (value) => `ADD --unpack=${value} a b`, ['true', 'false']],
  ['--keep-git-dir', (value) => `ADD --keep-git-dir=${value} a b`, ['true', 'false']],
  ['ro', (value) => `RUN --mount=target=/x,ro=${value} true`, ['true', 'false']],
  ['required', (value) => `RUN --mount=type=ssh,required=${value} true`, ['true', 'false']],
  ['HEALTHCHECK', (value) => `HEALTHCHECK ${value} true`, ['CMD', 'NONE']],
];

describe.each(values)('a value of %s', (_, line, known) => {
  test.each(casesOf(known))('%s written %s', (word, typo) => {
    saysOneOf(saidOf(line(typo)), word, known);
  });
});

describe('a directive', () => {
  const saidAbove = (line: string) => parseDockerfile(`${line}\nFROM scratch\n`, 'Dockerfile').diagnostics[0]?.message;
  const directives: readonly (readonly [string, (word: string) => string, readonly string[]])[] = [
    ['syntax', (word) => `# ${word}=docker/dockerfile:1`, ['syntax']],
    ['escape', (word) => `#${word} = \``, ['escape']],
    ['check', (word) => `# ${word}=skip=all`, ['check']],
    ['an option of check', (word) => `# check=${word}=all`, ['skip', 'error', 'experimental']],
    ['error', (word) => `# check=error=${word}`, ['true', 'false']],
    ['a rule', (word) => `# check=skip=StageNameCasing,${word}`, [...ruleNames, 'all']],
    ['an experimental rule', (word) => `# check=experimental=${word}`, ['InvalidDefinitionDescription']],
  ];

  describe.each(directives)('%s', (_, line, known) => {
    test.each(casesOf(known))('%s written %s', (word, typo) => {
      saysOneOf(saidAbove(line(typo)) ?? 'nothing', word, known);
    });
  });

  test.each([
    '# syntaxes=many',
    '# escapee=Steve McQueen',
    '# checks=none',
    '# check=skip=RuleOfTomorrow',
    '# check=skip=all',
    '# check=experimental=all',
    '# syntax',
    '# escape',
  ])('is nothing that only looks like one: %s', (line) => {
    expect(saidAbove(line)).toBeUndefined();
  });
});

describe('what is known when the build is planned', () => {
  test.each([
    ['STOPSIGNAL SIGTREM', 'did you mean SIGTERM?'],
    ['STOPSIGNAL WINCHH', 'did you mean WINCH?'],
    ['EXPOSE 443/tpc', 'did you mean tcp?'],
    ['EXPOSE 443/upd', 'did you mean udp?'],
    ['RUN --mount=type=$NONE,target=/x true', "'' is not a mount type"],
  ])('%s', (line, said) => {
    expect(() => planOf(`FROM scratch\n${line}\n`)).toThrow(said);
  });

  test.each([
    ['FROM --platform=$BUILDPLATFROM scratch', 'BUILDPLATFROM has no value: did you mean BUILDPLATFORM?'],
    ['ARG VERSION=1\nFROM $VERSON', 'VERSON has no value: did you mean VERSION?'],
    ['FROM --platform=linux/amd46 scratch', 'Did you mean linux/amd64?'],
    ['FROM --platform=linx/arm64 scratch', 'Did you mean linux/arm64?'],
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
