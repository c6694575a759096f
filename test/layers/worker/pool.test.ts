import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type BytePath, isTsbuildError } from '../../../src/core/index.ts';
import { digestOf } from '../../../src/image/index.ts';
import type { LayerEntry } from '../../../src/layers/types.ts';
import { createWorkerPool, type WorkerPool } from '../../../src/layers/worker/pool.ts';
import { temporaryFolder } from '../../support/layer-trees.ts';

let folder: ReturnType<typeof temporaryFolder>;
let pool: WorkerPool;
const { signal } = new AbortController();

beforeEach(() => {
  folder = temporaryFolder('pool');
  pool = createWorkerPool(2);
});

afterEach(async () => {
  await pool.close();
  folder.remove();
});

const bytes = (text: string) => ({ contents: [{ kind: 'bytes' as const, bytes: Buffer.from(text) }] });

async function codeOf(task: Promise<unknown>): Promise<string> {
  try {
    await task;
  } catch (error) {
    if (isTsbuildError(error)) return error.code;
    throw error;
  }
  return 'nothing thrown';
}

/** A job that takes seconds: a file of 20 GB, all hole. */
function longJob(abort: AbortSignal): Promise<unknown> {
  const path = join(folder.path, 'huge');
  writeFileSync(path, '');
  truncateSync(path, 20 * 1024 ** 3);
  return pool.run('hashContents', { contents: [{ kind: 'file', root: folder.path, path: 'huge' as BytePath }] }, abort);
}

describe('a pool of workers', () => {
  test('gives every caller its own result, however many there are', async () => {
    const texts = Array.from({ length: 200 }, (_, i) => `text ${i}`);
    const results = await Promise.all(texts.map((text) => pool.run('hashContents', bytes(text), signal)));
    expect(results.map(({ digests }) => digests[0])).toEqual(texts.map((text) => digestOf(text)));
  });

  test('hands on failures as TsbuildErrors with code, message and hint', async () => {
    const content = { kind: 'file', root: folder.path, path: 'missing' as BytePath } as const;
    const failure = await pool.run('hashContents', { contents: [content] }, signal).catch((error: unknown) => error);
    expect(isTsbuildError(failure)).toBe(true);
    expect(failure).toMatchObject({ code: 'layer-source-changed', message: `${folder.path}/missing is gone` });
    expect((failure as { hint?: string }).hint).toContain('again');
    expect(await codeOf(pool.run('hashContents', bytes('next'), signal))).toBe('nothing thrown');
  });

  test('writes a layer of 20,000 entries', async () => {
    const entries = Array.from(
      { length: 20_000 },
      (_, i): LayerEntry => ({
        path: `file-${String(i).padStart(5, '0')}` as BytePath,
        kind: 'file',
        mode: 0o644,
        uid: 0,
        gid: 0,
        size: 1,
        mtime: 0n,
        content: { kind: 'bytes', bytes: Buffer.from('x') },
      }),
    );
    const { size } = await pool.run('writeLayer', { entries, draft: join(folder.path, 'draft') }, signal);
    expect(size).toBe(20_000 * 1024 + 1024);
  });

  test('stops a job when its signal aborts, and goes on with others', async () => {
    const controller = new AbortController();
    const long = longJob(controller.signal);
    expect(await codeOf(pool.run('hashContents', bytes('beside it'), signal))).toBe('nothing thrown');
    controller.abort();
    expect(await codeOf(long)).toBe('cancelled');
    for (const text of ['a', 'b', 'c'])
      expect(await codeOf(pool.run('hashContents', bytes(text), signal))).toBe('nothing thrown');
  });

  test('never starts a job whose signal aborted while it waited', async () => {
    await pool.close();
    pool = createWorkerPool(1);
    const [running, waiting] = [new AbortController(), new AbortController()];
    const long = longJob(running.signal);
    const draft = join(folder.path, 'never');
    const queued = pool.run('writeLayer', { entries: [], draft }, waiting.signal);
    waiting.abort();
    expect(await codeOf(queued)).toBe('cancelled');
    running.abort();
    expect(await codeOf(long)).toBe('cancelled');
    expect(await codeOf(pool.run('writeLayer', { entries: [], draft }, signal))).toBe('nothing thrown');
    expect(await codeOf(pool.run('hashContents', bytes('x'), AbortSignal.abort()))).toBe('cancelled');
  });

  test('ends everything when it is closed', async () => {
    const long = codeOf(longJob(signal));
    await pool.close();
    expect(await long).toBe('cancelled');
    expect(await codeOf(pool.run('hashContents', bytes('late'), signal))).toBe('internal');
  });
});
