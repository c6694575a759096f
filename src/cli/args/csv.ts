/**
 * One record of comma-separated fields, as docker reads `--output`, `--secret` and the like (RFC 4180, lazy quotes off):
 * a field in double quotes may hold commas, and `""` stands for one quote.
 */
import { invalidFlag } from './flag.ts';

/** @throws TsbuildError `flag-invalid` for an unfinished or misplaced quote */
export function parseCsv(flag: string, text: string): string[] {
  const fields: string[] = [];
  let at = 0;
  while (at <= text.length) {
    if (text[at] === '"') {
      const [field, next] = quotedField(flag, text, at + 1);
      fields.push(field);
      at = next;
    } else {
      const comma = text.indexOf(',', at);
      const end = comma < 0 ? text.length : comma;
      const field = text.slice(at, end);
      if (field.includes('"')) {
        throw invalidFlag(
          flag,
          `a quote inside ${JSON.stringify(field)}`,
          `Quote the whole field: "${field.replaceAll('"', '""')}".`,
        );
      }
      fields.push(field);
      at = end + 1;
    }
  }
  return fields;
}

export interface KeyValue {
  /** Lower case. */
  readonly key: string;
  /** As it was written. */
  readonly name: string;
  /** Undefined for a field without `=`. */
  readonly value: string | undefined;
}

/** The fields of a record as `key=value`, in order. */
export function parseKeyValues(flag: string, text: string): KeyValue[] {
  return parseCsv(flag, text).map((field) => {
    const { name, value } = splitAssignment(field);
    return { key: name.trim().toLowerCase(), name: name.trim(), value };
  });
}

/** `NAME=value` cut at the first `=`. */
export function splitAssignment(text: string): { readonly name: string; readonly value: string | undefined } {
  const equals = text.indexOf('=');
  return equals < 0 ? { name: text, value: undefined } : { name: text.slice(0, equals), value: text.slice(equals + 1) };
}

function quotedField(flag: string, text: string, start: number): [string, number] {
  let field = '';
  let at = start;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote < 0) throw invalidFlag(flag, `the quote in ${JSON.stringify(text)} is not closed`);
    field += text.slice(at, quote);
    if (text[quote + 1] === '"') {
      field += '"';
      at = quote + 2;
      continue;
    }
    if (quote + 1 < text.length && text[quote + 1] !== ',') {
      throw invalidFlag(flag, `text follows a closing quote in ${JSON.stringify(text)}`);
    }
    return [field, quote + 2];
  }
}
