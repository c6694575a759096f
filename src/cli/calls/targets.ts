/** `--call=targets`: the stages of the Dockerfile, with what their comments say of them. */
import { checkRequest, describedAs } from '../../builder/index.ts';
import type { BuildInvocation } from '../args/build-request.ts';
import type { Session } from '../session.ts';
import { jsonLocation, jsonSource } from './location.ts';
import { table } from './print-table.ts';
import { withPorts } from './with-ports.ts';

export async function callTargets({ request, call }: BuildInvocation, session: Session): Promise<number> {
  const { parsed } = await withPorts(session, (ports) => checkRequest(request, ports));
  const stages = parsed.stages.map(({ from }, index) => ({
    name: from.name ?? '',
    description: describedAs(from, from.nameWord?.raw ?? '') ?? '',
    isDefault: index === parsed.stages.length - 1,
    from,
  }));
  if (call.json) {
    const targets = stages.map(({ name, description, isDefault, from }) => ({
      ...(name !== '' && { name }),
      ...(isDefault && { default: true }),
      ...(description !== '' && { description }),
      base: from.image.raw,
      ...(from.platform && { platform: from.platform.raw }),
      location: jsonLocation(from.range),
    }));
    session.stdout.write(`${JSON.stringify({ targets, sources: [jsonSource(parsed.text)] }, null, 2)}\n`);
    return 0;
  }
  const rows = stages.map(({ name, description, isDefault, from }, index) => [
    [name === '' && !isDefault ? String(index) : name, ...(isDefault ? ['(default)'] : [])].filter(Boolean).join(' '),
    from.image.raw,
    description,
  ]);
  session.stdout.write(table([['TARGET', 'BASE', 'DESCRIPTION'], ...rows]));
  return 0;
}
