/** The /etc/resolv.conf and /etc/hosts of a step. Pure: the host's files come in as text. */
import type { StepSpec } from './types.ts';

export function hostsFile(step: Pick<StepSpec, 'hostname' | 'extraHosts'>): string {
  const lines = ['127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost ip6-loopback'];
  if (step.hostname !== 'localhost') lines.push(`127.0.0.1\t${step.hostname}`);
  for (const { host, address } of step.extraHosts) lines.push(`${address}\t${host}`);
  return `${lines.join('\n')}\n`;
}

/** In the host's network the host's resolvers are right as they are, a resolver on its loopback included. */
export function resolvConf(host: string, network: 'host' | 'none'): string {
  return network === 'none' ? '# no network\n' : host === '' ? '# the host has none\n' : host;
}
