/** The network of `default`: who connects it, how names are resolved in it, and what a step is told when there is none. */
import { existsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { hostsFile, resolvConf } from '../../src/sandbox/etc-files.ts';
import { cannotTest, stepRunner } from './support/step-runner.ts';

const installed = (program: string) => existsSync(`/usr/bin/${program}`);

/** In the order they are tried; pasta joins no namespace of the machine's root. */
const connectors = {
  root: [['slirp4netns', '10.0.2.3']],
  userns: [
    ['pasta', '169.254.1.1'],
    ['slirp4netns', '10.0.2.3'],
  ],
} as const;

for (const rung of ['root', 'userns'] as const) {
  const reason = await cannotTest(rung);
  describe.skipIf(reason !== undefined)(`on the rung ${rung}${reason ? ` (skipped: ${reason})` : ''}`, () => {
    test('a private network has a route and a resolver of its connector, or the step is told that there is none', async () => {
      await using runner = await stepRunner(rung);
      const script = 'grep ^nameserver /etc/resolv.conf; ip route | grep -c ^default; ls /sys/class/net | grep -vc ^lo';
      const answer = await runner.run({ script, step: { network: 'default' } });
      expect(answer.error).toBeUndefined();
      const resolvers = connectors[rung].filter(([program]) => installed(program)).map(([, resolver]) => resolver);
      if (answer.notices?.some((notice) => notice.includes('network of this machine'))) return;
      const [nameserver = '', routes, devices] = answer.stdout?.trim().split('\n') ?? [];
      expect(resolvers.map((address) => `nameserver ${address}`)).toContain(nameserver);
      expect([routes, devices]).toEqual(['1', '1']);
    });

    test('two steps of one build share it', async () => {
      await using runner = await stepRunner(rung);
      const step = { network: 'default' } as const;
      const script = 'readlink /proc/self/ns/net';
      const [first, second] = [await runner.run({ script, step }), await runner.run({ script, step })];
      expect(first.stdout).toMatch(/^net:/);
      expect(second.stdout).toBe(first.stdout);
    });
  });
}

describe('/etc/resolv.conf', () => {
  const host = '# made by a stub\nnameserver 127.0.0.53\nnameserver ::1\noptions edns0\nsearch example.test\n';

  test('in a private network, resolvers on the loopback of the machine are asked through the connector', () => {
    expect(resolvConf(host, { forwarder: '10.0.2.3' })).toBe(
      'nameserver 10.0.2.3\noptions edns0\nsearch example.test\n',
    );
  });

  test('in the network of the machine they are right as they are', () => {
    expect(resolvConf(host, 'host')).toBe(host);
  });

  test('without a network there is none, and a machine without the file gives one without resolvers', () => {
    expect(resolvConf(host, 'none')).not.toContain('nameserver');
    expect(resolvConf('', 'host')).not.toContain('nameserver');
  });
});

test('/etc/hosts has localhost, the step, and what was added, the addresses first', () => {
  const extraHosts = [
    { host: 'db', address: '10.0.0.9' },
    { host: 'six', address: '2001:db8::1' },
  ];
  expect(hostsFile({ hostname: 'builder', extraHosts })).toBe(
    '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.0.1\tbuilder\n10.0.0.9\tdb\n2001:db8::1\tsix\n',
  );
});
