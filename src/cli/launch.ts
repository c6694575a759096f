#!/usr/bin/env node
/**
 * Starts the program (`main.ts`: one bundle, and a smaller one for commands that only ask something) with the machine code
 * V8 made of it when the same command last ran: reading that is several times faster than compiling the bundle again. So
 * does undici, when the program asks for it. The code lies beside each bundle, one file per command, for each command uses
 * other parts; where the folder cannot be written, every start compiles.
 * Invariant: the code is taken only by the bundle, the Node version and the V8 flags that made it. A bundle's name holds
 * its digest, the code's name the version; V8 itself refuses other flags and files cut short; and the file is synced before
 * it has its name, so that a power loss leaves none with holes.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Script } from 'node:vm';
import { commandNamed } from './command-names.ts';
import { compileWasmOnce, endPatience } from './engine-flags.ts';

/** File names of the program and of the one for `QUERIES`, each one function expression; the build sets them. */
declare const PROGRAM: string;
declare const QUERY: string;
declare const QUERIES: readonly string[];

compileWasmOnce();
const command = commandNamed(process.argv[2] ?? '') ?? 'build';
const program = join(__dirname, QUERIES.includes(command) ? QUERY : PROGRAM);
const partsOfUndici = new Map<string, { exports: unknown }>();

load(program, (text) => text)(requireBundle, program);

/** The program's `require`. */
function requireBundle(id: string): unknown {
  if (!id.startsWith('./undici-')) return require(id);
  const known = partsOfUndici.get(id);
  if (known) return known.exports;
  // Its code was kept under the usual flags.
  endPatience();
  const part: { exports: unknown } = { exports: {} };
  partsOfUndici.set(id, part);
  load(join(__dirname, id), (text) => `(function (require, module, exports) {${text}\n})`)(require, part, part.exports);
  return part.exports;
}

function load(path: string, asFunction: (text: string) => string): (...given: unknown[]) => unknown {
  const codePath = `${path}.${process.version}-${process.arch}.${command}.code`;
  const cachedData = readIfThere(codePath);
  // The bundles are ASCII: read as latin1, they are one byte a character in memory too.
  const text = asFunction(readFileSync(path, 'latin1'));
  const script = new Script(text, { filename: path, ...(cachedData && { cachedData }) });
  if (cachedData === undefined || script.cachedDataRejected)
    process.once('exit', (status) => keepCode(script, codePath, status));
  return script.runInThisContext();
}

/** At the end, when all that the command uses has been compiled. */
function keepCode(script: Script, codePath: string, status: number): void {
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
