/** The text of `--help`, drawn from the tables of commands and flags. */
import type { Flag } from './args/flag.ts';
import type { Command } from './command.ts';
import { commandNames } from './command-names.ts';
import { commands } from './command-table.ts';

/** `tsbuild --help`. */
export function renderOverview(): string {
  const lines = [
    'tsbuild turns a Dockerfile into an OCI image: no daemon, no root needed.',
    '',
    'Usage: tsbuild [build] [OPTIONS] PATH | URL | -',
    '       tsbuild COMMAND [OPTIONS] ...',
    '',
    '  tsbuild -t app:1 .               build the Dockerfile in this directory',
    '  tsbuild -t host/app:1 --push .   build, and push the result',
  ];
  const width = Math.max(...commandNames.map((name) => name.length));
  for (const group of new Set(Object.values(commands).map((entry) => entry.group))) {
    lines.push('', `${group}:`);
    for (const name of commandNames) {
      const entry = commands[name];
      if (entry.group === group) lines.push(`  ${name.padEnd(width)}  ${entry.summary}`);
    }
  }
  lines.push('', 'tsbuild COMMAND --help explains one command.', '');
  return lines.join('\n');
}

/** `tsbuild COMMAND --help`. @param columns width to wrap at */
export function renderCommandHelp(command: Command, columns: number): string {
  const width = Math.min(Math.max(columns, 60), 110);
  const lines = [`Usage: tsbuild ${command.usage}`, '', ...wrap(command.about, width)];
  if (command.examples) {
    const longest = Math.max(...command.examples.map(([line]) => line.length));
    lines.push('', 'Examples:');
    for (const [line, what] of command.examples) {
      if (longest + what.length + 6 <= width) lines.push(`  ${line.padEnd(longest)}   ${what}`);
      else lines.push(`  ${line}`, ...wrap(what, width - 6).map((part) => `      ${part}`));
    }
  }
  const shown = command.flags.filter((flag) => flag.help !== undefined);
  const column = Math.min(32, Math.max(0, ...shown.map((flag) => signatureOf(flag).length)) + 2);
  for (const group of new Set(shown.map((flag) => flag.group ?? 'Options'))) {
    lines.push('', `${group}:`);
    const flags = shown.filter((flag) => (flag.group ?? 'Options') === group);
    for (const flag of flags) lines.push(...flagLines(flag, column, width));
  }
  return `${lines.join('\n')}\n`;
}

function flagLines(flag: Flag, column: number, width: number): string[] {
  const signature = signatureOf(flag);
  const [first = '', ...rest] = wrap(flag.help ?? '', Math.max(20, width - column - 2));
  const margin = ' '.repeat(column);
  if (signature.length + 2 > column) return [signature, ...[first, ...rest].map((line) => `${margin}${line}`)];
  return [`${signature.padEnd(column)}${first}`, ...rest.map((line) => `${margin}${line}`)];
}

function signatureOf(flag: Flag): string {
  const short = flag.short === undefined ? '    ' : `-${flag.short}, `;
  return `  ${short}--${flag.name}${flag.value === undefined ? '' : ` ${flag.value}`}`;
}

function wrap(text: string, width: number): string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines = [''];
    for (const word of paragraph.split(' ')) {
      const last = lines.at(-1) ?? '';
      if (last !== '' && last.length + 1 + word.length > width) lines.push(word);
      else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
    }
    return lines;
  });
}
