/** Work of a build that no instruction stands for, as a step of the progress. */
import { isTsbuildError } from '../core/index.ts';
import type { BuildPorts } from './types.ts';

/** @param title after `[internal]`; also the step's ID */
export async function internalStep<T>(
  { events, now }: Pick<BuildPorts, 'events' | 'now'>,
  title: string,
  work: () => Promise<T>,
): Promise<T> {
  const started = now();
  events({ kind: 'step-started', step: { id: title, title: `[internal] ${title}` } });
  const finished = { kind: 'step-finished', id: title } as const;
  try {
    const result = await work();
    events({ ...finished, outcome: 'done', milliseconds: now() - started });
    return result;
  } catch (error) {
    const milliseconds = now() - started;
    events({ ...finished, outcome: 'failed', milliseconds, ...(isTsbuildError(error) && { error }) });
    throw error;
  }
}
