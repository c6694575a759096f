/** The words that are commands, alone, so that the launcher and a misspelt command need nothing else. */

export const commandNames = [
  'build',
  'debug',
  'run',
  'pull',
  'push',
  'copy',
  'ls',
  'catalog',
  'digest',
  'manifest',
  'index',
  'referrers',
  'tree',
  'artifact',
  'delete',
  'login',
  'logout',
  'registry',
  'images',
  'inspect',
  'tag',
  'rmi',
  'history',
  'save',
  'load',
  'df',
  'prune',
  'store',
  'doctor',
  'version',
] as const;

export type CommandName = (typeof commandNames)[number];

/** Other names for commands. */
export const aliases: Readonly<Record<string, CommandName>> = {
  tags: 'ls',
};

export const commandWords: readonly string[] = [...commandNames, ...Object.keys(aliases)];

/** The command a word stands for, if it stands for one. */
export function commandNamed(word: string): CommandName | undefined {
  return Object.hasOwn(aliases, word) ? aliases[word] : commandNames.find((name) => name === word);
}
