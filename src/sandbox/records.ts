/**
 * The records the helper sends (native/report.h has the other side).
 * Invariant: what is not understood is kept as nothing: a step without an exit record is a failure, never a success.
 */
import { constants } from 'node:os';

export type HelperRecord =
  /** The step could not be run. `error`: errno. */
  | { readonly kind: 'error'; readonly stage: string; readonly error: number; readonly detail: string }
  /** The program could not be started; an exit record with 126 or 127 follows. */
  | { readonly kind: 'exec'; readonly error: number; readonly program: string }
  /** The shared network is connected, or the directories of a held step's root are open. */
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'exit';
      readonly how: 'exited' | 'killed';
      /** Exit code or signal number. */
      readonly number: number;
      readonly userMicroseconds: number;
      readonly systemMicroseconds: number;
      readonly maxResidentBytes: number;
    };

/** How a run of the helper ended. */
export interface HelperEnd {
  readonly records: readonly HelperRecord[];
  /** Of the step's first process, or of its supervisor; null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export function decodeRecords(data: Buffer): HelperRecord[] {
  const records: HelperRecord[] = [];
  for (let at = 0; at + 4 <= data.length; ) {
    const length = data.readUInt32LE(at);
    const fields = data.toString('utf8', at + 4, at + 4 + length).split('\0');
    const record = recordOf(fields);
    if (record !== undefined) records.push(record);
    at += 4 + length;
  }
  return records;
}

function recordOf(fields: readonly string[]): HelperRecord | undefined {
  const [kind, first = '', second = '', third = '', fourth = '', fifth = ''] = fields;
  switch (kind) {
    case 'error':
      return { kind, stage: first, error: Number(second), detail: third };
    case 'ready':
      return { kind };
    case 'exec':
      return { kind, error: Number(first), program: second };
    case 'exit':
      return {
        kind,
        how: first === 'killed' ? 'killed' : 'exited',
        number: Number(second),
        userMicroseconds: Number(third),
        systemMicroseconds: Number(fourth),
        maxResidentBytes: Number(fifth),
      };
    default:
      return undefined;
  }
}

/** `SIGKILL` of 9. */
export function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found ? found[0] : `SIG${number}`;
}

/** `ENOENT` of 2; the number itself when it has no name. */
export function errorName(number: number): string {
  const found = Object.entries(constants.errno).find(([, value]) => value === number);
  return found ? found[0] : String(number);
}
