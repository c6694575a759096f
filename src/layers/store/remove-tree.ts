/**
 * Removes a folder with all below it, whatever a step or an archive left there: names of any bytes, folders without
 * permissions, paths deeper than the kernel takes in one call. Symlinks are removed, never followed.
 */
import { chmodSync, lstatSync, readdirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { systemErrorCode } from '../../core/index.ts';
import { storeFailure } from './failures.ts';

/** Longest path of a folder whose children can still be named within PATH_MAX (4096 with the NUL). */
const reach = 4095 - 256;

/** Up to so many names are removed in place: a way through libuv's threads for each takes longer than they do. */
const mostInPlace = 32;
/** Of a folder itself, bytes: it holds, or held, so many names that listing them takes its time. */
const largestFolder = 16 * 1024;

/** @throws TsbuildError of the store; a path that is not there is fine */
export async function removeTree(path: string): Promise<void> {
  try {
    if (removeInPlace(Buffer.from(path), { left: mostInPlace })) return;
    await rm(path, { recursive: true, force: true, maxRetries: 2 });
    return;
  } catch (error) {
    const code = systemErrorCode(error) ?? '';
    if (!['EACCES', 'EPERM', 'ENAMETOOLONG', 'ENOTEMPTY', 'EBUSY'].includes(code)) {
      throw storeFailure(error, `cannot remove ${path}`);
    }
  }
  try {
    new StubbornRemoval(path).run();
  } catch (error) {
    throw storeFailure(error, `cannot remove ${path}`);
  }
}

/** @returns false when something is left, because there is more than a little or it is not that simple */
function removeInPlace(path: Buffer, allowance: { left: number }): boolean {
  try {
    const status = lstatSync(path);
    if (!status.isDirectory() || status.size > largestFolder) return false;
    const children = readdirSync(path, { withFileTypes: true, encoding: 'buffer' });
    allowance.left -= children.length;
    if (allowance.left < 0) return false;
    for (const child of children) {
      const childPath = Buffer.concat([path, Buffer.from('/'), child.name]);
      if (!child.isDirectory()) unlinkSync(childPath);
      else if (!removeInPlace(childPath, allowance)) return false;
    }
    rmdirSync(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    return false;
  }
}

/** Opens what is closed and lifts what is too deep to the top. Slow, so only for trees that need it. */
class StubbornRemoval {
  readonly #top: Buffer;
  readonly #lifted: Buffer[] = [];
  #count = 0;

  constructor(path: string) {
    this.#top = Buffer.from(path);
  }

  run(): void {
    this.#empty(this.#top);
    for (let next = this.#lifted.pop(); next !== undefined; next = this.#lifted.pop()) this.#removeFolder(next);
    removeQuietly(() => rmdirSync(this.#top));
  }

  #removeFolder(path: Buffer): void {
    this.#empty(path);
    removeQuietly(() => rmdirSync(path));
  }

  #empty(path: Buffer): void {
    removeQuietly(() => chmodSync(path, 0o700));
    let children: { readonly name: Buffer; isDirectory(): boolean }[] = [];
    removeQuietly(() => {
      children = readdirSync(path, { withFileTypes: true, encoding: 'buffer' });
    });
    for (const child of children) {
      const childPath = Buffer.concat([path, Buffer.from('/'), child.name]);
      if (!child.isDirectory()) removeQuietly(() => unlinkSync(childPath));
      else if (path.length > reach - 256) this.#lift(childPath);
      else this.#removeFolder(childPath);
    }
  }

  #lift(path: Buffer): void {
    this.#count += 1;
    const place = Buffer.concat([this.#top, Buffer.from(`/.lifted-${process.pid}-${this.#count}`)]);
    removeQuietly(() => {
      renameSync(path, place);
      this.#lifted.push(place);
    });
  }
}

/** Another process may be removing the same tree. */
function removeQuietly(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
}
