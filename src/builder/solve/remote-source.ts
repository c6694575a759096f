/** Sources of ADD that are addresses: http(s) files and git repositories, fetched when the key or the layer needs them. */
import { TsbuildError } from '../../core/index.ts';
import type { CopyOperand } from '../copy/index.ts';
import type { CopyStep } from '../plan/index.ts';

export interface RemoteSource {
  readonly operand: CopyOperand;
  release(): Promise<void>;
}

export function isRemote(text: string): boolean {
  return /^https?:\/\//.test(text);
}

export async function openRemote(text: string, _step: CopyStep, _signal: AbortSignal): Promise<RemoteSource> {
  throw new TsbuildError({ code: 'internal', message: `cannot fetch ${text}` });
}
