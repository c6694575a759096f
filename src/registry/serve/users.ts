/**
 * The users of a served registry: a file of lines `NAME:PASSWORD`, where a password stands in clear text or as the bcrypt
 * hash that `htpasswd -B` writes.
 * Invariant: a hash of another kind is an error, never a password that happens to look like one.
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { TsbuildError } from '../../core/index.ts';

export interface Users {
  /** Whether a password stands there for everyone who may read the file. */
  readonly hasClearText: boolean;
  matches(name: string, password: string): Promise<boolean>;
}

const bcryptForm = /^\$2[aby]\$(?:0[4-9]|1[0-9]|2[0-9]|3[01])\$[./A-Za-z0-9]{53}$/;
/** What crypt(3) and Apache write instead: MD5, SHA-1, SHA-2, scrypt, yescrypt, and bcrypt of an unknown kind. */
const otherHash = /^(?:\$[a-z0-9]{1,8}\$|\{[A-Z0-9]+\})/;

/**
 * @param text empty lines and lines that begin with # say nothing
 * @param path for errors
 * @throws TsbuildError `registry-config`; no message quotes a line
 */
export function parseUsers(text: string, path: string): Users {
  const passwords = new Map<string, string>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line === '' || line.startsWith('#')) continue;
    const [, name = '', password = ''] = /^([^:]+):(.+)$/.exec(line) ?? [];
    if (name === '' || passwords.has(name)) throw notUsers(path, index, name === '' ? 'no' : 'a second');
    if (otherHash.test(password) && !bcryptForm.test(password)) throw notBcrypt(path, index);
    passwords.set(name, password);
  }
  if (passwords.size === 0) throw notUsers(path, 0, 'no');
  return usersOf(passwords);
}

/** @param passwords by name, each in clear text or as its bcrypt hash */
function usersOf(passwords: ReadonlyMap<string, string>): Users {
  const all = [...passwords.values()];
  // Checked in the place of a name that is not there, so that the time it takes does not tell which names are.
  const decoy = all.find((password) => bcryptForm.test(password)) ?? randomBytes(32).toString('hex');
  // A hash costs a tenth of a second and a client asks a hundred times: what was right stays so. Kept without the password.
  const secret = randomBytes(32);
  const checks = new Map<string, Promise<boolean>>();
  return {
    hasClearText: all.some((password) => !bcryptForm.test(password)),
    matches(name, password) {
      const key = createHmac('sha256', secret)
        .update(JSON.stringify([name, password]))
        .digest('hex');
      const known = checks.get(key);
      if (known) return known;
      const expected = passwords.get(name);
      const check = isPassword(password, expected ?? decoy).then((right) => right && expected !== undefined);
      checks.set(key, check);
      const forget = () => checks.delete(key);
      check.then((right) => right || forget(), forget);
      return check;
    },
  };
}

async function isPassword(password: string, expected: string): Promise<boolean> {
  if (bcryptForm.test(expected)) return await (await import('bcryptjs')).compare(password, expected);
  return timingSafeEqual(sha256(password), sha256(expected));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function notUsers(path: string, index: number, what: string): TsbuildError {
  return new TsbuildError({
    code: 'registry-config',
    message: `${path} is not a list of users: line ${index + 1} has ${what} NAME:PASSWORD`,
    hint: 'Write one line NAME:PASSWORD for each user, every name once; htpasswd -B -c FILE NAME makes such a file.',
  });
}

function notBcrypt(path: string, index: number): TsbuildError {
  return new TsbuildError({
    code: 'registry-config',
    message: `line ${index + 1} of ${path} has a password hash that is not bcrypt`,
    hint: 'Make it with htpasswd -B (it begins with $2y$): the other hashes of htpasswd are too weak.',
  });
}
