/** RUN for platforms other than this machine's: whether it works is known before anything runs. */
import { posix } from 'node:path';
import { hostPlatform, type SourceLocation, TsbuildError } from '../core/index.ts';
import { formatPlatform, type Platform } from '../image/index.ts';
import { programSupport, type StepMount } from '../sandbox/index.ts';
import type { Plan } from './plan/index.ts';

/** What steps need in their roots, by architecture. */
export type Emulators = ReadonlyMap<string, readonly StepMount[]>;

/** @throws TsbuildError `build-platform-unsupported` at the first RUN that could not work */
export function findEmulators(plans: readonly Plan[]): Emulators {
  const found = new Map<string, readonly StepMount[]>();
  for (const stage of plans.flatMap((plan) => plan.stages)) {
    const run = stage.steps.find(({ operation }) => operation.kind === 'run');
    if (!run || found.has(stage.platform.architecture)) continue;
    found.set(stage.platform.architecture, emulatorFor(stage.platform, run.location));
  }
  return found;
}

/** @throws TsbuildError `build-platform-unsupported` */
export function emulatorFor(platform: Platform, source?: SourceLocation): readonly StepMount[] {
  const host = hostPlatform();
  const support =
    platform.os === host.os ? programSupport(platform.architecture, host.architecture) : { kind: 'missing' as const };
  switch (support.kind) {
    case 'runs':
      return [];
    case 'needs-interpreter':
      return [
        {
          kind: 'bind',
          root: posix.dirname(support.file),
          source: `/${posix.basename(support.file)}`,
          target: support.path,
          readOnly: true,
        },
      ];
    case 'missing':
      throw unsupported(platform, host, source);
  }
}

function unsupported(platform: Platform, host: Platform, source: SourceLocation | undefined): TsbuildError {
  const emulated = platform.os === host.os;
  return new TsbuildError({
    code: 'build-platform-unsupported',
    message: `programs for ${formatPlatform(platform)} do not run on this machine, which is ${formatPlatform(host)}`,
    hint: emulated
      ? 'Register an emulator: apt-get install qemu-user-static, or docker run --privileged --rm tonistiigi/binfmt ' +
        `--install ${platform.architecture}. What only compiles can run here: FROM --platform=$BUILDPLATFORM.`
      : 'Build it on a machine of that kind.',
    ...(source && { source }),
  });
}
