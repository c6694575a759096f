/** All commands: names and summaries here, everything else behind a dynamic import. */
import type { Command } from './command.ts';

export interface CommandEntry {
  readonly summary: string;
  readonly group: 'Build' | 'Registry' | 'Local images' | 'Machine';
  readonly load: () => Promise<Command>;
}

export const commands: Readonly<Record<string, CommandEntry>> = {
  build: {
    summary: 'build an image from a Dockerfile (the default command)',
    group: 'Build',
    load: async () => (await import('./commands/build.ts')).build,
  },
  pull: {
    summary: 'fetch an image from a registry',
    group: 'Registry',
    load: async () => (await import('./commands/pull.ts')).pull,
  },
  push: {
    summary: 'push an image to its registry',
    group: 'Registry',
    load: async () => (await import('./commands/push.ts')).push,
  },
  login: {
    summary: 'keep credentials for a registry',
    group: 'Registry',
    load: async () => (await import('./commands/login.ts')).login,
  },
  logout: {
    summary: 'forget them',
    group: 'Registry',
    load: async () => (await import('./commands/logout.ts')).logout,
  },
  images: {
    summary: 'list the images of the local store',
    group: 'Local images',
    load: async () => (await import('./commands/images.ts')).images,
  },
  inspect: {
    summary: 'print everything about an image',
    group: 'Local images',
    load: async () => (await import('./commands/inspect.ts')).inspect,
  },
  tag: {
    summary: 'give an image one more name',
    group: 'Local images',
    load: async () => (await import('./commands/tag.ts')).tag,
  },
  rmi: {
    summary: 'take names off images',
    group: 'Local images',
    load: async () => (await import('./commands/rmi.ts')).rmi,
  },
  save: {
    summary: 'write images to an archive',
    group: 'Local images',
    load: async () => (await import('./commands/save.ts')).save,
  },
  load: {
    summary: 'read images from an archive',
    group: 'Local images',
    load: async () => (await import('./commands/load.ts')).load,
  },
  version: {
    summary: 'print the version',
    group: 'Machine',
    load: async () => (await import('./commands/version.ts')).version,
  },
};

/** Other names for commands. */
export const aliases: Readonly<Record<string, string>> = {
  tags: 'ls',
};
