/** The /etc/resolv.conf and /etc/hosts of a step. Pure: the host's files come in as text. */
import type { StepSpec } from './types.ts';

export function hostsFile(step: Pick<StepSpec, 'hostname' | 'extraHosts'>): string {
  const lines = ['127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost ip6-loopback'];
  if (step.hostname !== 'localhost') lines.push(`127.0.0.1\t${step.hostname}`);
  for (const { host, address } of step.extraHosts) lines.push(`${address}\t${host}`);
  return `${lines.join('\n')}\n`;
}

/**
 * In the host's network the host's resolvers are right as they are, one on its loopback included. In a network of
 * our own the connecting program answers at `forwarder` and asks the host's; search domains and options stay.
 */
export function resolvConf(host: string, network: 'host' | 'none' | { readonly forwarder: string }): string {
  if (network === 'none') return '# no network\n';
  if (network === 'host') return host === '' ? '# the host has none\n' : host;
  const kept = host.split('\n').filter((line) => /^(search|domain|options)\s/.test(line));
  return [`nameserver ${network.forwarder}`, ...kept, ''].join('\n');
}
