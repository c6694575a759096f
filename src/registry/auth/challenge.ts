/**
 * `WWW-Authenticate` (RFC 9110 11.6.1): several challenges in one header, tokens and quoted strings, parameters in any
 * order. What cannot be read is passed over.
 */
export interface Challenge {
  /** Lower case: `bearer`, `basic`. */
  readonly scheme: string;
  /** Names in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const token = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const quoted = /"((?:[^"\\]|\\.)*)"/y;
const bareValue = /[^\s,"]+/y;
const gap = /[\s,]*/y;
const blank = /[ \t]*/y;

export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const match = pattern.exec(header);
    if (!match) return undefined;
    at = pattern.lastIndex;
    return match[1] ?? match[0];
  };
  while (at < header.length) {
    take(gap);
    const word = take(token);
    if (word === undefined) {
      // Neither a scheme nor a parameter: step over one character, so that hostile text cannot stop the reading.
      at += 1;
      continue;
    }
    take(blank);
    if (header[at] !== '=') {
      challenges.push({ scheme: word.toLowerCase(), parameters: new Map() });
      continue;
    }
    at += 1;
    take(blank);
    const value = header[at] === '"' ? take(quoted)?.replace(/\\(.)/g, '$1') : take(bareValue);
    if (value === undefined) at += 1;
    else challenges.at(-1)?.parameters.set(word.toLowerCase(), value);
  }
  return challenges;
}
