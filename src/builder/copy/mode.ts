/**
 * `--chmod`: an octal number, or chmod(1)'s symbolic language with a umask of 0, as BuildKit reads it.
 * Invariant: a change maps 0..0o7777 to 0..0o7777.
 */
import { type SourceLocation, TsbuildError } from '../../core/index.ts';

export type ModeChange =
  | { readonly kind: 'absolute'; readonly mode: number }
  | { readonly kind: 'symbolic'; readonly apply: (mode: number, isDirectory: boolean) => number };

/** @throws TsbuildError `copy-mode-invalid` */
export function parseMode(text: string, location?: SourceLocation): ModeChange {
  if (/^[0-7]+$/.test(text)) {
    const mode = Number.parseInt(text, 8);
    if (mode <= 0o7777) return { kind: 'absolute', mode };
    throw invalid(text, location);
  }
  const clauses = text.split(',').map((clause) => parseClause(clause));
  if (clauses.some((clause) => clause === undefined)) throw invalid(text, location);
  return {
    kind: 'symbolic',
    apply: (mode, isDirectory) => {
      // X looks at the mode before any clause ran, unless a clause already gave someone execution.
      let result = mode;
      for (const clause of clauses) result = clause?.(result, isDirectory) ?? result;
      return result;
    },
  };
}

/** @param isDirectory for `X` */
export function applyMode(change: ModeChange | undefined, mode: number, isDirectory: boolean): number {
  if (change === undefined) return mode;
  return change.kind === 'absolute' ? change.mode : change.apply(mode, isDirectory);
}

const classes = { u: 0o700, g: 0o070, o: 0o007 } as const;
const shifts = { u: 6, g: 3, o: 0 } as const;

type Clause = (mode: number, isDirectory: boolean) => number;

function parseClause(clause: string): Clause | undefined {
  const match = /^([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)$/.exec(clause);
  if (!match) return undefined;
  const who = match[1] === '' || match[1]?.includes('a') ? 'ugo' : (match[1] ?? '');
  const actions = [...(match[2] ?? '').matchAll(/([-+=])([rwxXst]+|[ugo])?/g)];
  return (mode, isDirectory) => {
    let result = mode;
    for (const action of actions) {
      const bits = bitsOf(action[2] ?? '', who, result, isDirectory);
      if (action[1] === '+') result |= bits;
      else if (action[1] === '-') result &= ~bits;
      else result = (result & ~cleared(who)) | bits;
    }
    return result;
  };
}

function bitsOf(permissions: string, who: string, mode: number, isDirectory: boolean): number {
  let each = 0;
  let special = 0;
  for (const letter of permissions) {
    if (letter === 'r') each |= 4;
    else if (letter === 'w') each |= 2;
    else if (letter === 'x' || (letter === 'X' && (isDirectory || (mode & 0o111) !== 0))) each |= 1;
    else if (letter === 's') special |= (who.includes('u') ? 0o4000 : 0) | (who.includes('g') ? 0o2000 : 0);
    else if (letter === 't') special |= who === 'ugo' || who.includes('o') ? 0o1000 : 0;
    else if (letter === 'u' || letter === 'g' || letter === 'o') each |= (mode >> shifts[letter]) & 7;
  }
  let bits = special;
  for (const [name, mask] of Object.entries(classes)) if (who.includes(name)) bits |= (each * 0o111) & mask;
  return bits;
}

/** What `=` takes away first. */
function cleared(who: string): number {
  let bits = 0;
  if (who.includes('u')) bits |= 0o4700;
  if (who.includes('g')) bits |= 0o2070;
  if (who.includes('o')) bits |= 0o1007;
  return bits;
}

function invalid(text: string, location: SourceLocation | undefined): TsbuildError {
  return new TsbuildError({
    code: 'copy-mode-invalid',
    message: `--chmod=${text} is neither an octal mode of at most 07777 nor a symbolic one`,
    hint: 'Write --chmod=755 or --chmod=u=rwX,go=rX.',
    ...(location ? { source: location } : {}),
  });
}
