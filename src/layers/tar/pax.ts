/**
 * PAX extended header records: `length key=value\n` (POSIX.1-2017, pax). Values are bytes, held as latin1 strings.
 */

import { shown, tarError } from './tar-errors.ts';

/** In the order of the archive; a key may occur more than once (GNU sparse 0.0 relies on it). */
export type PaxRecords = readonly (readonly [key: string, value: string])[];

/** @throws TsbuildError `tar-invalid` */
export function parsePaxRecords(data: Buffer): PaxRecords {
  const records: [string, string][] = [];
  let at = 0;
  while (at < data.length) {
    const space = data.indexOf(0x20, at);
    const digits = space < 0 || space - at > 10 ? '' : data.toString('latin1', at, space);
    const length = /^[0-9]+$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    if (length < 5 || end > data.length || data[end - 1] !== 0x0a || end <= space) {
      return tarError('tar-invalid', 'a PAX record has a wrong length');
    }
    const record = data.toString('latin1', space + 1, end - 1);
    const equals = record.indexOf('=');
    if (equals <= 0) return tarError('tar-invalid', 'a PAX record has no key');
    records.push([record.slice(0, equals), record.slice(equals + 1)]);
    at = end;
  }
  return records;
}

/** Seconds with an optional sign and fraction, as nanoseconds; digits beyond the ninth are dropped. */
export function parsePaxTime(text: string): bigint {
  const match = /^(-?)([0-9]{1,19})(?:\.([0-9]*))?$/.exec(text);
  if (!match) return tarError('tar-invalid', `a PAX time reads ${shown(text)}`);
  const nanoseconds = BigInt(match[2] ?? 0) * 1_000_000_000n + BigInt((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  return match[1] === '-' ? -nanoseconds : nanoseconds;
}

export function formatPaxTime(nanoseconds: bigint): string {
  const magnitude = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  const fraction = (magnitude % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '');
  const sign = nanoseconds < 0n ? '-' : '';
  return `${sign}${magnitude / 1_000_000_000n}${fraction === '' ? '' : `.${fraction}`}`;
}

/** Records as the data of an extended header, in latin1. */
export function encodePaxRecords(records: PaxRecords): string {
  let text = '';
  for (const [key, value] of records) {
    // The length counts its own digits.
    const rest = key.length + value.length + 3;
    let length = rest + String(rest).length;
    if (rest + String(length).length !== length) length = rest + String(length).length;
    text += `${length} ${key}=${value}\n`;
  }
  return text;
}
