// Runs jobs of the built worker in this process's namespaces and prints their outputs. argv: jobs as JSON.
import { Worker } from 'node:worker_threads';

const [worker, jobs] = [process.argv[2], JSON.parse(process.argv[3])];
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
