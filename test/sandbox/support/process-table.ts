/** What runs on this machine, to compare before with after. */
import { readdirSync, readFileSync } from 'node:fs';

/** Process IDs whose command line contains a text. */
export function processesWith(text: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && commandLine(pid).includes(text));
}

/** Mount points of this mount namespace that contain a text. */
export function mountsWith(text: string): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(text));
}

/** Waits until `condition` holds, looking often; false when it has not within the time. */
export async function until(condition: () => boolean, milliseconds = 10_000): Promise<boolean> {
  for (let waited = 0; waited < milliseconds; waited += 10) {
    if (condition()) return true;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return condition();
}

/** The helper's processes of a driver: servers, and the first process of each step, also of one to come. */
export function helpersOf(driver: string): { readonly servers: number[]; readonly inits: number[] } {
  const known = processesWith('tsbuild-sandbox serve');
  const servers = processesWith(driver)
    .flatMap(childrenOf)
    .filter((pid) => known.includes(pid));
  return { servers, inits: servers.flatMap(childrenOf) };
}

/** Children of a process. */
export function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === parent);
}

function parentOf(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return -1;
  }
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return '';
  }
}
