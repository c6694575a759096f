/** The build checks: pages, silence on demand, and what they know of the build. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  checkBaseImagePlatform,
  checkCopyIgnored,
  checkDockerfile,
  parseDockerfile,
  type RuleName,
  ruleNames,
  rulePage,
  type StageCheckOptions,
} from '../../../src/builder/dockerfile/index.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

function rulesOf(text: string, options?: Partial<StageCheckOptions>): string[] {
  return checkDockerfile(parseDockerfile(text, 'Dockerfile'), options).map(({ code }) => code);
}

/** Rules whose finding depends on more than the text. */
const needFacts: ReadonlySet<RuleName> = new Set<RuleName>(['InvalidBaseImagePlatform', 'CopyIgnoredFile']);

function examplesOf(rule: RuleName): { bad: string; good: string } {
  const page = readFileSync(`${root}/${rulePage(rule)}`, 'utf8');
  const block = (title: string) => new RegExp(`## ${title}\n\n\`\`\`dockerfile\n([^]*?)\`\`\``).exec(page)?.[1] ?? '';
  return { bad: block('Bad'), good: block('Good') };
}

describe('each rule', () => {
  test('is one of 22, and no page is left over', () => {
    expect(new Set(ruleNames).size).toBe(22);
    expect(readdirSync(`${root}/docs/checks`).toSorted()).toEqual(ruleNames.map((rule) => `${rule}.md`).toSorted());
  });

  test.for(ruleNames)('has a page with its name: %s', (rule) => {
    expect(existsSync(`${root}/${rulePage(rule)}`)).toBe(true);
    expect(readFileSync(`${root}/${rulePage(rule)}`, 'utf8').startsWith(`# ${rule}\n`)).toBe(true);
  });

  test.for(ruleNames)("warns of its page's bad example and not of the good one: %s", (rule) => {
    const { bad, good } = examplesOf(rule);
    expect(parseDockerfile(bad, 'Dockerfile').diagnostics).toEqual([]);
    expect(parseDockerfile(good, 'Dockerfile').diagnostics).toEqual([]);
    expect(rulesOf(good)).toEqual([]);
    if (!needFacts.has(rule)) expect(rulesOf(bad)).toContain(rule);
  });

  test.for(ruleNames.filter((rule) => !needFacts.has(rule) && rule !== 'InvalidDefinitionDescription'))(
    'is silent when the file skips it: %s',
    (rule) => {
      const { bad } = examplesOf(rule);
      expect(rulesOf(`# check=skip=${rule}\n${bad}`)).not.toContain(rule);
      expect(rulesOf(`# check=skip=all\n${bad}`)).toEqual([]);
    },
  );
});

describe('the check directive', () => {
  test('skips several rules', () => {
    expect(rulesOf('# check=skip=StageNameCasing,MaintainerDeprecated\nFROM a AS B\nMAINTAINER x\n')).toEqual([]);
  });

  test('above an instruction counts for that instruction alone', () => {
    expect(rulesOf('FROM a\n# check=skip=LegacyKeyValueFormat\nENV a b\nENV c d\n')).toEqual(['LegacyKeyValueFormat']);
  });

  test('is handed on with its error flag', () => {
    const { directives } = parseDockerfile('# check=error=true;skip=all\nFROM a\n', 'Dockerfile');
    expect(directives.check).toEqual({ skip: [], skipAll: true, error: true, experimental: [] });
  });
});

describe('what is known of the build', () => {
  test('stages that are not built are not followed, and still must be well written', () => {
    const text = 'FROM a AS One\nENV X=$NONE\nFROM b\nENV Y=$NADA\n';
    expect(rulesOf(text, { built: new Set([1]) })).toEqual(['StageNameCasing', 'UndefinedVar']);
    expect(rulesOf(text)).toEqual(['StageNameCasing', 'UndefinedVar', 'UndefinedVar']);
  });

  test("a base image's variables are set, and so is its shell", () => {
    const text = 'FROM a\nENV X=$GOPATH\nCMD run\n';
    expect(rulesOf(text)).toEqual(['UndefinedVar', 'JSONArgsRecommended']);
    expect(rulesOf(text, { base: () => ({ env: ['GOPATH=/go'], hasShell: true }) })).toEqual([]);
  });

  test('build arguments give values', () => {
    const text = 'ARG DIR\nFROM a\nARG DIR\nWORKDIR $DIR\n';
    expect(rulesOf(text)).toEqual(['WorkdirRelativePath']);
    expect(rulesOf(text, { buildArgs: { DIR: '/x' } })).toEqual([]);
  });

  test('the platform of a base image is compared with what was asked for', () => {
    const parsed = parseDockerfile('FROM alpine\n', 'Dockerfile');
    const from = parsed.stages[0]?.from;
    if (!from) throw new Error('no FROM');
    const amd64 = { os: 'linux', architecture: 'amd64' };
    expect(checkBaseImagePlatform(parsed, from, amd64, amd64)).toEqual([]);
    const [warning] = checkBaseImagePlatform(parsed, from, { os: 'linux', architecture: 'arm', variant: 'v6' }, amd64);
    expect(warning?.message).toBe('alpine is for linux/amd64, and the build is for linux/arm/v6');
    const skipped = parseDockerfile('# check=skip=InvalidBaseImagePlatform\nFROM alpine\n', 'Dockerfile');
    expect(checkBaseImagePlatform(skipped, from, amd64, { os: 'linux', architecture: 's390x' })).toEqual([]);
  });

  test('an ignored source is named', () => {
    const parsed = parseDockerfile('FROM alpine\nCOPY a.log b.log /\n', 'Dockerfile');
    const copy = parsed.stages[0]?.instructions[0];
    const source = copy?.kind === 'copy' ? copy.sources[1] : undefined;
    if (copy?.kind !== 'copy' || source?.kind !== 'path') throw new Error('no COPY');
    expect(checkCopyIgnored(parsed, copy, source.word, 'b.log')).toEqual([
      {
        severity: 'warning',
        code: 'CopyIgnoredFile',
        message: "the ignore file leaves 'b.log' out of the context",
        hint: 'Remove its line from the ignore file, or do not copy it.',
        range: { start: { line: 2, column: 12 }, end: { line: 2, column: 17 } },
      },
    ]);
  });
});
