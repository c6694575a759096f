/**
 * Runs one step on this process's own streams, which may be a terminal: rung, folder, script, then what is attached, `input`
 * and `terminal`. Prints the step's exit as its last line.
 */
import { mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { isTsbuildError } from '../../../src/core/index.ts';
import { hostFacts } from '../../../src/sandbox/host-facts.ts';
import { type RootFs, type Rung, reexecInUserNamespace, wantsUserNamespace } from '../../../src/sandbox/index.ts';
import { NamespaceSandbox } from '../../../src/sandbox/namespace-sandbox.ts';
import { makeBaseRoot } from './base-root.ts';

const [isolation, folder, script, ...attached] = process.argv.slice(2) as [
  Exclude<Rung, 'none'>,
  string,
  string,
  ...string[],
];

if (wantsUserNamespace(isolation, process.env)) {
  const { argv, execPath, execArgv } = process;
  process.exit(await reexecInUserNamespace({ argv: [execPath, ...execArgv, ...argv.slice(1)], env: process.env }));
}

const place = mkdtempSync(join(folder, 'attached-'));
const base = makeBaseRoot(join(place, 'base'));
const [upper, work] = [join(place, 'upper'), join(place, 'work')];
for (const path of [upper, work]) mkdirSync(path);
const rootfs: RootFs =
  isolation === 'chroot' ? { kind: 'directory', path: base } : { kind: 'overlay', lowers: [base], upper, work };
const sandbox = new NamespaceSandbox({ rung: isolation, singleId: hostFacts().singleId, events: () => {} });
try {
  const { exit } = await sandbox.run(
    {
      rootfs,
      args: ['/bin/sh', '-c', script],
      env: ['PATH=/bin:/usr/bin', 'PS1=step> '],
      cwd: '/',
      user: '',
      hostname: 'buildhost',
      network: 'host',
      security: 'sandbox',
      mounts: [],
      extraHosts: [],
      limits: {},
    },
    {
      signal: new AbortController().signal,
      attach: { input: attached.includes('input'), terminal: attached.includes('terminal') },
      onOutput: (stream, chunk) => process[stream].write(chunk),
    },
  );
  console.log(`ended: ${JSON.stringify(exit)}`);
} catch (error) {
  console.log(`ended: ${isTsbuildError(error) ? error.code : String(error)}`);
} finally {
  await sandbox.close();
}
