/** EXPOSE's port notation, `[[ip:]hostPort:]port[-port][/protocol]`, into the `port/protocol` keys of a configuration. */
import { nearest, suggestion } from '../../core/index.ts';

const protocols = ['tcp', 'udp', 'sctp'];

/** The ports in ascending order, or what is wrong with the text. */
export function parsePorts(text: string): readonly string[] | string {
  const slash = text.indexOf('/');
  const protocol = (slash < 0 ? '' : text.slice(slash + 1)).toLowerCase() || 'tcp';
  if (!protocols.includes(protocol)) {
    const near = nearest(protocol, protocols);
    return `the protocol ${JSON.stringify(text.slice(slash + 1))} is not tcp, udp or sctp${suggestion(near)}`;
  }
  const address = slash < 0 ? text : text.slice(0, slash);
  const container = address.slice(address.lastIndexOf(':') + 1);
  const match = /^(\d+)(?:-(\d+))?$/.exec(container);
  if (!match) return `${JSON.stringify(container)} is not a port`;
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  if (first > 65535 || last > 65535) return 'a port is above 65535';
  if (last < first) return 'the range ends before it begins';
  return Array.from({ length: last - first + 1 }, (_, i) => `${first + i}/${protocol}`);
}
