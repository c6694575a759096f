/**
 * Where V8 spends its time. Whoever changes a flag for good does so before code kept from the last time is looked at
 * (launch.ts): V8 takes none that was made under other flags.
 */
import { setFlagsFromString } from 'node:v8';
import type { EventSink } from '../core/index.ts';

/**
 * undici parses HTTP in WebAssembly. V8 would soon compile the parser a second time to optimise it, which takes 70 ms of
 * processor time even when one request is all; bodies hardly pass through it, so that large transfers gain nothing.
 */
export function compileWasmOnce(): void {
  setFlagsFromString('--wasm-tiering-budget=1000000000');
}

/** Node 20 alone: later engines count otherwise, have a cheaper compiler between, and do not know the flag. */
const hasBudget = process.versions.v8.startsWith('11.');
/** How soon code goes to the optimizing compiler, in bytes of bytecode that ran. The second is V8's own. */
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
    if (event.kind === 'plan') endPatience();
    events(event);
  };
}

export function endPatience(): void {
  if (hasBudget) setFlagsFromString(usual);
}
