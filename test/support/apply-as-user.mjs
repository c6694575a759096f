// Runs jobs of the built worker in this process's namespaces and prints their outputs. argv: the worker, a file of jobs as JSON.
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';

const [worker, jobs] = [process.argv[2], JSON.parse(readFileSync(process.argv[3], 'utf8'))];
const thread = new Worker(worker, {
  workerData: { abort: new Int32Array(new SharedArrayBuffer(4)) },
  trackUnmanagedFds: false,
});
const replies = [];
for (const [i, [job, input]] of jobs.entries()) {
  thread.postMessage({ number: i + 1, job, input });
  replies.push(await new Promise((resolve) => thread.once('message', resolve)));
}
console.log(JSON.stringify(replies));
await thread.terminate();
