/**
 * Removes a folder with all below it, whatever a step or an archive left there: names of any bytes, folders without
 * permissions, paths deeper than the kernel takes in one call. Symlinks are removed, never followed.
 */
import { chmodSync, readdirSync, renameSync, rmdirSync, unlinkSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { systemErrorCode } from '../../core/index.ts';
import { storeFailure } from './failures.ts';

/** Longest path of a folder whose children can still be named within PATH_MAX (4096 with the NUL). */
const reach = 4095 - 256;

/** @throws TsbuildError of the store; a path that is not there is fine */
export async function removeTree(path: string): Promise<void> {
  try {
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
