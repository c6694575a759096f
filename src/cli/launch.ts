#!/usr/bin/env node
/**
 * Starts the program (`main.ts`, one bundle) with the machine code V8 made of it when the same command last ran: reading
 * that is several times faster than compiling the bundle again. The code lies beside the bundle, one file per command, for
 * each command uses other parts; where the folder cannot be written, every start compiles.
 * Invariant: the code is taken only by the bundle, the Node version and the V8 flags that made it. The bundle's name holds
 * its digest, the code's name the version; V8 itself refuses other flags and files cut short; and the file is synced before
 * it has its name, so that a power loss leaves none with holes.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { commandNamed } from './command-names.ts';

/** File name of the bundle, which is one function expression; the build sets it. */
declare const PROGRAM: string;

const program = join(__dirname, PROGRAM);
const command = commandNamed(process.argv[2] ?? '') ?? 'build';
const codePath = `${program}.${process.version}-${process.arch}.${command}.code`;

const cachedData = readIfThere(codePath);
// The bundle is ASCII: read as latin1, it is one byte a character in memory too.
const script = new Script(readFileSync(program, 'latin1'), { filename: program, ...(cachedData && { cachedData }) });
if (cachedData === undefined || script.cachedDataRejected) process.once('exit', keepCode);
script.runInThisContext()(require, program);

/** At the end, when all that the command uses has been compiled. */
function keepCode(status: number): void {
  if (status !== 0) return;
  const draft = `${codePath}.${process.pid}`;
  try {
    writeFileSync(draft, script.createCachedData(), { flag: 'wx', flush: true });
    renameSync(draft, codePath);
  } catch {
    // Nothing is lost but the time it would have saved.
    rmSync(draft, { force: true });
  }
}

function readIfThere(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch {
    return undefined;
  }
}
