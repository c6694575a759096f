/** Runs in the guest: one command for each line it reads, any number at once; says `ready` first. Ends with its input. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import type { GuestAnswer, GuestRequest } from './protocol.ts';

async function serve({ id, argv, env, input }: GuestRequest): Promise<GuestAnswer> {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { cwd: '/', env, stdio: 'pipe' });
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? 'SIGKILL']));
  });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  try {
    const [stdout, stderr, code] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
    return { id, code, stdout, stderr };
  } catch (error) {
    return { id, code: 127, stdout: '', stderr: String(error) };
  }
}

createInterface({ input: process.stdin }).on('line', async (line) => {
  process.stdout.write(`${JSON.stringify(await serve(JSON.parse(line) as GuestRequest))}\n`);
});
process.stdout.write('ready\n');
