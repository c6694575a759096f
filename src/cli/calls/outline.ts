/** `--call=outline`: the arguments, secrets and SSH agents the target takes, as BuildKit prints and writes them. */
import { type Outline, outlineRequest } from '../../builder/index.ts';
import type { BuildInvocation } from '../args/build-request.ts';
import type { Session } from '../session.ts';
import { printable } from '../style.ts';
import { jsonLocation, jsonSource } from './location.ts';
import { table } from './print-table.ts';
import { withPorts } from './with-ports.ts';

export async function callOutline({ request, call }: BuildInvocation, session: Session): Promise<number> {
  const { outline, parsed } = await withPorts(session, (ports) => outlineRequest(request, ports));
  session.stdout.write(call.json ? outlineJson(outline, parsed.text) : outlineText(outline));
  return 0;
}

function outlineJson({ name, description, args, secrets, ssh }: Outline, text: string): string {
  const mounts = (all: Outline['secrets']) =>
    all.map(({ id, required, range }) => ({
      name: id,
      ...(required && { required }),
      location: jsonLocation(range),
    }));
  const document = {
    ...(name !== undefined && { name }),
    ...(description !== undefined && { description }),
    ...(args.length > 0 && {
      args: args.map(({ range, ...argument }) => ({ ...argument, location: jsonLocation(range) })),
    }),
    ...(secrets.length > 0 && { secrets: mounts(secrets) }),
    ...(ssh.length > 0 && { ssh: mounts(ssh) }),
    sources: [jsonSource(text)],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function outlineText({ name, description, args, secrets, ssh }: Outline): string {
  const parts: string[] = [];
  if (name !== undefined || description !== undefined) {
    const lines = [
      `TARGET:      ${name ?? '(default)'}`,
      ...(description === undefined ? [] : [`DESCRIPTION: ${description}`]),
    ];
    parts.push(`${lines.map(printable).join('\n')}\n`);
  }
  if (args.length > 0) {
    const rows = args.map(({ name: argument, value = '', description: about = '' }) => [argument, value, about]);
    parts.push(table([['BUILD ARG', 'VALUE', 'DESCRIPTION'], ...rows]));
  }
  for (const [title, mounts] of [['SECRET', secrets] as const, ['SSH', ssh] as const]) {
    if (mounts.length === 0) continue;
    parts.push(table([[title, 'REQUIRED'], ...mounts.map(({ id, required }) => [id, required ? 'true' : ''])]));
  }
  return parts.length === 0 ? 'The target takes no arguments, secrets or SSH agents.\n' : parts.join('\n');
}
