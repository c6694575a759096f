/** STOPSIGNAL's values: Linux signal names with or without SIG, and numbers, as moby/sys/signal reads them. */
import { nearest } from '../../core/index.ts';

const names = new Set(
  (
    'ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP ' +
    'TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX'
  ).split(' '),
);

export function isSignal(text: string): boolean {
  if (/^\d+$/.test(text)) return Number(text) !== 0;
  const name = text.toUpperCase().replace(/^SIG/, '');
  const realTime = /^RT(?:MIN\+(\d+)|MAX-(\d+))$/.exec(name);
  if (realTime) return Number(realTime[1] ?? realTime[2]) <= 15 && Number(realTime[1] ?? realTime[2]) > 0;
  return names.has(name);
}

/** The signal a mistyped name is nearest to, written as the text was: with or without SIG. */
export function nearestSignal(text: string): string | undefined {
  const prefix = /^sig/i.test(text) ? 'SIG' : '';
  return nearest(
    text,
    [...names].map((name) => `${prefix}${name}`),
  );
}
