/**
 * Uploads underway: a session has a draft file that grows until its digest is known. Sessions live in this process; one
 * that nobody touched for an hour is dropped.
 * Invariant: no draft outlives its session, and no session the server.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Refusal } from './answer.ts';

const idleLimit = 60 * 60_000;
const maxSessions = 1000;

export interface Upload {
  readonly id: string;
  readonly repository: string;
  /** Bytes received. */
  readonly size: number;
  append(bytes: AsyncIterable<Uint8Array>): Promise<void>;
  read(): AsyncIterable<Uint8Array>;
}

export class UploadSessions {
  readonly #parent: string;
  readonly #open = new Map<string, Draft>();
  #folder: Promise<string> | undefined;

  /** @param parent folder for drafts, on the file system of the storage if possible */
  constructor(parent: string) {
    this.#parent = parent;
  }

  async start(repository: string, now: number): Promise<Upload> {
    for (const draft of [...this.#open.values()]) if (now - draft.touched > idleLimit) await this.end(draft.id);
    if (this.#open.size >= maxSessions) throw new Refusal(429, 'TOOMANYREQUESTS', 'too many uploads underway');
    this.#folder ??= mkdtemp(join(this.#parent, 'tsbuild-serve-'));
    const id = randomUUID();
    const path = join(await this.#folder, id);
    const draft = new Draft(id, repository, path, await open(path, 'wx', 0o600), now);
    this.#open.set(id, draft);
    return draft;
  }

  find(id: string, repository: string, now: number): Upload {
    const draft = this.#open.get(id);
    if (draft?.repository !== repository) throw new Refusal(404, 'BLOB_UPLOAD_UNKNOWN', 'no such upload');
    draft.touched = now;
    return draft;
  }

  async end(id: string): Promise<void> {
    const draft = this.#open.get(id);
    this.#open.delete(id);
    await draft?.remove();
  }

  async close(): Promise<void> {
    for (const id of [...this.#open.keys()]) await this.end(id);
    if (this.#folder) await rm(await this.#folder, { recursive: true, force: true });
    this.#folder = undefined;
  }
}

class Draft implements Upload {
  readonly id: string;
  readonly repository: string;
  readonly #path: string;
  readonly #file: FileHandle;
  size = 0;
  touched: number;
  #busy = false;

  constructor(id: string, repository: string, path: string, file: FileHandle, now: number) {
    this.id = id;
    this.repository = repository;
    this.#path = path;
    this.#file = file;
    this.touched = now;
  }

  async append(bytes: AsyncIterable<Uint8Array>): Promise<void> {
    if (this.#busy) throw new Refusal(416, 'BLOB_UPLOAD_INVALID', 'another request is writing to this upload');
    this.#busy = true;
    try {
      for await (const chunk of bytes) {
        await this.#file.write(chunk, 0, chunk.byteLength, this.size);
        this.size += chunk.byteLength;
      }
    } finally {
      this.#busy = false;
    }
  }

  read(): AsyncIterable<Uint8Array> {
    return createReadStream(this.#path, { end: Math.max(0, this.size - 1), highWaterMark: 1024 * 1024 });
  }

  async remove(): Promise<void> {
    await this.#file.close();
    await rm(this.#path, { force: true });
  }
}
