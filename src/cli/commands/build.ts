/** `tsbuild build`: the arguments, the build with its progress, and what docker prints and writes afterwards. */

import { buildFlags } from '../args/build-flags.ts';
import { type BuildInvocation, readBuildFlags } from '../args/build-request.ts';
import type { Command } from '../command.ts';
import { runBuild, surroundingsOf } from '../run-build.ts';
import type { Session } from '../session.ts';

export const build: Command = {
  usage: '[build] [OPTIONS] PATH | URL | -',
  about:
    'Builds an image from a Dockerfile. The context, whose files COPY and ADD may use, is a directory, a git repository, ' +
    'a remote or piped tar archive, or - for standard input. The image is kept in the local store; --push, --load and ' +
    '-o bring it elsewhere. Exit codes: 0 built, 1 the build failed, 2 the command line is wrong.',
  flags: buildFlags,
  examples: [
    ['tsbuild -t app:1 .', 'build this directory'],
    ['tsbuild -t ghcr.io/me/app:1 --push .', 'build and push'],
    ['tsbuild -t app:1 --load .', 'build and load into Docker'],
    ['tsbuild -o out --target test .', 'write the files of a stage to a directory'],
    ['tsbuild --check .', 'only look for mistakes'],
  ],
  words: { least: 0, most: Number.POSITIVE_INFINITY },
  async run(flags, session) {
    if (!flags.on('check') && !flags.given('call')) {
      const { enterUserNamespace } = await import('../enter-user-namespace.ts');
      const code = await enterUserNamespace(flags.text('isolation') ?? 'auto', session);
      if (code !== undefined) return code;
    }
    const invocation = await readBuildFlags(flags, surroundingsOf(session));
    return await runInvocation(invocation, session);
  },
};

async function runInvocation(invocation: BuildInvocation, session: Session): Promise<number> {
  if (invocation.call.method === 'build') {
    await runBuild(invocation, session);
    return 0;
  }
  const { runCall } = await import('../run-call.ts');
  return await runCall(invocation, session);
}
