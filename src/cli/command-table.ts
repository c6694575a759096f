/** All commands: names and summaries here, everything else behind a dynamic import. */
import type { Command } from './command.ts';
import type { CommandName } from './command-names.ts';

export interface CommandEntry {
  readonly summary: string;
  readonly group: 'Build' | 'Registry' | 'Local images' | 'Machine';
  readonly load: () => Promise<Command>;
}

export const commands: Readonly<Record<CommandName, CommandEntry>> = {
  build: {
    summary: 'build an image from a Dockerfile (the default command)',
    group: 'Build',
    load: async () => (await import('./commands/build.ts')).build,
  },
  debug: {
    summary: 'build, and open a shell where a RUN fails or the target ends',
    group: 'Build',
    load: async () => (await import('./commands/debug.ts')).debug,
  },
  run: {
    summary: 'run a command in an image, in the sandbox of RUN',
    group: 'Build',
    load: async () => (await import('./commands/run.ts')).run,
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
  copy: {
    summary: 'copy an image between registries, the store and files',
    group: 'Registry',
    load: async () => (await import('./commands/copy.ts')).copy,
  },
  ls: {
    summary: 'list the tags of a repository',
    group: 'Registry',
    load: async () => (await import('./commands/ls.ts')).ls,
  },
  catalog: {
    summary: 'list the repositories of a registry',
    group: 'Registry',
    load: async () => (await import('./commands/catalog.ts')).catalog,
  },
  digest: {
    summary: 'print the digest of a name',
    group: 'Registry',
    load: async () => (await import('./commands/digest.ts')).digest,
  },
  manifest: {
    summary: 'print a manifest as it is',
    group: 'Registry',
    load: async () => (await import('./commands/manifest.ts')).manifest,
  },
  index: {
    summary: 'join images of several platforms under one name',
    group: 'Registry',
    load: async () => (await import('./commands/index-command.ts')).indexCommand,
  },
  referrers: {
    summary: 'list what refers to an image',
    group: 'Registry',
    load: async () => (await import('./commands/referrers.ts')).referrers,
  },
  tree: {
    summary: 'show what a name stands for, with platforms and sizes',
    group: 'Registry',
    load: async () => (await import('./commands/tree.ts')).tree,
  },
  artifact: {
    summary: 'push, pull, attach and list files that are no images',
    group: 'Registry',
    load: async () => (await import('./commands/artifact.ts')).artifact,
  },
  delete: {
    summary: 'delete an image from its registry',
    group: 'Registry',
    load: async () => (await import('./commands/delete.ts')).deleteCommand,
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
  registry: {
    summary: 'be a registry: tsbuild registry serve',
    group: 'Registry',
    load: async () => (await import('./commands/registry.ts')).registry,
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
  history: {
    summary: 'show how an image was made',
    group: 'Local images',
    load: async () => (await import('./commands/history.ts')).history,
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
  df: {
    summary: 'show how much room the store takes',
    group: 'Machine',
    load: async () => (await import('./commands/df.ts')).df,
  },
  prune: {
    summary: 'free what nothing needs',
    group: 'Machine',
    load: async () => (await import('./commands/prune.ts')).prune,
  },
  store: {
    summary: 'check the store: tsbuild store check',
    group: 'Machine',
    load: async () => (await import('./commands/store.ts')).store,
  },
  doctor: {
    summary: 'show how RUN steps can be isolated here',
    group: 'Machine',
    load: async () => (await import('./commands/doctor.ts')).doctor,
  },
  version: {
    summary: 'print the version',
    group: 'Machine',
    load: async () => (await import('./commands/version.ts')).version,
  },
};
