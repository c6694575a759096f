/**
 * An ordinary user's build goes on in a second tsbuild inside a user namespace, where files may have owners. It gets our
 * streams and arguments, and the store of this user rather than that of the root it seems to be.
 */
import { homedir } from 'node:os';
import { isTsbuildError } from '../core/index.ts';
import type { Rung } from '../sandbox/index.ts';
import type { Session } from './session.ts';
import { storeRoot } from './store-root.ts';

/**
 * Resolves to the exit code of the second process, or undefined when this one should do the work itself.
 * @throws TsbuildError `sandbox-*` when the namespace was asked for by name and cannot be had
 */
export async function enterUserNamespace(isolation: string, session: Session): Promise<number | undefined> {
  const { reexecInUserNamespace, wantsUserNamespace } = await import('../sandbox/index.ts');
  if (!wantsUserNamespace(isolation as 'auto' | Rung, session.env)) return undefined;
  // Root has the rung chroot as well: there a namespace is worth it only if steps really run in it.
  if (session.user === 0 && isolation === 'auto' && !(await stepsRunInOne(session))) return undefined;
  // They are passed on, and what this process ends with is the other's affair.
  const giveBack = session.takeSignals(() => {});
  try {
    return await reexecInUserNamespace({
      argv: session.command,
      env: { ...session.env, TSBUILD_HOME: storeRoot(session.env, session.user, homedir()) },
    });
  } catch (error) {
    if (isolation === 'userns' || !isTsbuildError(error) || !error.code.startsWith('sandbox-')) throw error;
    // The sandbox itself says what is weaker when a RUN step needs it; a build without RUN needs no namespace.
    return undefined;
  } finally {
    giveBack();
  }
}

async function stepsRunInOne(session: Session): Promise<boolean> {
  const [{ probeRung }, { probeMemory }, { withWiring }] = await Promise.all([
    import('../sandbox/index.ts'),
    import('../builder/index.ts'),
    import('./wire.ts'),
  ]);
  return await withWiring(
    session,
    () => {},
    async (wiring) => {
      const memory = probeMemory(await wiring.store());
      return (await probeRung('userns', { memory })).available;
    },
  );
}
