/**
 * How soon V8 hands code to its optimizing compiler, in bytes of bytecode that ran. Of Node 20 alone: later engines count
 * otherwise, have a cheaper compiler between, and do not know the flag.
 */
import { setFlagsFromString } from 'node:v8';
import type { EventSink } from '../core/index.ts';

const hasBudget = process.versions.v8.startsWith('11.');
/** V8's own is 67584. With the flags as they were, V8 takes the code it made before (launch.ts). */
const [patient, usual] = ['--interrupt-budget=540000', '--interrupt-budget=67584'];

/** What starts Node as a build runs while it reads. */
export const patientEngine: readonly string[] = hasBudget ? [patient] : [];

/**
 * A Dockerfile is read once: to optimize the reader costs more than half of what reading 5,000 lines costs, and is never
 * earned back. What a build does once it has its plan, for tens of thousands of files, is.
 */
export function patientUntilPlanned(events: EventSink): EventSink {
  if (!hasBudget) return events;
  setFlagsFromString(patient);
  return (event) => {
    if (event.kind === 'plan') setFlagsFromString(usual);
    events(event);
  };
}
