/**
 * `--mount=type=…,key=value`. The same rules are applied twice: while parsing, to what needs no variable, and by
 * `resolveMount`, when the variables are known.
 * Invariant: `from` is never expanded; keys are checked in the order written, as BuildKit does, so `required` and
 * `size` must stand after `type`.
 */
import { nearest, suggestion } from '../../../core/index.ts';
import { goBool } from '../text/directives.ts';
import type { MountFlag } from '../types.ts';

export type MountType = MountFlag['type'];
export type CacheSharing = 'shared' | 'private' | 'locked';

/** A mount with its variables expanded and its defaults set. */
export interface ResolvedMount {
  readonly type: MountType;
  readonly from?: string;
  /** '' when not given. */
  readonly source: string;
  /** '' when not given. */
  readonly target: string;
  readonly readOnly: boolean;
  readonly id?: string;
  readonly sharing?: CacheSharing;
  readonly required: boolean;
  /** Bytes; tmpfs only. 0: no limit. */
  readonly size: number;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly env?: string;
}

export interface MountProblem {
  readonly message: string;
  readonly hint: string;
  /** Offsets of the field in the flag's value, where one is to blame. */
  readonly field?: readonly [start: number, end: number];
}

export type MountOutcome =
  | { readonly ok: true; readonly mount: ResolvedMount }
  | { readonly ok: false; readonly problem: MountProblem };

/** Undefined: the value cannot be known yet. A problem: the expansion failed. */
type Expand = (value: string) => string | undefined | MountProblem;

type Field = MountFlag['fields'][number] & { readonly at?: readonly [start: number, end: number] };

export type MountFields = readonly Field[];

const types: readonly MountType[] = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'];
const sharings: readonly CacheSharing[] = ['shared', 'private', 'locked'];
const aliases: Readonly<Record<string, string>> = {
  src: 'source',
  dst: 'target',
  destination: 'target',
  ro: 'readonly',
  rw: 'readwrite',
};
const keys = [
  ...['type', 'from', 'source', 'src', 'target', 'dst', 'destination', 'readonly', 'ro', 'readwrite', 'rw'],
  ...['id', 'sharing', 'required', 'size', 'mode', 'uid', 'gid', 'env'],
];

/** Splits the value at commas, with CSV's quotes. */
export function splitMount(value: string): MountFields | MountProblem {
  const fields: Field[] = [];
  let at = 0;
  for (;;) {
    const start = at;
    let field: string;
    if (value.charAt(at) === '"') {
      const close = closingQuote(value, at);
      if (close < 0 || (close + 1 < value.length && value.charAt(close + 1) !== ',')) {
        return { message: `a quote in --mount=${value} is not closed`, hint: 'Close it directly before the comma.' };
      }
      field = value.slice(at + 1, close).replaceAll('""', '"');
      at = close + 1;
    } else {
      const comma = value.indexOf(',', at);
      const end = comma < 0 ? value.length : comma;
      field = value.slice(at, end);
      at = end;
      if (field.includes('"')) {
        return { message: `'${field}' has a quote inside`, hint: 'Put the quotes around the whole key=value.' };
      }
    }
    const equals = field.indexOf('=');
    const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase();
    fields.push({ key, value: equals < 0 ? undefined : field.slice(equals + 1), at: [start, at] });
    if (at >= value.length) return fields;
    at += 1;
  }
}

/** The quote that ends the field which begins with a quote at `from`, or -1; two quotes stand for one inside. */
function closingQuote(value: string, from: number): number {
  let at = value.indexOf('"', from + 1);
  while (at >= 0 && value.charAt(at + 1) === '"') at = value.indexOf('"', at + 2);
  return at;
}

/** What can be said before variables are known. */
export function checkMount(fields: MountFields): { readonly type: MountType; readonly problem?: MountProblem } {
  const draft = newDraft();
  const problem = readFields(fields, draft, (value) => (/[$"'\\`]/.test(value) ? undefined : value));
  const incomplete = fields.some(({ value }) => value !== undefined && /[$"'\\`]/.test(value));
  const finished = problem ?? (incomplete ? undefined : checkTogether(draft));
  return { type: draft.type, ...(finished && { problem: finished }) };
}

/** @param expand expands one value; the planner's variables */
export function resolveMount(mount: MountFlag, expand: (value: string) => string | MountProblem): MountOutcome {
  const draft = newDraft();
  const problem = readFields(mount.fields, draft, expand) ?? checkTogether(draft);
  if (problem) return { ok: false, problem };
  const readOnly = draft.readOnly ?? (draft.type !== 'cache' && draft.type !== 'tmpfs');
  return { ok: true, mount: { ...draft, readOnly } };
}

type Settable = Omit<ResolvedMount, 'readOnly'>;

type Draft = { -readonly [Key in keyof Settable]: Settable[Key] } & {
  /** Undefined: the type's default. */
  readOnly?: boolean;
};

function newDraft(): Draft {
  return { type: 'bind', source: '', target: '', required: false, size: 0 };
}

function readFields(fields: MountFields, draft: Draft, expand: Expand): MountProblem | undefined {
  for (const field of fields) {
    const key = Object.hasOwn(aliases, field.key) ? (aliases[field.key] ?? field.key) : field.key;
    const problem =
      field.value === undefined ? readBare(key, draft) : readField(key, field.key, field.value, draft, expand);
    if (problem) return field.at ? { ...problem, field: field.at } : problem;
  }
  return undefined;
}

function readBare(key: string, draft: Draft): MountProblem | undefined {
  if (key === 'readonly') draft.readOnly = true;
  else if (key === 'readwrite') draft.readOnly = false;
  else if (key === 'required') {
    const misplaced = onlyFor(key, draft.type, ['secret', 'ssh']);
    if (misplaced) return misplaced;
    draft.required = true;
  } else if (key === '') {
    return { message: '--mount has an empty field', hint: 'Remove the extra comma.' };
  } else if (keys.includes(key)) {
    return { message: `the mount key '${key}' has no value`, hint: `Write ${key}=<value>.` };
  } else return unknownKey(key);
  return undefined;
}

function readField(key: string, written: string, raw: string, draft: Draft, expand: Expand): MountProblem | undefined {
  if (key === 'from') {
    const dollar = raw.indexOf('$');
    if (dollar >= 0 && dollar !== raw.length - 1) {
      return {
        message: `'from' of a mount does not expand variables ('${raw}')`,
        hint: `Write FROM ${raw} AS <name> and use from=<name>.`,
      };
    }
    if (raw !== '') draft.from = raw;
    return undefined;
  }
  if (!keys.includes(written)) return unknownKey(written);
  const misplaced =
    key === 'required'
      ? onlyFor(key, draft.type, ['secret', 'ssh'])
      : key === 'size'
        ? onlyFor(key, draft.type, ['tmpfs'])
        : undefined;
  if (misplaced) return misplaced;
  const value = expand(raw);
  if (value === undefined) return undefined;
  if (typeof value === 'object') return value;
  return setField(key, written, value, draft);
}

function setField(key: string, written: string, value: string, draft: Draft): MountProblem | undefined {
  switch (key) {
    case 'type': {
      const type = types.find((each) => each === value.toLowerCase());
      if (type === undefined) return notOneOf('mount type', value, types);
      draft.type = type;
      return undefined;
    }
    case 'sharing': {
      const sharing = sharings.find((each) => each === value.toLowerCase());
      if (sharing === undefined) return notOneOf('value of sharing', value, sharings);
      draft.sharing = sharing;
      return undefined;
    }
    case 'source':
    case 'target':
    case 'id':
    case 'env':
      draft[key] = value;
      return undefined;
    case 'readonly':
    case 'readwrite':
    case 'required': {
      const truth = goBool(value);
      if (truth === undefined) {
        const near = nearest(value, ['true', 'false']);
        return badValue(written, value, `Write ${written}=true or ${written}=false.`, near);
      }
      if (key === 'required') draft.required = truth;
      else draft.readOnly = key === 'readonly' ? truth : !truth;
      return undefined;
    }
    case 'size': {
      const size = parseSize(value);
      if (size === undefined) return badValue(key, value, 'Write a number of bytes, or one with k, m, g or t.');
      draft.size = size;
      return undefined;
    }
    case 'mode': {
      if (!/^[0-7]+$/.test(value) || Number.parseInt(value, 8) > 0xffffffff) {
        return badValue(key, value, 'Write an octal number, such as 0755.');
      }
      draft.mode = Number.parseInt(value, 8);
      return undefined;
    }
    case 'uid':
    case 'gid':
      if (!/^[0-9]+$/.test(value) || Number(value) > 0xffffffff) {
        return badValue(key, value, `Write a number: ${key} takes no names.`);
      }
      draft[key] = Number(value);
      return undefined;
    default:
      return unknownKey(key);
  }
}

/** Rules about several keys at once. */
function checkTogether(draft: Draft): MountProblem | undefined {
  const { type } = draft;
  if (type === 'bind' || type === 'tmpfs') {
    for (const key of ['mode', 'uid', 'gid'] as const) {
      if (draft[key] !== undefined) return { message: `a ${type} mount takes no ${key}`, hint: `Remove ${key}.` };
    }
  }
  if (type === 'secret') {
    if (draft.from !== undefined) return { message: 'a secret mount takes no from', hint: 'Remove from.' };
    if (draft.sharing !== undefined) return { message: 'a secret mount takes no sharing', hint: 'Remove sharing.' };
    if (draft.source === '' && draft.target === '' && (draft.id ?? '') === '') {
      return { message: 'a secret mount needs an id or a target', hint: 'Write id=<name of the secret>.' };
    }
    if (draft.source !== '' && (draft.id ?? '') !== '') {
      return { message: 'a secret mount takes source or id, not both', hint: 'Remove source.' };
    }
  }
  if (draft.sharing !== undefined && type !== 'cache') {
    return { message: `a ${type} mount takes no sharing`, hint: 'Write type=cache, or remove sharing.' };
  }
  return undefined;
}

function onlyFor(key: string, type: MountType, allowed: readonly MountType[]): MountProblem | undefined {
  if (allowed.includes(type)) return undefined;
  const where = allowed.map((each) => `type=${each}`).join(' or ');
  return { message: `the mount key '${key}' does not go with type=${type}`, hint: `Put ${where} before ${key}.` };
}

function unknownKey(key: string): MountProblem {
  const near = nearest(key, keys);
  return {
    message: `--mount has no key '${key}'${suggestion(near)}`,
    hint: near === undefined ? `The keys are ${keys.join(', ')}.` : `Write ${near}.`,
  };
}

function notOneOf(what: string, value: string, options: readonly string[]): MountProblem {
  const near = nearest(value, options);
  return {
    message: `'${value}' is not a ${what}${suggestion(near)}`,
    hint: `Write one of ${options.join(', ')}.`,
  };
}

function badValue(key: string, value: string, hint: string, near?: string): MountProblem {
  return { message: `'${value}' is not a value of the mount key '${key}'${suggestion(near)}`, hint };
}

const sizeUnits: Readonly<Record<string, number>> = { k: 1, m: 2, g: 3, t: 4, p: 5 };

/** `100m`, `1.5 GiB`, `4096`: bytes, units of 1024. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?) ?(?:([kmgtp])(?:i?b)?|b)?$/i.exec(text);
  if (!match) return undefined;
  const bytes = Math.trunc(Number(match[1]) * 1024 ** (sizeUnits[(match[2] ?? '').toLowerCase()] ?? 0));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
