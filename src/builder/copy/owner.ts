/**
 * `--chown`: names are looked up in the /etc/passwd and /etc/group of the destination tree, numbers are taken as they are;
 * a user alone brings its own primary group, a number alone is both, and what is empty beside a colon is 0, as in BuildKit.
 * Invariant: files of an image are read in the tree, regular ones only, at most 10 MiB.
 */
import { bytePathFromText, type SourceLocation, TsbuildError } from '../../core/index.ts';
import type { Tree } from '../../layers/index.ts';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

const limit = 10 * 1024 * 1024;
/** The kernel's largest ID; the one above means "no ID". */
const largest = 0xfffffffe;

/**
 * The owner of what WORKDIR makes: as in BuildKit a name nobody has counts as none, for a USER needs no passwd entry until
 * something runs.
 */
export function resolveUser(text: string, destination: Tree): Promise<Owner> {
  return ownerOf(text, destination, (_what, _name, user) => user);
}

/**
 * @param destination undefined for `--link`, where there is no tree to look names up in
 * @throws TsbuildError `copy-owner-unknown`
 */
export function resolveOwner(text: string, destination: Tree | undefined, location?: SourceLocation): Promise<Owner> {
  return ownerOf(text, destination, (what, name) => {
    throw unknown(text, what, name, what === 'user' ? 'passwd' : 'group', destination !== undefined, location);
  });
}

/** Stands in for a name that is in no file. @param user what is known of the owner so far */
type Missing = (what: 'user' | 'group', name: string, user: Owner) => Owner;

async function ownerOf(text: string, destination: Tree | undefined, missing: Missing): Promise<Owner> {
  const colon = text.indexOf(':');
  const userText = colon < 0 ? text : text.slice(0, colon);
  const user = await userOf(userText);
  return colon < 0 ? user : { uid: user.uid, gid: await groupOf(text.slice(colon + 1), user) };

  async function userOf(name: string): Promise<Owner> {
    const number = numberOf(name || '0');
    if (number !== undefined) return { uid: number, gid: number };
    const line = await find('etc/passwd', name);
    const uid = numberOf(line?.[2] ?? '');
    const gid = numberOf(line?.[3] ?? '');
    if (uid !== undefined && gid !== undefined) return { uid, gid };
    if (name === 'root') return { uid: 0, gid: 0 };
    return missing('user', name, { uid: 0, gid: 0 });
  }

  async function groupOf(name: string, of: Owner): Promise<number> {
    const gid = numberOf(name || '0') ?? numberOf((await find('etc/group', name))?.[2] ?? '');
    if (gid !== undefined) return gid;
    if (name === 'root') return 0;
    return missing('group', name, of).gid;
  }

  async function find(file: string, name: string): Promise<readonly string[] | undefined> {
    const bytes = await destination?.readFile(bytePathFromText(file), limit);
    for (const line of bytes?.toString('utf8').split('\n') ?? []) {
      if (line.startsWith(`${name}:`)) return line.trim().split(':');
    }
    return undefined;
  }
}

function numberOf(text: string): number | undefined {
  if (!/^[0-9]{1,10}$/.test(text)) return undefined;
  const value = Number(text);
  return value <= largest ? value : undefined;
}

function unknown(
  text: string,
  what: string,
  name: string,
  file: string,
  hasTree: boolean,
  location: SourceLocation | undefined,
): TsbuildError {
  return new TsbuildError({
    code: 'copy-owner-unknown',
    message: hasTree
      ? `--chown=${text}: the ${what} ${JSON.stringify(name)} is not in /etc/${file} of the stage`
      : `--chown=${text}: with --link the ${what} ${JSON.stringify(name)} cannot be looked up, because nothing beneath is read`,
    hint: hasTree ? `Add the ${what} in an earlier instruction, or use a number.` : 'Use a number.',
    ...(location ? { source: location } : {}),
  });
}
