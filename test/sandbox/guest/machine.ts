/**
 * A virtual machine whose kernel has version 2 of control groups alone, and users of its own: what the machine of the
 * tests may not be, because that was decided when it started.
 * It is emulated (TCG) also where there is /dev/kvm: it starts in seconds, and nested virtualisation, where the tests
 * mostly run, may be slower than that by orders of magnitude, or not be there.
 * Invariant: it ends with the test process, however that ends, and leaves nothing.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { works } from '../../support/command.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { makeDisk } from './disk.ts';
import { fetchKernel } from './kernel.ts';
import type { GuestAnswer } from './protocol.ts';

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  /** Milliseconds. Default two minutes. */
  readonly timeout?: number;
}

export interface Guest extends AsyncDisposable {
  /** Runs a command as root of the guest, in its top control group. Resolves whatever the exit status. */
  run(argv: readonly string[], options?: CommandOptions): Promise<GuestAnswer>;
}

/** Why there can be no guest here; undefined when there can. */
export async function guestMissing(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'the disk of a virtual machine is made as root';
  if (process.arch !== 'x64') return `a virtual machine of ${process.arch} is not set up`;
  if (!(await works('qemu-system-x86_64'))) return 'qemu-system-x86 is not installed';
  return (await works('mkfs.ext4', ['-V'])) ? undefined : 'e2fsprogs is not installed';
}

/** Milliseconds. */
const longestStart = 120_000;

export async function startGuest(): Promise<Guest> {
  const folder = temporaryFolder('guest');
  try {
    for (const name of ['kernel', 'disk']) mkdirSync(folder.join(name));
    const kernel = await fetchKernel(folder.join('kernel'));
    const disk = await makeDisk(folder.join('disk'), kernel.modules);
    return await converse(kernel.image, disk, folder.join('console'), () => folder[Symbol.asyncDispose]());
  } catch (error) {
    await folder[Symbol.asyncDispose]();
    throw error;
  }
}

async function converse(
  kernel: string,
  disk: string,
  console: string,
  release: () => PromiseLike<void>,
): Promise<Guest> {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...hardware(kernel, disk, console)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const waiting = new Map<number, (answer: GuestAnswer | undefined) => void>();
  let next = 0;
  const ready = new Promise<void>((resolve, reject) => {
    child.on('exit', () => {
      reject(new Error(`the guest ended:\n${readFileSync(console, 'utf8')}`));
      for (const settle of waiting.values()) settle(undefined);
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line === 'ready') return resolve();
      const answer = JSON.parse(line) as GuestAnswer;
      waiting.get(answer.id)?.(answer);
      waiting.delete(answer.id);
    });
  });
  const impatience = setTimeout(() => child.kill('SIGKILL'), longestStart);
  try {
    await ready;
  } finally {
    clearTimeout(impatience);
  }
  return {
    async run(argv, { env = {}, input = '', timeout = 120_000 } = {}) {
      const id = next++;
      let timer: NodeJS.Timeout | undefined;
      const answered = new Promise<GuestAnswer | undefined>((resolve) => {
        waiting.set(id, resolve);
        timer = setTimeout(resolve, timeout, undefined);
      });
      child.stdin.write(`${JSON.stringify({ id, argv, env: { PATH: '/usr/bin', ...env }, input })}\n`);
      const answer = await answered;
      clearTimeout(timer);
      if (answer) return answer;
      throw new Error(`the guest did not answer to ${argv.join(' ')}\n${readFileSync(console, 'utf8')}`);
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
      await release();
    },
  };
}

/**
 * The first serial line is the kernel's, the second one the agent's. An old processor and no mitigations: what newer ones
 * have for speed takes longer where it is emulated.
 */
function hardware(kernel: string, disk: string, console: string): string[] {
  return [
    ...['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'Nehalem', '-smp', '2', '-m', '1536'],
    ...['-nodefaults', '-display', 'none', '-no-reboot'],
    ...['-drive', `file=${disk},format=raw,if=none,id=disk,cache=unsafe`, '-device', 'nvme,drive=disk,serial=1'],
    ...['-serial', `file:${console}`, '-chardev', 'stdio,id=agent,signal=off', '-serial', 'chardev:agent'],
    ...[
      '-kernel',
      kernel,
      '-append',
      'root=/dev/nvme0n1 rw init=/init console=ttyS0 quiet panic=-1 mitigations=off init_on_alloc=0',
    ],
  ];
}
