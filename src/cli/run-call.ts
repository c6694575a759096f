/** `--check` and `--call`: what is said about a Dockerfile without building it. */
import { type BuildPorts, checkRequest } from '../builder/index.ts';
import { TsbuildError } from '../core/index.ts';
import type { BuildInvocation } from './args/build-request.ts';
import { hostPlatform } from './host-platform.ts';
import { excerpt } from './render-error.ts';
import type { Session } from './session.ts';
import { printable, styleFor, wantsColour } from './style.ts';
import { withWiring } from './wire.ts';

/** Prints the answer on stdout. Exit code 1 when a check found something. */
export async function runCall(invocation: BuildInvocation, session: Session): Promise<number> {
  const { method } = invocation.call;
  if (method === 'check') return await check(invocation, session);
  if (method === 'targets') return await targets(invocation, session);
  throw new TsbuildError({
    code: 'flag-invalid',
    message: `--call=${method} is not available yet`,
    hint: 'Use --call=check or --call=targets.',
  });
}

async function check({ request, call }: BuildInvocation, session: Session): Promise<number> {
  const { parsed, warnings } = await withPorts(session, (ports) => checkRequest(request, ports));
  const { stdout, env } = session;
  if (call.json) {
    const findings = warnings.map(({ code, message, range }) => ({ rule: code, message, file: parsed.file, range }));
    stdout.write(`${JSON.stringify({ warnings: findings }, null, 2)}\n`);
    return warnings.length > 0 ? 1 : 0;
  }
  const style = styleFor(wantsColour(env, stdout.isTTY));
  const columns = stdout.isTTY ? stdout.columns : 120;
  for (const { code, message, range } of warnings) {
    const lines = excerpt({ file: parsed.file, text: parsed.text, range }, style, columns);
    stdout.write(
      `${style.yellow.bold('warning')}: ${printable(message)} ${style.dim(`[${code}]`)}\n${lines.join('\n')}\n\n`,
    );
  }
  stdout.write(
    warnings.length === 0 ? 'Check complete, no warnings found.\n' : `Check complete, ${warnings.length} found.\n`,
  );
  return warnings.length > 0 ? 1 : 0;
}

async function targets({ request, call }: BuildInvocation, session: Session): Promise<number> {
  const { parsed } = await withPorts(session, (ports) => checkRequest(request, ports));
  const stages = parsed.stages.map((stage, index) => ({
    name: stage.from.name ?? String(index),
    base: stage.from.image.raw,
    default: index === parsed.stages.length - 1,
  }));
  if (call.json) session.stdout.write(`${JSON.stringify({ targets: stages }, null, 2)}\n`);
  else {
    const width = Math.max(6, ...stages.map(({ name }) => name.length));
    const lines = stages.map(
      (stage) => `${stage.name.padEnd(width)}  ${stage.base}${stage.default ? '  (default)' : ''}`,
    );
    session.stdout.write(`${['TARGET'.padEnd(width).concat('  BASE'), ...lines].map(printable).join('\n')}\n`);
  }
  return 0;
}

function withPorts<T>(session: Session, work: (ports: BuildPorts) => Promise<T>): Promise<T> {
  const events = () => {};
  return withWiring(session, events, async (wiring) => {
    const [store, baseImages] = await Promise.all([wiring.store(), wiring.baseImages()]);
    const delivery = await wiring.delivery(baseImages, hostPlatform());
    return await work({
      store,
      baseImages,
      delivery,
      events,
      now: session.now,
      stdout: session.stdoutStream,
      signal: session.signal,
    });
  });
}
