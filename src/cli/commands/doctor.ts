/** `tsbuild doctor`: what this machine can do, and what would enable the rest. */
import { homedir } from 'node:os';
import { machineFindings, probeRungs, type Rung } from '../../sandbox/index.ts';
import type { Command } from '../command.ts';
import { configPath } from '../ports/registry.ts';
import { storeRoot } from '../store-root.ts';
import { styleFor, wantsColour } from '../style.ts';

const explanations: Readonly<Record<Rung, string>> = {
  root: 'namespaces and overlayfs as root',
  userns: 'the same as an ordinary user, in a user namespace',
  chroot: 'chroot in a container without privileges: weaker',
  none: 'everything but RUN',
};

export const doctor: Command = {
  usage: 'doctor [OPTIONS]',
  about:
    'Tries each way of isolating RUN steps on this machine, best first, and says what would enable the ones that fail.',
  flags: [{ name: 'format', value: 'FORMAT', help: 'json' }],
  words: { least: 0, most: 0 },
  async run(flags, session) {
    const { stdout, env } = session;
    const reports = await probeRungs();
    const machine = await machineFindings();
    if (flags.text('format') === 'json') {
      stdout.write(`${JSON.stringify({ rungs: reports, machine }, null, 2)}\n`);
      return 0;
    }
    const style = styleFor(wantsColour(env, stdout.isTTY));
    const best = reports.find((report) => report.available);
    stdout.write(`Node        ${process.version}\n`);
    stdout.write(`Store       ${storeRoot(env, session.user, homedir())}\n`);
    stdout.write(`Settings    ${configPath(env)}\n`);
    stdout.write(`Isolation   ${best?.rung ?? 'none'}\n\n`);
    for (const { rung, available, findings } of reports) {
      const mark = available ? style.green('✔') : style.red('✘');
      stdout.write(`${mark} ${style.bold(rung.padEnd(7))} ${explanations[rung]}\n`);
      for (const { what, remedy } of findings) {
        stdout.write(`    ${what}\n`);
        if (remedy !== undefined) stdout.write(`    ${style.cyan('→')} ${remedy}\n`);
      }
    }
    stdout.write('\n');
    for (const { about, what, remedy } of machine) {
      stdout.write(`${style.bold(about.padEnd(9))} ${what}\n`);
      if (remedy !== undefined) stdout.write(`          ${style.cyan('→')} ${remedy}\n`);
    }
    return 0;
  },
};
