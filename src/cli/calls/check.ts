/**
 * `--check` and `--call=check`: what the build checks find, without building. The JSON is of BuildKit's shape; a mistake
 * that keeps the Dockerfile from being read is its `buildError`.
 */
import { checkRequest } from '../../builder/index.ts';
import { isTsbuildError, type TsbuildError } from '../../core/index.ts';
import type { BuildInvocation } from '../args/build-request.ts';
import { excerpt } from '../render-error.ts';
import { rulePage } from '../rule-page.ts';
import type { Session } from '../session.ts';
import { printable, styleFor, wantsColour } from '../style.ts';
import { jsonLocation, jsonSource } from './location.ts';
import { withPorts } from './with-ports.ts';

/** Exit code 1 when a check found something. */
export async function callCheck(invocation: BuildInvocation, session: Session): Promise<number> {
  return invocation.call.json ? await checkAsJson(invocation, session) : await checkAsText(invocation, session);
}

async function checkAsJson({ request }: BuildInvocation, { stdout, ...session }: Session): Promise<number> {
  const print = (document: unknown) => stdout.write(`${JSON.stringify(document, null, 2)}\n`);
  try {
    const { parsed, warnings } = await withPorts({ ...session, stdout }, (ports) => checkRequest(request, ports));
    print({
      warnings: warnings.map(({ code, message, range }) => ({
        ruleName: code,
        url: rulePage(code),
        detail: message,
        location: jsonLocation(range),
      })),
      sources: [{ filename: parsed.file, language: 'Dockerfile', data: jsonSource(parsed.text) }],
    });
    return warnings.length > 0 ? 1 : 0;
  } catch (error) {
    if (!isTsbuildError(error) || !error.source) throw error;
    print(asBuildError(error, error.source));
    return 1;
  }
}

function asBuildError(
  { code, message, hint }: TsbuildError,
  { file, text, range }: NonNullable<TsbuildError['source']>,
) {
  return {
    warnings: [],
    sources: [{ filename: file, language: 'Dockerfile', data: jsonSource(text) }],
    buildError: { code, message, ...(hint !== undefined && { hint }), location: jsonLocation(range) },
  };
}

async function checkAsText({ request }: BuildInvocation, session: Session): Promise<number> {
  const { parsed, warnings } = await withPorts(session, (ports) => checkRequest(request, ports));
  const { stdout, env } = session;
  const style = styleFor(wantsColour(env, stdout.isTTY));
  const columns = stdout.isTTY ? stdout.columns : 120;
  for (const { code, message, hint, range } of warnings) {
    const lines = [
      `${style.yellow.bold('warning')}: ${printable(message)} ${style.dim(`[${code}]`)}`,
      ...excerpt({ file: parsed.file, text: parsed.text, range }, style, columns),
      `${style.cyan.bold('hint')}: ${hint === undefined ? '' : `${printable(hint)} `}See ${rulePage(code)}.`,
    ];
    stdout.write(`${lines.join('\n')}\n\n`);
  }
  stdout.write(
    warnings.length === 0 ? 'Check complete, no warnings found.\n' : `Check complete, ${warnings.length} found.\n`,
  );
  return warnings.length > 0 ? 1 : 0;
}
