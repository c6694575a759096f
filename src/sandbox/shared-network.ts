/**
 * The network of `default`: one private namespace for the steps of this tsbuild, with outward access through
 * slirp4netns or pasta. One for all, because connecting one takes longer than most steps.
 * Invariant: the host's loopback cannot be reached from it, and it ends with this process, however that ends.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { distPath } from '../core/index.ts';
import { firstExecutable } from './host-facts.ts';
import { decodeRecords } from './records.ts';

export interface SharedNetwork {
  /** A file that stands for the namespace. */
  readonly namespace: string;
  /** Address at which names are resolved. */
  readonly forwarder: string;
  /** Ends it; its programs are gone then. */
  close(): Promise<void>;
}

interface Connector {
  readonly kind: 'slirp4netns' | 'pasta';
  readonly program: string;
  readonly forwarder: string;
}

/** The network, or why there is none. Settles when names and routes work. */
export async function shareNetwork(rung: 'root' | 'userns'): Promise<SharedNetwork | { readonly because: string }> {
  const found = connectors(rung);
  for (const connector of found) {
    const network = await connect(connector);
    if (network) return network;
  }
  if (found.length > 0) return { because: `${found.map(({ kind }) => kind).join(' and ')} could not connect one` };
  return { because: rung === 'root' ? 'install slirp4netns for that' : 'install passt or slirp4netns for that' };
}

/** pasta joins no namespace that the machine's root owns. */
export function connectors(rung: 'root' | 'userns'): readonly Connector[] {
  const known = [
    ...(rung === 'userns' ? [{ kind: 'pasta', forwarder: '169.254.1.1' } as const] : []),
    { kind: 'slirp4netns', forwarder: '10.0.2.3' } as const,
  ];
  return known.flatMap(({ kind, forwarder }) => {
    const program = firstExecutable([`/usr/bin/${kind}`, `/usr/local/bin/${kind}`, `/bin/${kind}`]);
    return program === undefined ? [] : [{ kind, forwarder, program }];
  });
}

function connect({ kind, program, forwarder }: Connector): Promise<SharedNetwork | undefined> {
  const child = spawn(distPath('native/tsbuild-sandbox'), ['net', kind, program], {
    env: {},
    stdio: ['pipe', 'ignore', 'ignore', 'ignore', 'pipe'],
  });
  const report = child.stdio[4] as Readable;
  return new Promise((resolve) => {
    child.on('error', () => resolve(undefined));
    report.on('error', () => resolve(undefined));
    report.on('end', () => resolve(undefined));
    report.on('data', (chunk: Buffer) => {
      const ready = decodeRecords(chunk).some((record) => record.kind === 'ready');
      if (!ready || child.pid === undefined) return;
      // It is to live as long as this process, not to keep it alive.
      child.unref();
      for (const stream of [child.stdin, report])
        if (stream && 'unref' in stream) (stream as { unref(): void }).unref();
      resolve({ namespace: `/proc/${child.pid}/ns/net`, forwarder, close: () => endOf(child) });
    });
  });
}

/** At the end of its stdin it ends the connecting program, waits for it, and ends. */
function endOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  child.ref();
  return new Promise((resolve) => {
    child.on('exit', () => resolve());
    child.stdin?.end();
  });
}
