/** `tsbuild debug`: a build to look around in, where a RUN failed or else where the target ends. */
import { prepareRun } from '../../builder/index.ts';
import { hostPlatform } from '../../core/index.ts';
import { buildFlags } from '../args/build-flags.ts';
import { type BuildInvocation, readBuildFlags } from '../args/build-request.ts';
import { runAttached } from '../attached-run.ts';
import type { Command } from '../command.ts';
import { enterUserNamespace } from '../enter-user-namespace.ts';
import { runBuild, surroundingsOf } from '../run-build.ts';
import type { Session } from '../session.ts';
import { withWiring } from '../wire.ts';

export const debug: Command = {
  usage: 'debug [OPTIONS] PATH | URL',
  about:
    'Builds as `tsbuild build` does, with the same options. Where a RUN fails, a shell opens in its root as the command left it, with ' +
    'its mounts, secrets, variables, user and network; when the shell ends, the build fails as it would have. When nothing fails, a ' +
    'shell opens in the image that was built: with --target, at the end of that stage. What a shell changes is thrown away.',
  flags: buildFlags,
  examples: [
    ['tsbuild debug .', 'look at the RUN that fails'],
    ['tsbuild debug --target build .', 'look at what the stage build holds'],
  ],
  words: { least: 0, most: Number.POSITIVE_INFINITY },
  async run(flags, session) {
    const code = await enterUserNamespace(flags.text('isolation') ?? 'auto', session);
    if (code !== undefined) return code;
    const invocation = await readBuildFlags(flags, surroundingsOf(session), { onError: 'shell' });
    const { result } = await runBuild(invocation, session);
    const [first] = result.images;
    return first ? await lookAround(first.manifest.digest, invocation, session) : 0;
  },
};

/** A shell in what was built, as the last step of the target would see it. */
async function lookAround(image: string, { request }: BuildInvocation, session: Session): Promise<number> {
  const { stderr, env, signal } = session;
  return await withWiring(
    session,
    () => {},
    async (wiring) => {
      const [store, baseImages] = await Promise.all([wiring.store(), wiring.baseImages()]);
      const resolved = await baseImages.resolve(`store://${image}`, { platform: hostPlatform(), pull: false, signal });
      const { network, extraHosts, limits, isolation } = request;
      await using prepared = await prepareRun(
        resolved,
        {
          command: 'shell',
          env: env.TERM === undefined ? [] : [`TERM=${env.TERM}`],
          hostname: 'tsbuild',
          ...{ network, extraHosts, limits, isolation },
          volumes: [],
          tmpfs: [],
        },
        { store, baseImages, events: () => {}, signal },
      );
      stderr.write('No step failed. A shell in the image that was built; what it changes is thrown away.\n');
      await runAttached(session, { input: true, terminal: true }, (options) => prepared.run(options));
      return 0;
    },
  );
}
