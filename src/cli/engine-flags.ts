/** How soon V8 hands code to its optimizing compiler, in bytes of bytecode that ran. */
import { setFlagsFromString } from 'node:v8';
import type { EventSink } from '../core/index.ts';

export const patientEngine = '--interrupt-budget=540000';
/** V8's own. */
const usualEngine = '--interrupt-budget=67584';

/**
 * A Dockerfile is read once: to optimize the reader costs more than half of what reading 5,000 lines costs, and is never
 * earned back. What a build does once it has its plan, for tens of thousands of files, is.
 */
export function patientUntilPlanned(events: EventSink): EventSink {
  setFlagsFromString(patientEngine);
  return (event) => {
    if (event.kind === 'plan') setFlagsFromString(usualEngine);
    events(event);
  };
}
