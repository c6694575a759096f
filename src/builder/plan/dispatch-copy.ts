/** COPY and ADD: sources, destination and flags with their variables put in. What they select is decided when it runs. */

import { redactText } from '../../core/index.ts';
import { type CopyInstruction, type CopySource, expandWord, type Heredoc, type Word } from '../dockerfile/index.ts';
import { locate } from './failure.ts';
import type { StageState } from './stage-state.ts';
import { expansionMistake } from './variables.ts';

export function dispatchCopy(state: StageState, instruction: CopyInstruction): void {
  const { expand } = state;
  const optional = (word: Word | undefined) => (word ? expand(word) : undefined);
  const add = instruction.kind === 'add';
  const words = instruction.sources.flatMap((source) => (source.kind === 'path' ? [source.word] : []));
  const patterns = words.map((word) => ({ text: expand(word), location: locate(state.setting.parsed, word.range) }));
  if (!add) refuseAddresses(state, patterns, words);
  const heredocs = instruction.sources.flatMap((source: CopySource) =>
    source.kind === 'heredoc' ? [source.heredoc] : [],
  );
  const files = heredocs.map((heredoc) => ({ name: heredoc.name, text: heredocText(state, heredoc) }));
  const destination = expand(instruction.destination);
  const chown = optional(instruction.chown);
  const chmod = optional(instruction.chmod);
  const checksum = optional(instruction.checksum);
  if (checksum) checkChecksum(state, instruction, patterns);

  const flags = [
    ...(instruction.parents ? ['--parents'] : []),
    ...(chown ? [`--chown=${chown}`] : []),
    ...(chmod ? [`--chmod=${chmod}`] : []),
  ];
  const names = [...patterns.map(({ text }) => text), ...files.map(({ name }) => `<<${name}`)];
  state.addStep(
    instruction,
    {
      kind: 'copy',
      add,
      source: instruction.from ? state.setting.source(instruction.from.raw, instruction) : { kind: 'context' },
      patterns,
      files,
      destination,
      workdir: state.workdir,
      // As in BuildKit: with --chmod, what lies beneath is looked at after all.
      link: instruction.link && !chmod,
      parents: instruction.parents,
      excludes: instruction.excludes.map(expand),
      ...(chown && { chown }),
      ...(chmod && { chmod }),
      ...(checksum && { checksum }),
      ...(instruction.keepGitDir !== undefined && { keepGitDir: instruction.keepGitDir }),
      ...(instruction.unpack !== undefined && { unpack: instruction.unpack }),
    },
    [add ? 'ADD' : 'COPY', ...flags, ...names, destination, '# buildkit'].join(' '),
  );
}

/** Only ADD fetches. */
function refuseAddresses(state: StageState, patterns: readonly { text: string }[], words: readonly Word[]): void {
  for (const [index, { text }] of patterns.entries()) {
    const word = words[index];
    if (!word || !isAddress(text)) continue;
    throw state.fail(word.range, {
      code: 'plan-value-invalid',
      message: `COPY cannot fetch ${redactText(text)}`,
      hint: 'Use ADD for addresses.',
    });
  }
}

/** A file of the context needs none: its content is its identity. */
function checkChecksum(state: StageState, on: CopyInstruction, patterns: readonly { text: string }[]): void {
  const [first, ...more] = patterns;
  if (first && more.length === 0 && isAddress(first.text)) return;
  throw state.fail(on.checksum?.range ?? on.range, {
    code: 'plan-value-invalid',
    message: `--checksum is for one address, and ${first && more.length === 0 ? `${first.text} is none` : `ADD has ${patterns.length} sources`}`,
    hint: more.length > 0 ? 'Write an ADD for each source.' : 'Leave --checksum out.',
  });
}

function isAddress(text: string): boolean {
  return /^(?:https?|git|ssh):\/\/|^[\w-]+@[\w.-]+:/.test(text);
}

function heredocText(state: StageState, heredoc: Heredoc): string {
  if (!heredoc.expand) return heredoc.content;
  // The body's escape character is always the backslash, whatever the directive says (as in BuildKit).
  const result = expandWord(heredoc.content, { escape: '\\', lookup: state.lookup, ignoreQuotes: true });
  if (result.error) throw state.fail(heredoc.range, expansionMistake(result.error));
  return result.text;
}
