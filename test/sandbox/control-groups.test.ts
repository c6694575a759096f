/** What is written where, for each way control groups are mounted; limits.test.ts has the kernel's side, for the way this machine has. */
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { makeControlGroup } from '../../src/sandbox/control-groups.ts';
import type { StepLimits } from '../../src/sandbox/index.ts';
import { type FakeMachine, fakeControlGroups } from './support/fake-control-groups.ts';

const root = '/sys/fs/cgroup';
const version2: FakeMachine = {
  mountinfo: `30 24 0:26 / ${root} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n`,
  own: '0::/user.slice/session.scope\n',
  machineRoot: true,
};
const version1: FakeMachine = {
  mountinfo: ['memory', 'cpu,cpuacct', 'cpuset', 'pids']
    .map((name, at) => `${30 + at} 24 0:${26 + at} / ${root}/${name.split(',')[0]} rw - cgroup cgroup rw,${name}\n`)
    .join(''),
  own: '5:memory:/ours\n4:cpu,cpuacct:/\n3:cpuset:/\n2:pids:/ours/pids\n1:name=systemd:/x\n0::/\n',
  machineRoot: true,
};
const userGroup = `${root}/user.slice/user@1.service/app.slice/run-1.scope`;
const user: FakeMachine = {
  ...version2,
  machineRoot: false,
  own: '0::/user.slice/user@1.service/app.slice/run-1.scope\n',
  groups: { [userGroup]: ['70', '71'] },
};

const all: StepLimits = {
  memory: 1 << 20,
  memorySwap: 3 << 20,
  cpuShares: 1024,
  cpuPeriod: 50_000,
  cpuQuota: 25_000,
  cpusetCpus: '0-1',
  cpusetMems: '0',
  pids: 10,
};

function make(machine: FakeMachine, limits: StepLimits) {
  const files = fakeControlGroups(machine);
  return { files, group: makeControlGroup(limits, 'step', files) };
}

test('without a limit no file is read or written', () => {
  const files = new Proxy(fakeControlGroups(version2), {
    get: () => {
      throw new Error('looked at');
    },
  });
  expect(
    makeControlGroup({ shmSize: 5, ulimits: [{ name: 'core', soft: 0, hard: 0 }] }, 'step', files),
  ).toBeUndefined();
});

test('version 2: every limit is in one group, beside those of other engines, with its controllers enabled from the top', () => {
  const { files, group } = make(version2, all);
  const step = `${root}/step`;
  expect(files.written).toEqual([
    `${root}/cgroup.subtree_control=+memory`,
    `${step}/memory.max=1048576`,
    `${step}/memory.swap.max=2097152`,
    `${root}/cgroup.subtree_control=+cpu`,
    `${step}/cpu.weight=39`,
    `${step}/cpu.max=25000 50000`,
    `${root}/cgroup.subtree_control=+cpuset`,
    `${step}/cpuset.cpus=0-1`,
    `${step}/cpuset.mems=0`,
    `${root}/cgroup.subtree_control=+pids`,
    `${step}/pids.max=11`,
  ]);
  expect(group?.joinFiles).toEqual([`${step}/cgroup.procs`]);
});

test('version 1: each limit is in a group of its hierarchy, below the one of tsbuild', () => {
  const { files, group } = make(version1, all);
  files.say(`${root}/cpuset/cpuset.mems`, '0\n');
  expect(files.written).toEqual([
    `${root}/memory/ours/step/memory.limit_in_bytes=1048576`,
    `${root}/memory/ours/step/memory.memsw.limit_in_bytes=3145728`,
    `${root}/cpu/step/cpu.shares=1024`,
    `${root}/cpu/step/cpu.cfs_period_us=50000`,
    `${root}/cpu/step/cpu.cfs_quota_us=25000`,
    `${root}/cpuset/step/cpuset.cpus=`,
    `${root}/cpuset/step/cpuset.mems=`,
    `${root}/cpuset/step/cpuset.cpus=0-1`,
    `${root}/cpuset/step/cpuset.mems=0`,
    `${root}/pids/ours/pids/step/pids.max=11`,
  ]);
  expect(group?.joinFiles).toEqual([
    `${root}/memory/ours/step/cgroup.procs`,
    `${root}/cpu/step/cgroup.procs`,
    `${root}/cpuset/step/cgroup.procs`,
    `${root}/pids/ours/pids/step/cgroup.procs`,
  ]);
});

test('version 1 in a container: the group that is mounted is not looked for below itself', () => {
  const mountinfo = `30 24 0:26 /docker/abc ${root}/memory ro - cgroup cgroup rw,memory\n`;
  const { files } = make({ ...version1, mountinfo, own: '5:memory:/docker/abc\n' }, { memory: 5 });
  expect(files.written).toEqual([
    `${root}/memory/step/memory.limit_in_bytes=5`,
    `${root}/memory/step/memory.memsw.limit_in_bytes=10`,
  ]);
});

test('hybrid: a controller is taken from version 1 when that has it, else from version 2', () => {
  const mountinfo = `30 24 0:26 / ${root}/unified rw - cgroup2 cgroup2 rw\n31 24 0:27 / ${root}/memory rw - cgroup cgroup rw,memory\n`;
  const { files, group } = make({ ...version1, mountinfo }, { memory: 5, pids: 1 });
  expect(files.written).toEqual([
    `${root}/memory/ours/step/memory.limit_in_bytes=5`,
    `${root}/memory/ours/step/memory.memsw.limit_in_bytes=10`,
    `${root}/unified/cgroup.subtree_control=+pids`,
    `${root}/unified/step/pids.max=2`,
  ]);
  expect(group?.joinFiles.length).toBe(2);
});

test('an ordinary user: where systemd enabled the controller, groups are beside that of tsbuild, and nothing above is written to', () => {
  const slice = `${root}/user.slice/user@1.service/app.slice`;
  const files = fakeControlGroups({ ...user, mayWrite: [slice] });
  for (const path of ['', '/user.slice', '/user.slice/user@1.service', '/user.slice/user@1.service/app.slice']) {
    files.say(`${root}${path}/cgroup.subtree_control`, 'memory pids');
  }
  const group = makeControlGroup({ pids: 1 }, 'step', files);
  expect(files.written).toEqual([`${slice}/step/pids.max=2`]);
  expect(group?.joinFiles).toEqual([`${slice}/step/cgroup.procs`]);
});

test('an ordinary user: where only the own group was delegated, its members make room for groups below it', () => {
  const scope = `${root}/user.slice/user@1.service/app.slice/run-1.scope`;
  const files = fakeControlGroups({ ...user, mayWrite: [scope] });
  for (const path of ['', '/user.slice', '/user.slice/user@1.service', '/user.slice/user@1.service/app.slice']) {
    files.say(`${root}${path}/cgroup.subtree_control`, 'pids');
  }
  const group = makeControlGroup({ pids: 1 }, 'step', files);
  expect(files.written).toEqual([
    `${scope}/tsbuild-members/cgroup.procs=70`,
    `${scope}/tsbuild-members/cgroup.procs=71`,
    `${scope}/cgroup.subtree_control=+pids`,
    `${scope}/step/pids.max=2`,
  ]);
  expect(group?.joinFiles).toEqual([`${scope}/step/cgroup.procs`]);
});

test('groups that a killed tsbuild left are removed by the next that makes one, no others', () => {
  const [long, moment] = [Date.now() - 3_600_000, Date.now() - 1000].map((time) => time.toString(36));
  const nobody = 2 ** 30;
  const left = `tsbuild-${nobody}-${long}-0`;
  const others = [
    `tsbuild-${nobody}-${moment}-0`,
    `tsbuild-1-${long}-0`,
    'tsbuild-members',
    `other-${nobody}-${long}-0`,
  ];
  const groups = Object.fromEntries([left, ...others].map((name) => [`${root}/${name}`, []]));
  const files = fakeControlGroups({ ...version2, groups });
  files.say('/proc/1', '');
  makeControlGroup({ pids: 1 }, 'step', files);
  expect(files.removed).toEqual([`${root}/${left}`]);
});

test('a container of version 2: the processes of its top group make room', () => {
  const { files } = make({ ...version2, own: '0::/\n', groups: { [root]: ['1', '9'] } }, { pids: 1 });
  expect(files.written).toEqual([
    `${root}/tsbuild-members/cgroup.procs=1`,
    `${root}/tsbuild-members/cgroup.procs=9`,
    `${root}/cgroup.subtree_control=+pids`,
    `${root}/step/pids.max=2`,
  ]);
});

test('an ordinary user in the top group, as in a container, makes groups in it', () => {
  const { files, group } = make({ ...user, own: '0::/\n', groups: { [root]: [] } }, { pids: 1 });
  expect(files.written).toEqual([`${root}/cgroup.subtree_control=+pids`, `${root}/step/pids.max=2`]);
  expect(group?.joinFiles).toEqual([`${root}/step/cgroup.procs`]);
});

test.each([
  ['an ordinary user is told of delegation', { ...user, mayWrite: [] }, /Delegate=yes/],
  ['root in a container is told of the mount', { ...version2, mayWrite: [] }, /sys\/fs\/cgroup/],
])('a group that may not be made: %s, and nothing is left', (_, machine, hint) => {
  const files = fakeControlGroups(machine);
  expect(() => makeControlGroup(all, 'step', files)).toThrow(
    expect.objectContaining({ code: 'sandbox-limit-failed', hint: expect.stringMatching(hint) }),
  );
  expect(files.written).toEqual([]);
});

test('an ordinary user of version 1 is told which groups root is to make, and what to say then', () => {
  const machine = { ...version1, machineRoot: false, mayWrite: [] };
  const [memory, pids] = ['memory', 'pids'].map((name) => `${root}/${name}/user-1000`);
  expect(() => make(machine, { memory: 5, pids: 5 })).toThrow(
    expect.objectContaining({
      hint: `run as root: mkdir -p ${memory} ${pids} && chown -R 1000 ${memory} ${pids}; then add --cgroup-parent user-1000`,
    }),
  );
});

test.each([
  ['the groups above keep it', { mayWrite: [dirname(userGroup)] }],
  ['this machine has not got it', { without: ['cpu'] }],
])('a controller that is not handed down is named, with what would do that: %s', (_, more) => {
  const files = fakeControlGroups({ ...user, ...more });
  for (const path of ['', '/user.slice', '/user.slice/user@1.service']) {
    files.say(`${root}${path}/cgroup.subtree_control`, 'memory pids');
  }
  expect(() => makeControlGroup({ cpuShares: 5 }, 'step', files)).toThrow(
    expect.objectContaining({
      message: expect.stringContaining('no controller cpu'),
      hint: expect.stringContaining('Delegate=cpu cpuset'),
    }),
  );
});

test('version 1: a parent without processors gets those of its own parent first', () => {
  const files = fakeControlGroups({ ...version1, machineRoot: false });
  files.say(`${root}/cpuset/cpuset.cpus`, '0-3\n');
  makeControlGroup({ cpusetCpus: '1', cgroupParent: 'user-1000' }, 'step', files);
  expect(files.written.filter((line) => line.includes('cpuset.cpus'))).toEqual([
    `${root}/cpuset/user-1000/cpuset.cpus=0-3`,
    `${root}/cpuset/user-1000/step/cpuset.cpus=`,
    `${root}/cpuset/user-1000/step/cpuset.cpus=1`,
  ]);
});

test('a parent that is asked for is used on each hierarchy, and never one above its top', () => {
  const { group } = make(version1, { memory: 5, pids: 5, cgroupParent: '../../ci/builds' });
  expect(group?.joinFiles).toEqual([
    `${root}/memory/ci/builds/step/cgroup.procs`,
    `${root}/pids/ci/builds/step/cgroup.procs`,
  ]);
});

test.each([
  [
    '2',
    version2,
    `${root}/step/memory.events`,
    'max 12\noom 1\noom_kill 3\n',
    `${root}/step/memory.events`,
    'max 0\noom_kill 1\n',
  ],
  [
    ...['1', version1, `${root}/memory/ours/step/memory.oom_control`, 'under_oom 0\noom_kill 3\n'],
    ...[`${root}/memory/ours/step/memory.max_usage_in_bytes`, '4\n'],
  ],
] as const)(
  'version %s: a kill for want of memory is known, and at whose limit, and the group is removed',
  async (...row) => {
    const [version, machine, kills, killed, reached, never] = row as [
      string,
      FakeMachine,
      string,
      string,
      string,
      string,
    ];
    const { files, group } = make(machine, { memory: 5 });
    expect(group?.outOfMemory()).toBe('no');
    files.say(kills, killed);
    if (version === '1') {
      files.say(reached, '5\n');
      files.say(reached.replace('max_usage', 'limit'), '5\n');
    }
    expect(group?.outOfMemory()).toBe('here');
    files.say(reached, never);
    expect(group?.outOfMemory()).toBe('above');
    await group?.remove();
    expect(files.removed.map((path) => path.split('/').at(-1))).toEqual(['step']);
  },
);

test('without limits on swap as much swap as memory is allowed, and -1 is unlimited', () => {
  expect(make(version2, { memory: 100 }).files.written.at(-1)).toMatch(/memory\.swap\.max=100$/);
  expect(make(version2, { memory: 100, memorySwap: -1 }).files.written.at(-1)).toMatch(/memory\.swap\.max=max$/);
  expect(make(version2, { memory: 100, memorySwap: 100 }).files.written.at(-1)).toMatch(/memory\.swap\.max=0$/);
});
