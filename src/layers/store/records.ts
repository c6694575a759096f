/**
 * Small JSON values by room and key: what steps made, which compressed form a layer has. A cache: any of it may vanish.
 *
 * One file each. A log to which all processes append would be written faster (libraries.md), but a build writes tens of
 * records and reads tens out of perhaps 20,000, and reading one of a log means parsing all of it.
 * Invariants: a record appears only after every blob that was pending when it was put is on the disk, so a hit never
 * names a blob that a power loss took; and each carries the digest of its own bytes, so one that a power loss left half
 * written is no record. For that reason records are not synced.
 */
import { createHash } from 'node:crypto';
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isTsbuildError, systemErrorCode, TsbuildError } from '../../core/index.ts';
import { storeFailure } from './failures.ts';
import { type Layout, withFolderOf } from './layout.ts';
import type { PendingBlobs } from './pending-blobs.ts';
import type { Presence } from './presence.ts';

const checkLength = 32;

export class Records {
  readonly #layout: Layout;
  readonly #presence: Presence;
  readonly #pending: PendingBlobs;
  /** Put and not yet written: path to text. */
  readonly #queue = new Map<string, string>();
  #writing: Promise<void> | undefined;
  #failure: unknown;

  constructor(layout: Layout, presence: Presence, pending: PendingBlobs) {
    this.#layout = layout;
    this.#presence = presence;
    this.#pending = pending;
  }

  /** Undefined when there is none or it is damaged. */
  get(room: string, key: string): unknown {
    const path = recordPath(this.#layout, room, key);
    const text = this.#queue.get(path) ?? readText(path);
    return text === undefined ? undefined : parseRecord(text);
  }

  /** Seen by this process at once, by others after the blobs it may name are safe. Does not wait for that. */
  put(room: string, key: string, value: unknown): void {
    const path = recordPath(this.#layout, room, key);
    this.#queue.set(path, formatRecord(value));
    this.#writing ??= this.#drain().catch((error: unknown) => {
      this.#failure ??= error;
    });
  }

  /** Resolves when all that was put is written. @throws TsbuildError the first reason why a record could not be */
  async settle(): Promise<void> {
    await this.#writing;
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
  }

  async #drain(): Promise<void> {
    try {
      while (this.#queue.size > 0) {
        const batch = [...this.#queue];
        const blobsAreSafe = await this.#pending.drained();
        for (const [path, text] of batch) {
          if (blobsAreSafe) this.#write(path, text);
          if (this.#queue.get(path) === text) this.#queue.delete(path);
        }
      }
    } finally {
      this.#writing = undefined;
    }
  }

  #write(path: string, text: string): void {
    const draft = this.#presence.draft();
    try {
      writeFileSync(draft, text, { mode: 0o600, flag: 'wx' });
      withFolderOf(path, () => renameSync(draft, path));
    } catch (error) {
      throw storeFailure(error, `cannot write the record ${path}`);
    }
  }
}

/** @throws TsbuildError `internal` for a room or key that is no plain name: they become file names */
export function recordPath(layout: Layout, room: string, key: string): string {
  if (!/^[a-z][a-z0-9-]*$/.test(room) || !/^[0-9a-z][0-9a-z._-]{0,199}$/.test(key)) {
    throw new TsbuildError({ code: 'internal', message: `${JSON.stringify(`${room}/${key}`)} cannot name a record` });
  }
  return join(layout.cache, room, key);
}

/** The JSON of a record's text; undefined when it is damaged. */
export function parseRecord(text: string): unknown {
  const body = text.slice(checkLength + 1);
  if (text[checkLength] !== '\n' || checkOf(body) !== text.slice(0, checkLength)) return undefined;
  return JSON.parse(body);
}

function formatRecord(value: unknown): string {
  const body = JSON.stringify(value ?? null);
  return `${checkOf(body)}\n${body}`;
}

function checkOf(body: string): string {
  return createHash('sha256').update(body).digest('hex').slice(0, checkLength);
}

function readText(path: string): string | undefined {
  try {
    // Most are looked for where there is none, and an exception takes longer than a look.
    if (statSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return undefined;
    throw isTsbuildError(error) ? error : storeFailure(error, `cannot read the record ${path}`);
  }
}
