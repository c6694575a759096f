/** RUN: runs the command in a root of what lies beneath it, and makes a layer of what it changed. */
import { constants } from 'node:os';
import { TsbuildError } from '../../core/index.ts';
import type { Digest } from '../../image/index.ts';
import type { LayerRef } from '../../layers/index.ts';
import type { Sandbox, StepResult, StepSpec } from '../../sandbox/index.ts';
import { findShell } from '../find-shell.ts';
import type { RunOperation } from '../plan/index.ts';
import { latestMtime } from './created-mtime.ts';
import { mountInputs, type OpenedMounts, openMounts } from './mounts.ts';
import type { RunAhead } from './run-ahead.ts';
import { defaultHostname, hostnameOf, startCommand } from './run-command.ts';
import { openStepRoot } from './step-root.ts';
import type { StepContext, StepWork } from './types.ts';

/** @param ahead the stage's */
export async function runStep(context: StepContext, operation: RunOperation, ahead: RunAhead): Promise<StepWork> {
  checkAllowed(context, operation);
  const { mounts, ...rest } = operation;
  const inputs: (Digest | null)[] = [];
  const keyed: unknown[] = [];
  for (const mount of mounts) {
    const { key, input } = await mountInputs(context, mount);
    keyed.push(key);
    if (input !== undefined) inputs.push(input);
  }
  const { request } = context.environment;
  const hostname = hostnameOf(request);
  return {
    operation: {
      ...rest,
      mounts: keyed,
      ...(hostname !== defaultHostname && { hostname }),
      ...(request.extraHosts.length > 0 && { extraHosts: request.extraHosts }),
    },
    dependsOnBelow: true,
    inputs,
    execute: () => execute(context, operation, ahead),
  };
}

async function execute(context: StepContext, operation: RunOperation, ahead: RunAhead): Promise<LayerRef> {
  const { environment, step } = context;
  const { request, store } = environment;
  const sandbox = await environment.sandbox.open();
  const held = ahead.take(step);
  if (!held) sandbox.prepare(operation.network);
  const root = held?.root ?? (await openStepRoot({ ...context, store, ...latestMtime(request) }, sandbox.rung));
  let mounts: OpenedMounts | undefined;
  let isHandedOn = false;
  try {
    mounts = held ? undefined : await openMounts(context, operation);
    const command = held?.begin() ?? (await startCommand(sandbox, context, operation, root, mounts));
    const meanwhile = (async () => {
      await held?.keepBeneath();
      await root.settle(context);
      await ahead.hold(sandbox, context, operation, { root, result: command.result });
    })();
    // While the command runs nothing of the root may go.
    const [result] = await Promise.allSettled([command.result, meanwhile]);
    if (result.status === 'rejected') throw result.reason;
    await meanwhile;
    const failure = describeFailure(result.value, command.tail.lines().length > 0);
    if (failure) {
      const error = new TsbuildError({
        code: 'build-run-failed',
        message: `${step.title} ${failure.message}`,
        ...(failure.hint !== undefined && { hint: failure.hint }),
        source: step.location,
        log: command.tail.lines(),
      });
      await showFailure(context, sandbox, command.spec, error);
      throw error;
    }
    environment.sandbox.leave();
    await ahead.held?.begun;
    const layer = await root.pack();
    const rest = { keep: () => root.keep(context), release: () => root.release() };
    ahead.held?.takeOver(rest);
    isHandedOn = ahead.held !== undefined;
    if (!isHandedOn) await rest.keep();
    return layer;
  } finally {
    // Before the locks of caches go, which the root may have to give back.
    if (!isHandedOn) await root.release();
    await held?.releaseBeneath();
    await mounts?.release();
  }
}

/** In the root as the step left it: it is thrown away afterwards in any case. */
async function showFailure(context: StepContext, sandbox: Sandbox, spec: StepSpec, error: TsbuildError): Promise<void> {
  const { environment, signal } = context;
  await environment.onRunFailed?.({
    error,
    signal,
    openShell: async (options) => {
      const tree = await environment.store.tree(context.below, context);
      const shell = findShell(tree, spec.args[0]);
      return sandbox.run({ ...spec, args: [shell], env: withTerm(spec.env, options.term) }, { ...options, signal });
    },
  });
}

function withTerm(env: readonly string[], term: string | undefined): readonly string[] {
  return term === undefined || env.some((entry) => entry.startsWith('TERM=')) ? env : [...env, `TERM=${term}`];
}

function checkAllowed({ environment, step }: StepContext, operation: RunOperation): void {
  const { allow, network } = environment.request;
  const refuse = (what: string, entitlement: string) =>
    new TsbuildError({
      code: 'build-not-allowed',
      message: `the Dockerfile asks for ${what}, which this build does not allow`,
      hint: `If you trust it, add --allow ${entitlement}.`,
      source: step.location,
    });
  // --network=host on the command line is the user's own word.
  if (operation.network === 'host' && network !== 'host' && !allow.has('network.host'))
    throw refuse('--network=host', 'network.host');
  if (operation.security === 'insecure' && !allow.has('security.insecure'))
    throw refuse('--security=insecure', 'security.insecure');
}

function describeFailure({ exit }: StepResult, printed: boolean): { message: string; hint?: string } | undefined {
  const output = printed ? { hint: 'The last lines above say why; --progress=plain shows all of the output.' } : {};
  switch (exit.kind) {
    case 'exited':
      if (exit.code === 0) return undefined;
      return { message: `did not succeed: exit code ${exit.code}`, ...output, ...hintFor(exit.code) };
    case 'killed':
      return {
        message: `was killed by ${exit.signal}`,
        hint: 'The last lines above say why; --progress=plain shows all of the output.',
      };
    case 'out-of-memory':
      if (exit.limit !== undefined) {
        return {
          message: `ran out of memory: the limit is ${exit.limit} bytes`,
          hint: 'Raise --memory, or let the step use less.',
        };
      }
      return {
        message: 'ran out of memory: a control group above the step has a lower limit than --memory',
        hint: 'Raise the limit of the group named by --cgroup-parent, or of the one tsbuild runs in.',
      };
  }
}

function hintFor(code: number): { hint?: string } {
  if (code === 126) {
    return { hint: 'The program was found but cannot be run: is it executable, and built for this platform?' };
  }
  if (code === 127) return { hint: 'The program was not found: is it installed in the image, and in PATH?' };
  const signal = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
  return code > 128 && signal ? { hint: `The command was ended by ${signal}.` } : {};
}
