/**
 * Locks of the kernel (flock(2)) on files in the store: held across processes, gone with the process that held them,
 * whatever killed it.
 * Invariant: a lock is held on the file that has the name now; one taken on a file that was deleted meanwhile is given
 * back and taken again, so that two holders never hold two different files of one name.
 */
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { cancelled, systemErrorCode, throwIfAborted } from '../../core/index.ts';
import type { NativeLayers } from '../native/addon.ts';
import { loadAddon } from '../native/load-addon.ts';
import { storeFailure } from './failures.ts';
import { withFolderOf } from './layout.ts';

export type LockMode = 'shared' | 'exclusive';

export class KernelLock implements Disposable {
  readonly fd: number;
  #held = true;

  constructor(fd: number) {
    this.fd = fd;
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    closeSync(this.fd);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/** Takes a lock if nobody holds one that excludes it. */
export function tryLock(path: string, mode: LockMode): KernelLock | undefined {
  const lock = lockFile(path, mode, openOrMake);
  return lock === 'held' || lock === 'absent' ? undefined : lock;
}

/** Like `tryLock`, but makes neither the file nor its folder: to look whether somebody holds it must leave no trace. */
export function tryLockExisting(path: string, mode: LockMode): KernelLock | 'held' | 'absent' {
  return lockFile(path, mode, openExisting);
}

/** Waits in place. Only for locks that are held for microseconds, never across an await. */
export function lockBriefly(path: string, mode: LockMode): KernelLock {
  for (let lock = tryLock(path, mode); ; lock = tryLock(path, mode)) {
    if (lock) return lock;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0.2);
  }
}

/** Waits, as long as it takes, without blocking the event loop. @throws TsbuildError `cancelled` */
export async function acquireLock(path: string, mode: LockMode, signal: AbortSignal): Promise<KernelLock> {
  for (let pause = 1; ; pause = Math.min(pause * 2, 50)) {
    throwIfAborted(signal);
    const lock = tryLock(path, mode);
    if (lock) return lock;
    try {
      await sleep(pause, undefined, { signal });
    } catch (error) {
      throw signal.aborted ? cancelled(signal) : error;
    }
  }
}

function lockFile(
  path: string,
  mode: LockMode,
  openFile: (path: string) => number | undefined,
): KernelLock | 'held' | 'absent' {
  // Loaded by the first lock, not by the import of this module: a command that takes none does not pay for it.
  const native = loadAddon<NativeLayers>();
  for (;;) {
    const fd = openFile(path);
    if (fd === undefined) return 'absent';
    let taken = false;
    try {
      if (!native.tryLock(fd, mode === 'exclusive' ? 1 : 0)) return 'held';
      taken = isStillNamed(fd, path);
      if (taken) return new KernelLock(fd);
    } finally {
      if (!taken) closeSync(fd);
    }
  }
}

function openOrMake(path: string): number {
  try {
    return withFolderOf(path, () => openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600));
  } catch (error) {
    throw storeFailure(error, `cannot open the lock ${path}`);
  }
}

function openExisting(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw storeFailure(error, `cannot open the lock ${path}`);
  }
}

function isStillNamed(fd: number, path: string): boolean {
  const named = statSync(path, { throwIfNoEntry: false });
  const held = fstatSync(fd);
  return named !== undefined && named.ino === held.ino && named.dev === held.dev;
}
