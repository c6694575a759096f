/** `--check` and `--call`: what is said about a Dockerfile without building it. */
import { assertNever } from '../core/index.ts';
import type { BuildInvocation } from './args/build-request.ts';
import type { Session } from './session.ts';

/** Prints the answer on stdout. Exit code 1 when a check found something. */
export async function runCall(invocation: BuildInvocation, session: Session): Promise<number> {
  const { method } = invocation.call;
  switch (method) {
    case 'check':
      return await (await import('./calls/check.ts')).callCheck(invocation, session);
    case 'targets':
      return await (await import('./calls/targets.ts')).callTargets(invocation, session);
    case 'outline':
      return await (await import('./calls/outline.ts')).callOutline(invocation, session);
    case 'plan':
      return await (await import('./calls/plan.ts')).callPlan(invocation, session);
    case 'build':
      throw new Error('a build is no question');
    default:
      return assertNever(method);
  }
}
