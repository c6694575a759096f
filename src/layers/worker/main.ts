/**
 * Entry of a worker thread (dist/layers-worker.js): runs one job at a time, mostly synchronous system calls.
 * Invariant: every request gets exactly one reply that ends it.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { TsbuildError } from '../../core/index.ts';
import type { JobControl } from './job-control.ts';
import { jobs } from './jobs.ts';
import { errorMessage, type JobReply, type JobRequest, type WorkerData } from './messages.ts';

type AnyJob = (input: unknown, control: JobControl) => unknown;

const { abort } = workerData as WorkerData;
const table: Readonly<Record<string, AnyJob>> = jobs as unknown as Record<string, AnyJob>;

parentPort?.on('message', (request: JobRequest) => {
  void answer(request);
});

async function answer({ number, job, input, tellsWritten }: JobRequest): Promise<void> {
  const control: JobControl = {
    throwIfAborted() {
      if (Atomics.load(abort, 0) === number) {
        throw new TsbuildError({ code: 'cancelled', message: 'the operation was cancelled' });
      }
    },
    ...(tellsWritten && { written: (bytes) => post({ kind: 'written', number, bytes }) }),
  };
  let reply: JobReply;
  try {
    control.throwIfAborted();
    const run = table[job];
    if (!run) throw new TsbuildError({ code: 'internal', message: `there is no job ${job}` });
    reply = { kind: 'done', number, output: await run(input, control) };
  } catch (error) {
    reply = { kind: 'failed', number, error: errorMessage(error) };
  }
  post(reply);
}

function post(reply: JobReply): void {
  parentPort?.postMessage(reply, reply.kind === 'done' ? transferable(reply.output) : []);
}

/** Bytes a job returns are handed over, not copied, when their memory is theirs alone. */
function transferable(output: unknown): ArrayBuffer[] {
  if (typeof output !== 'object' || output === null) return [];
  return Object.values(output)
    .filter((value): value is Uint8Array => value instanceof Uint8Array)
    .filter((bytes) => bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength)
    .map((bytes) => bytes.buffer as ArrayBuffer);
}
