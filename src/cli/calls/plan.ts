/** `--call=plan`: the build graph without building it: stages, steps, what depends on what, and what makes each key. */
import { describePlan, type PlanDescription, planRequest, type StepDescription } from '../../builder/index.ts';
import type { BuildInvocation } from '../args/build-request.ts';
import type { Session } from '../session.ts';
import { cutToWidth, printable, type Style, styleFor, wantsColour } from '../style.ts';
import { withPorts } from './with-ports.ts';

export async function callPlan({ request, call }: BuildInvocation, session: Session): Promise<number> {
  const { stdout, env } = session;
  const plans = (await withPorts(session, (ports) => planRequest(request, ports))).map(describePlan);
  if (call.json) {
    stdout.write(`${JSON.stringify({ plans }, null, 2)}\n`);
    return 0;
  }
  const style = styleFor(wantsColour(env, stdout.isTTY));
  const columns = stdout.isTTY ? stdout.columns : 160;
  stdout.write(plans.map((plan) => planText(plan, style, columns)).join('\n'));
  return 0;
}

function planText({ platform, stages }: PlanDescription, style: Style, columns: number): string {
  const lines = [style.bold(`platform ${platform}`)];
  for (const stage of stages) {
    const marks = [...(stage.target ? ['target'] : []), ...(stage.ignoreCache ? ['no cache'] : [])];
    const mark = marks.length > 0 ? ` (${marks.join(', ')})` : '';
    lines.push('', `${style.cyan(`stage ${printable(stage.name)}`)}${mark} from ${printable(stage.base)}`);
    for (const step of stage.steps) lines.push(...stepLines(step, style, columns));
  }
  return `${lines.join('\n')}\n`;
}

function stepLines({ title, line, dependsOn, key }: StepDescription, style: Style, columns: number): string[] {
  const { kind: _, ...operation } = key.operation;
  const parts = Object.entries(operation).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return [
    `  ${printable(title)} ${style.dim(`line ${line}`)}`,
    `      after  ${printable(dependsOn.join(', ') || 'nothing')}`,
    ...parts.map((part, index) => cutToWidth(`      ${index === 0 ? 'key  ' : '     '}  ${printable(part)}`, columns)),
  ];
}
