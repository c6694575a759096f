/**
 * The command line on a machine that has version 2 of control groups alone, user namespaces for ordinary users, and a
 * network with another machine in it: limits, private networks, and whether `tsbuild doctor` says the truth.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requirement } from '../support/requirement.ts';
import { guestUsers } from './guest/disk.ts';
import { type Guest, guestMissing, startGuest } from './guest/machine.ts';
import type { GuestAnswer } from './guest/protocol.ts';

type User = 'root' | keyof typeof guestUsers;

interface Invocation {
  readonly user: User;
  /** The control group it is started in, below /sys/fs/cgroup. Default: the top. */
  readonly group?: string;
  /** Starts it in a container, with a view of that group alone. */
  readonly groupsMounted?: 'rw' | 'ro';
  readonly args: readonly string[];
  readonly input?: string;
}

const missing = await guestMissing();
requirement('a virtual machine', missing);

describe.skipIf(missing !== undefined)('on a machine with version 2 of control groups', { timeout: 240_000 }, () => {
  const eat = 'dd if=/dev/zero of=/dev/null bs=120M count=1';
  const limits = ['--memory=64m', '--memory-swap=96m', '--cpu-period=100000', '--cpu-quota=50000', '--pids-limit=30'];
  const limitFiles = ['memory.max', 'memory.swap.max', 'cpu.max', 'pids.max'];
  const inForce = ['67108864', '33554432', '50000 100000', '31'];
  const look = `cat /proc/self/cgroup; cd /sys/fs/cgroup; cat ${limitFiles.join(' ')}; echo 1 2>/dev/null >pids.max || echo read-only`;
  /** As systemd makes it for `systemd-run --user --scope -p Delegate=yes`. */
  const scope = 'user.slice/user-1000.slice/user@1000.service/app.slice/run-1.scope';
  /** As systemd makes it for a service with User= and Delegate=yes. */
  const service = 'system.slice/build.service';
  const session = 'user.slice/user-1000.slice/session-1.scope';
  let guest: Guest;

  beforeAll(async () => {
    guest = await startGuest();
  }, 180_000);
  afterAll(() => guest?.[Symbol.asyncDispose]());

  async function tsbuild({ user, group = '', groupsMounted, args, input }: Invocation): Promise<GuestAnswer> {
    const id = user === 'root' ? 0 : guestUsers[user];
    const become = id === 0 ? [] : ['/usr/bin/setpriv', `--reuid=${id}`, `--regid=${id}`, '--clear-groups'];
    const enter = `echo 0 >/sys/fs/cgroup/${group}/cgroup.procs && exec "$@"`;
    const mount = `umount /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup; mount -o remount,bind,${groupsMounted} /sys/fs/cgroup; exec "$@"`;
    const contain = groupsMounted ? ['/usr/bin/unshare', '--cgroup', '--mount', 'sh', '-ec', mount, 'sh'] : [];
    return guest.run(['sh', '-c', enter, 'sh', ...contain, ...become, 'node', '/dist/tsbuild.js', ...args], {
      env: { HOME: `/home/${user}`, TSBUILD_HOME: `/home/${user}/store` },
      ...(input !== undefined && { input }),
    });
  }

  /** Builds one RUN. @returns also the lines it printed */
  async function runStep(
    user: User,
    script: string,
    { args = [], ...where }: Partial<Omit<Invocation, 'user'>> = {},
  ): Promise<GuestAnswer & { readonly lines: readonly string[] }> {
    const base = '--build-context=base=oci-layout:///bases:base';
    const answer = await tsbuild({
      user,
      args: ['build', '--no-cache', '--progress=plain', base, ...args, '-f', '-', '/bases'],
      input: `FROM base\nRUN ${script}\n`,
      ...where,
    });
    const lines = [...answer.stderr.matchAll(/^#\d+ \d+\.\d+ (.*)$/gm)].map(([, line = '']) => line);
    return { ...answer, lines };
  }

  async function shell(script: string): Promise<string> {
    const { code, stdout, stderr } = await guest.run(['sh', '-ec', script]);
    expect(code, stderr).toBe(0);
    return stdout.trim();
  }

  /** Groups of steps that are there. */
  const stepGroups = () => shell("find /sys/fs/cgroup -type d -name 'tsbuild-[0-9]*'");

  /** Those above, cpu, memory and pids of them delegated. */
  async function makeGroups(): Promise<void> {
    const controllers = '+cpu +memory +pids';
    await shell(`cd /sys/fs/cgroup
      mkdir -p ${scope} ${service} ${session}
      user=user.slice/user-1000.slice/user@1000.service
      for group in . user.slice user.slice/user-1000.slice system.slice $user $user/app.slice; do
        echo ${controllers} >$group/cgroup.subtree_control
      done
      give() { for file in '' /cgroup.procs /cgroup.threads /cgroup.subtree_control; do chown "$1:$1" $2$file; done; }
      for group in $user $user/app.slice ${scope}; do give 1000 $group; done
      give 1001 ${service}`);
  }

  describe('root', () => {
    test('a step that takes more memory than its limit is reported as out of memory, with the limit', async () => {
      const { code, stderr } = await runStep('root', eat, { args: ['--memory=64m', '--memory-swap=64m'] });
      expect(stderr).toContain('ran out of memory: the limit is 67108864 bytes');
      expect(code).toBe(1);
    });

    test('a step finds its limits in the files programs look for, and cannot change them', async () => {
      const { lines, stderr } = await runStep('root', `${look}; nproc`, { args: [...limits, '--cpuset-cpus=1'] });
      expect(lines, stderr).toEqual(['0::/', ...inForce, 'read-only', '1']);
    });

    test('a step is in the group it is asked to be in', async () => {
      await shell('cd /sys/fs/cgroup; echo +pids >cgroup.subtree_control; mkdir ci; echo 8 >ci/pids.max');
      const bomb = 'for i in $(seq 20); do sleep 9 & done 2>&1';
      const { stderr } = await runStep('root', bomb, { args: ['--cgroup-parent=ci/builds', '--pids-limit=100'] });
      expect(stderr).toMatch(/can't fork/);
      await shell('cd /sys/fs/cgroup; rmdir ci/builds ci');
    });

    test('no group of a step is left, and none was made but these', async () => {
      expect(await shell('find /sys/fs/cgroup -mindepth 1 -type d')).toBe('');
    });
  });

  describe('root of a container', () => {
    beforeAll(() =>
      shell('cd /sys/fs/cgroup; echo +memory >cgroup.subtree_control; mkdir box; echo 512M >box/memory.max'),
    );

    test('a step without limits finds those of the container; others need its groups to be writable', async () => {
      const where = { group: 'box', groupsMounted: 'ro' } as const;
      const { lines, stderr } = await runStep('root', 'cat /sys/fs/cgroup/memory.max', where);
      expect(lines, stderr).toEqual(['536870912']);
      const refused = await runStep('root', 'true', { ...where, args: ['--pids-limit=30'] });
      expect(refused.stderr).toMatch(/EROFS.*\[sandbox-limit-failed\]/);
      expect(refused.stderr).toContain('hint: let tsbuild write to /sys/fs/cgroup: in a container, mount it with -v');
    });

    test('a step finds its limits where the groups of the container are writable', async () => {
      await shell('cd /sys/fs/cgroup; echo "+cpu +pids" >cgroup.subtree_control');
      const where = { group: 'box', groupsMounted: 'rw' } as const;
      const { lines, stderr } = await runStep('root', look, { ...where, args: limits });
      expect(lines, stderr).toEqual(['0::/', ...inForce, 'read-only']);
      expect(await stepGroups()).toBe('');
    });
  });

  describe('an ordinary user', () => {
    beforeAll(makeGroups);

    test('a step that takes more memory than its limit is reported, in a scope that was delegated', async () => {
      const options = { group: scope, args: ['--memory=64m', '--memory-swap=64m'] };
      const { code, stderr } = await runStep('ranged', eat, options);
      expect(stderr).toContain('ran out of memory: the limit is 67108864 bytes');
      expect(code).toBe(1);
      expect(await stepGroups()).toBe('');
    });

    test('a step finds its limits, in a scope that was delegated', async () => {
      const { lines, stderr } = await runStep('ranged', look, { group: scope, args: limits });
      expect(stderr).toContain('isolation: userns\n');
      expect(lines, stderr).toEqual(['0::/', ...inForce, 'read-only']);
      expect(await stepGroups()).toBe('');
    });

    test('a step finds its limits, with one ID and no other group than the one that was delegated', async () => {
      const { lines, stderr } = await runStep('single', look, { group: service, args: limits });
      expect(stderr).toContain('isolation: userns (only one user ID is available');
      expect(lines, stderr).toEqual(['0::/', ...inForce, 'read-only']);
      expect(await stepGroups()).toBe('');
    });

    test('a controller that was not delegated is named, with the setting that delegates it', async () => {
      const { code, stderr } = await runStep('ranged', 'true', { group: scope, args: ['--cpuset-cpus=0'] });
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /app\.slice has no controller cpuset: the groups above do not hand it down \[sandbox-limit-failed\]/,
      );
      expect(stderr).toContain("printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n'");
    });

    test('where nothing is delegated, as in a session, a limit is refused with what would help', async () => {
      const { code, stderr } = await runStep('ranged', 'true', { group: session, args: ['--memory=64m'] });
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /this user may not make the control group of a step: EACCES: .*'\/sys\/fs\/cgroup\/user.slice\//,
      );
      expect(stderr).toContain('systemd-run --user --scope -p Delegate=yes tsbuild');
    });
  });

  describe('a private network', () => {
    /** Of another machine, which answers with `outside`, by address and by name. */
    const outside = ['192.0.2.1', 'known.test'];
    /** Where this machine might let one in: what listens on its loopback answers with `loopback`. */
    const machine = ['127.0.0.1', '192.0.2.10'];
    const resolvers = { outside: '192.0.2.1', loopback: '127.0.0.53' } as const;
    const connectors = {
      slirp4netns: { device: 'tap0', addresses: ['10.0.2.2', '10.0.2.3'], hidden: 'pasta' },
      pasta: { device: 'uplink', addresses: ['169.254.1.1'], hidden: '' },
    } as const;

    test.each([
      { user: 'root', connector: 'slirp4netns', resolver: 'loopback' },
      { user: 'single', connector: 'slirp4netns', resolver: 'outside' },
      { user: 'single', connector: 'pasta', resolver: 'outside' },
      { user: 'ranged', connector: 'pasta', resolver: 'loopback' },
    ] as const)(
      'for $user through $connector reaches the outside, also by name with a resolver on $resolver, and not the machine',
      async ({ user, connector, resolver }) => {
        const { device, addresses, hidden } = connectors[connector];
        const hosts = [...outside, ...machine, ...addresses].join(' ');
        await shell(`echo nameserver ${resolvers[resolver]} >/etc/resolv.conf`);
        if (hidden !== '') await shell(`mv /usr/bin/${hidden} /tmp`);
        const ask = `ls /sys/class/net; for host in ${hosts}; do timeout 5 wget -qO- http://$host 2>/dev/null || echo no; done`;
        const { lines, stderr } = await runStep(user, ask);
        if (hidden !== '') await shell(`mv /tmp/${hidden} /usr/bin`);
        const closed = [...machine, ...addresses].map(() => 'no');
        expect(lines, stderr).toEqual(['lo', device, 'outside', 'outside', ...closed]);
      },
    );

    test('steps without a limit see no group of the machine', async () => {
      await shell('mkdir /sys/fs/cgroup/other.slice');
      const { lines, stderr } = await runStep('root', 'cat /proc/self/cgroup; ls -A /sys/fs/cgroup | wc -l');
      expect(lines, stderr).toEqual(['0::/', '0']);
      await shell('rmdir /sys/fs/cgroup/other.slice');
    });
  });

  describe('tsbuild doctor', () => {
    interface Finding {
      readonly what: string;
      readonly remedy?: string;
    }
    interface Report {
      readonly rungs: readonly {
        readonly rung: string;
        readonly available: boolean;
        readonly findings: readonly Finding[];
      }[];
      readonly machine: readonly (Finding & { readonly about: string })[];
    }

    async function doctor(user: User, group?: string): Promise<Report> {
      const { code, stdout, stderr } = await tsbuild({
        user,
        args: ['doctor', '--format=json'],
        ...(group && { group }),
      });
      expect(code, stderr).toBe(0);
      return JSON.parse(stdout) as Report;
    }
    beforeAll(makeGroups);

    const settable = { about: 'limits', what: 'control groups: version 2; limits can be set' };
    const best = ({ rungs }: Report) => rungs.find(({ available }) => available)?.rung;
    const about = ({ machine }: Report, subject: string) => machine.filter((finding) => finding.about === subject);
    const lacking = (report: Report) => report.rungs.find(({ rung }) => rung === 'userns')?.findings;

    /** Does what it says. */
    async function follow(remedy: string | undefined): Promise<void> {
      const [, command] = /^run as root: (.*)$/.exec(remedy ?? '') ?? [];
      expect(command, remedy).toBeDefined();
      await shell(command ?? 'false');
    }

    test('finds all there is for root', async () => {
      const report = await doctor('root');
      expect(report.rungs.map(({ available }) => available)).toEqual([true, true, true, true]);
      expect(about(report, 'limits')).toEqual([settable]);
      expect(about(report, 'network')).toEqual([
        { about: 'network', what: 'steps get a private network from slirp4netns' },
      ]);
    });

    test('finds what the kernel keeps from an ordinary user, and its remedy is one', async () => {
      await shell('sysctl -w user.max_user_namespaces=0');
      const { code, stderr } = await runStep('ranged', 'true');
      expect(code).toBe(1);
      expect(stderr).toContain('isolation: none');
      expect(stderr).toContain('hint: run as root: sysctl -w user.max_user_namespaces=');
      const report = await doctor('ranged');
      expect(best(report)).toBe('none');
      await follow(lacking(report)?.[0]?.remedy);
      expect(best(await doctor('ranged'))).toBe('userns');
    });

    test('finds that subordinate IDs are missing, and its remedy is one', async () => {
      const findings = lacking(await doctor('single'));
      expect(findings?.map(({ what }) => what)).toEqual([
        'only one user ID is available: every file belongs to it',
        'single has fewer than 65536 IDs in /etc/subuid and /etc/subgid',
      ]);
      await follow(findings?.[1]?.remedy);
      expect(lacking(await doctor('single'))).toEqual([]);
    });

    test('finds whether limits were delegated to an ordinary user', async () => {
      expect(about(await doctor('ranged', scope), 'limits')).toEqual([settable]);
      expect(about(await doctor('ranged', session), 'limits')).toEqual([
        {
          about: 'limits',
          what: expect.stringContaining('version 2; this user may not make'),
          remedy: expect.stringContaining('Delegate=yes'),
        },
      ]);
    });

    test('finds that /dev/net/tun cannot be opened, and its remedy is one', async () => {
      await shell('chmod 600 /dev/net/tun');
      const [finding] = about(await doctor('ranged'), 'network');
      expect(finding?.what).toBe(
        'steps share the network of this machine: pasta and slirp4netns cannot open /dev/net/tun',
      );
      await follow(finding?.remedy);
      expect(about(await doctor('ranged'), 'network')).toEqual([
        { about: 'network', what: 'steps get a private network from pasta or slirp4netns' },
      ]);
    });
  });
});
