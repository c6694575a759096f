import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildFlags } from '../../src/cli/args/build-flags.ts';
import { type BuildInvocation, type BuildSurroundings, parseBuildArguments } from '../../src/cli/args/build-request.ts';
import { versionNumber } from '../../src/cli/commands/version.ts';
import { TsbuildError } from '../../src/core/index.ts';

let folder = '';
const seen = new Set<string>();

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tsbuild-args-'));
  mkdirSync(join(folder, 'assets'));
  writeFileSync(join(folder, 'token'), 'file secret');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function parse(words: readonly string[], around: Partial<BuildSurroundings> = {}): Promise<BuildInvocation> {
  for (const word of words) seen.add(word.replace(/=.*/s, ''));
  return await parseBuildArguments([...words.map((word) => word.replaceAll('FOLDER', folder)), folder], {
    ...surroundings,
    ...around,
  });
}

const surroundings: BuildSurroundings = {
  env: {},
  hostPlatform: { os: 'linux', architecture: 'amd64' },
  stdoutIsTerminal: false,
  stdin: async function* () {
    yield Buffer.from('FROM scratch\n');
  },
};

async function failure(words: readonly string[], around: Partial<BuildSurroundings> = {}): Promise<TsbuildError> {
  const error = await parse(words, around).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof TsbuildError))
    throw new Error(`expected a failure of ${words.join(' ')}, not ${String(error)}`);
  return error;
}

describe('a build without flags', () => {
  test('builds the default target of the directory for the host, into the store', async () => {
    const { request, ...rest } = await parse([]);
    expect(request).toEqual({
      context: { kind: 'directory', path: folder },
      tags: [],
      buildArgs: {},
      namedContexts: new Map(),
      labels: {},
      annotations: [],
      platforms: [],
      noCache: false,
      noCacheFilter: [],
      pull: false,
      network: 'default',
      extraHosts: [],
      secrets: new Map(),
      ssh: new Map(),
      allow: new Set(),
      limits: {},
      isolation: 'auto',
      exports: [],
      cacheMounts: [],
      cacheFrom: [],
      cacheTo: [],
      inlineCache: false,
      proxyEnv: {},
      gitEnv: {},
    });
    expect(rest).toEqual({
      call: { method: 'build', json: false },
      progress: 'auto',
      quiet: false,
      onError: 'stop',
      iidFile: undefined,
      metadataFile: undefined,
      warnings: [],
    });
  });

  test('gives a request that cannot be changed', async () => {
    expect(Object.isFrozen((await parse([])).request)).toBe(true);
  });
});

/** Words on the command line -> what they change in the request. */
const requestCases: readonly (readonly [words: readonly string[], expected: object])[] = [
  [['-t', 'app:1'], { tags: ['docker.io/library/app:1'] }],
  [
    ['-tapp', '-t=app:2', '--tag', 'host:5000/x/app'],
    { tags: ['docker.io/library/app:latest', 'docker.io/library/app:2', 'host:5000/x/app:latest'] },
  ],
  [['-t', 'app', '-t', 'app:latest'], { tags: ['docker.io/library/app:latest'] }],
  [['-f', 'x.Dockerfile'], { dockerfile: 'x.Dockerfile' }],
  [['--file=x.Dockerfile'], { dockerfile: 'x.Dockerfile' }],
  [['-f', '-'], { dockerfile: '-', dockerfileText: 'FROM scratch\n' }],
  [['--target', 'test'], { target: 'test' }],
  [['--target='], {}],
  [
    ['--build-arg', 'A=1', '--build-arg', 'B=x=y', '--build-arg', 'EMPTY='],
    { buildArgs: { A: '1', B: 'x=y', EMPTY: '' } },
  ],
  [['--label', 'a=b', '--label', 'flag'], { labels: { a: 'b', flag: '' } }],
  [
    ['--annotation', 'a.x:b=v', '--annotation', 'manifest[linux/amd64],manifest-descriptor:k=v=w'],
    {
      annotations: [
        { target: 'manifest', key: 'a.x:b', value: 'v' },
        { target: 'manifest', platform: { os: 'linux', architecture: 'amd64' }, key: 'k', value: 'v=w' },
        { target: 'manifest-descriptor', key: 'k', value: 'v=w' },
      ],
    },
  ],
  [
    ['--platform', 'linux/amd64,linux/arm64/v8', '--platform', 'arm64'],
    {
      platforms: [
        { os: 'linux', architecture: 'amd64' },
        { os: 'linux', architecture: 'arm64' },
      ],
    },
  ],
  [['--platform=local'], { platforms: [{ os: 'linux', architecture: 'amd64' }] }],
  [['--no-cache'], { noCache: true }],
  [['--no-cache=false'], { noCache: false }],
  [['--no-cache-filter', 'a,b', '--no-cache-filter=c'], { noCacheFilter: ['a', 'b', 'c'] }],
  [['--pull'], { pull: true }],
  [['--network', 'none'], { network: 'none' }],
  [
    ['--add-host', 'db:10.0.0.5', '--add-host', 'six=[::1]', '--add-host', 'h=fe80::1'],
    {
      extraHosts: [
        { host: 'db', address: '10.0.0.5' },
        { host: 'six', address: '::1' },
        { host: 'h', address: 'fe80::1' },
      ],
    },
  ],
  [
    ['--network=host', '--add-host', 'me:host-gateway'],
    { network: 'host', extraHosts: [{ host: 'me', address: '127.0.0.1' }] },
  ],
  [['--allow', 'network.host,security.insecure'], { allow: new Set(['network.host', 'security.insecure']) }],
  [['--isolation', 'chroot'], { isolation: 'chroot' }],
  [['-m', '512m', '--memory-swap', '1g'], { limits: { memory: 536_870_912, memorySwap: 1_073_741_824 } }],
  [['--memory=1.5GiB', '--memory-swap=-1'], { limits: { memory: 1_610_612_736, memorySwap: -1 } }],
  [
    ['-c', '512', '--cpu-period', '100000', '--cpu-quota', '50000'],
    { limits: { cpuShares: 512, cpuPeriod: 100_000, cpuQuota: 50_000 } },
  ],
  [
    ['--cpu-shares=2', '--cpuset-cpus', '0-2,4', '--cpuset-mems', '0'],
    { limits: { cpuShares: 2, cpusetCpus: '0-2,4', cpusetMems: '0' } },
  ],
  [
    ['--pids-limit', '100', '--shm-size', '128m', '--cgroup-parent', '/build'],
    { limits: { pids: 100, shmSize: 134_217_728, cgroupParent: '/build' } },
  ],
  [
    ['--ulimit', 'nofile=1024:2048', '--ulimit', 'core=-1'],
    {
      limits: {
        ulimits: [
          { name: 'nofile', soft: 1024, hard: 2048 },
          { name: 'core', soft: -1, hard: -1 },
        ],
      },
    },
  ],
  [
    ['--cache-from', 'host/app:cache', '--cache-from', 'type=local,src=x'],
    {
      cacheFrom: [
        { kind: 'registry', repository: 'docker.io/host/app', tag: 'cache' },
        { kind: 'local', path: 'x' },
      ],
    },
  ],
  [
    ['--cache-mount', 'id=go,type=dir,path=kept', '--cache-mount=id=/root/.npm,src=a,dest=b,ignore-error=true'],
    {
      cacheMounts: [
        { id: 'go', from: { kind: 'dir', path: 'kept' }, to: { kind: 'dir', path: 'kept' }, ignoreError: false },
        { id: '/root/.npm', from: { kind: 'dir', path: 'a' }, to: { kind: 'dir', path: 'b' }, ignoreError: true },
      ],
    },
  ],
  [
    ['--cache-mount=id=go,ref=app:cache'],
    {
      cacheMounts: [
        {
          id: 'go',
          from: { kind: 'registry', reference: 'docker.io/library/app:cache' },
          to: { kind: 'registry', reference: 'docker.io/library/app:cache' },
          ignoreError: false,
        },
      ],
    },
  ],
  [
    ['--cache-to', 'type=registry,ref=host/app:cache,mode=max'],
    {
      cacheTo: [
        {
          to: { kind: 'registry', repository: 'docker.io/host/app', tag: 'cache' },
          mode: 'max',
          ignoreError: false,
        },
      ],
    },
  ],
  [
    ['--cache-to', 'host:5000/app', '--cache-to', 'type=local,dest=x,tag=y,compression=zstd,ignore-error=true'],
    {
      cacheTo: [
        { to: { kind: 'registry', repository: 'host:5000/app' }, mode: 'min', ignoreError: false },
        { to: { kind: 'local', path: 'x', tag: 'y' }, mode: 'min', compression: 'zstd', ignoreError: true },
      ],
    },
  ],
  [['--cache-to', 'type=inline'], { cacheTo: [], inlineCache: true }],
  [['--build-context', 'assets=FOLDER/assets'], { namedContexts: ['assets', 'directory'] }],
  [['--squash'], {}],
  [['--compress', '--rm', '--rm=false', '--force-rm'], {}],
];

describe('a flag', () => {
  test.each(requestCases)('%j is understood', async (words, expected) => {
    const { request } = await parse(words);
    const plain = await parse([]);
    const wanted = { ...plain.request, ...expected };
    if (words.includes('--build-context')) {
      expect(request.namedContexts.get('assets')).toEqual({ kind: 'directory', path: join(folder, 'assets') });
    } else {
      expect(request).toEqual(wanted);
    }
  });

  test.each([
    ['base=docker-image://alpine:3', { kind: 'image', reference: 'docker-image://alpine:3' }],
    ['base=oci-layout:///x/y:tag', { kind: 'image', reference: 'oci-layout:///x/y:tag' }],
    ['src=https://example.com/a.git#main:sub', { kind: 'git', url: 'https://example.com/a.git#main:sub' }],
    ['src=https://example.com/a.tar.gz', { kind: 'http', url: 'https://example.com/a.tar.gz' }],
  ])('--build-context %s names its kind', async (text, expected) => {
    const { request } = await parse(['--build-context', text]);
    expect([...request.namedContexts.values()]).toEqual([expected]);
  });

  test.each([
    [['-q'], { quiet: true, progress: 'quiet' }],
    [['--quiet', '--progress=plain'], { quiet: true, progress: 'quiet' }],
    [['--progress', 'rawjson'], { progress: 'rawjson' }],
    [['--iidfile', 'id', '--metadata-file', 'meta'], { iidFile: 'id', metadataFile: 'meta' }],
    [['--check'], { call: { method: 'check', json: false } }],
    [['--call', 'outline,format=json'], { call: { method: 'outline', json: true } }],
    [['--call=targets'], { call: { method: 'targets', json: false } }],
    [['--on-error=stop'], { onError: 'stop' }],
  ])('%j belongs to the command line itself', async (words, expected) => {
    expect(await parse(words)).toMatchObject(expected);
  });

  const provenance = {
    mode: 'max',
    version: 'v1',
    builderId: '',
    builderVersion: versionNumber,
    reproducible: false,
    inlineOnly: false,
    vcs: true,
    completeMaterials: false,
    fileName: 'provenance.json',
  };
  const scanner = 'docker/buildkit-syft-scanner:stable-1';

  test.each([
    [[], undefined],
    [['--provenance=false'], undefined],
    [['--provenance=false', '--sbom=true'], { sbom: { generator: scanner, parameters: {} } }],
    [['--provenance=true'], { provenance }],
    [['--provenance', 'mode=full'], { provenance }],
    [['--attest', 'type=provenance,mode=min', '--attest=type=sbom,disabled=true'], { provenance: { mode: 'min' } }],
    [
      ['--attest', 'type=provenance,mode=min', '--provenance=version=v0.2'],
      { provenance: { ...provenance, version: 'v0.2' } },
    ],
    [
      ['--provenance=builder-id=x,reproducible=1,inline-only=true,filename=a/b'],
      { provenance: { builderId: 'x', reproducible: true, inlineOnly: true, fileName: 'b' } },
    ],
    [['--sbom=generator=x/y,A=b'], { sbom: { generator: 'x/y', parameters: { A: 'b' } } }],
  ])('%j asks for attestations', async (words, expected) => {
    const { attestations } = (await parse(words)).request;
    if (expected) expect(attestations).toMatchObject(expected);
    else expect(attestations).toBeUndefined();
  });

  test.each([['--provenance=filename=..'], ['--provenance=version=v2'], ['--sbom=generator=']])(
    '%s is refused',
    async (word) => {
      expect((await failure([word])).code).toBe('flag-invalid');
    },
  );

  test('an image with attestations has an index to annotate', async () => {
    const { request } = await parse(['--annotation', 'index:a=b', '--provenance=true']);
    expect(request.annotations).toEqual([{ target: 'index', key: 'a', value: 'b' }]);
    expect((await failure(['--annotation', 'index:a=b'])).message).toContain('has no index to annotate');
  });

  test('--on-error=shell needs a terminal on both sides', async () => {
    const words = ['--on-error=shell'];
    expect((await failure(words, { stdoutIsTerminal: true })).code).toBe('flag-invalid');
    expect((await failure(words, { stdinIsTerminal: true })).code).toBe('flag-invalid');
    const { onError } = await parse(words, { stdoutIsTerminal: true, stdinIsTerminal: true });
    expect(onError).toBe('shell');
  });

  test.each([
    [['--squash'], '--squash does nothing: layers stay as the Dockerfile makes them'],
    [['--security-opt', 'x'], '--security-opt does nothing: see --allow and --isolation'],
    [['--isolation=hyperv'], '--isolation=hyperv does nothing: it is meant for Windows containers'],
  ])('%j is accepted with a warning', async (words, warning) => {
    expect((await parse(words)).warnings).toEqual([warning]);
  });
});

describe('--output, --push and --load', () => {
  test.each<[readonly string[], readonly object[]]>([
    [['-o', 'out'], [{ kind: 'local', destination: 'out' }]],
    [['-o', '-'], [{ kind: 'tar', destination: '-' }]],
    [['-o', 'type=tar'], [{ kind: 'tar', destination: '-' }]],
    [['-o', 'type=local,dest=out,mode=delete'], [{ kind: 'local', destination: 'out', deleteOthers: true }]],
    [
      ['-o', 'type=oci,dest=a.tar', '--output=type=docker,dest=b.tar'],
      [
        { kind: 'oci', destination: 'a.tar' },
        { kind: 'docker', destination: 'b.tar' },
      ],
    ],
    [['-o', 'type=oci,dest=dir,tar=false'], [{ kind: 'oci', destination: 'dir', tar: false }]],
    [['-o', 'type=docker'], [{ kind: 'docker' }]],
    [['-o', 'type=registry'], [{ kind: 'registry', push: true }]],
    [['-o', 'type=image,push=true,push-by-digest=true'], [{ kind: 'image', push: true, pushByDigest: true }]],
    [['-o', 'type=image,"name=a/b,c/d"'], [{ kind: 'image', names: ['a/b', 'c/d'] }]],
    [
      [
        '-o',
        'type=image,compression=zstd,compression-level=19,force-compression=true,oci-mediatypes=false,rewrite-timestamp=true',
      ],
      [
        {
          kind: 'image',
          compression: 'zstd',
          compressionLevel: 19,
          forceCompression: true,
          ociMediaTypes: false,
          rewriteTimestamp: true,
        },
      ],
    ],
    [
      ['-o', 'type=oci,dest=x,annotation.k=v,annotation-index-descriptor.k=w,annotation-manifest[arm64].k=x'],
      [
        {
          kind: 'oci',
          destination: 'x',
          annotations: [
            { target: 'manifest', key: 'k', value: 'v' },
            { target: 'index-descriptor', key: 'k', value: 'w' },
            { target: 'manifest', platform: { os: 'linux', architecture: 'arm64' }, key: 'k', value: 'x' },
          ],
        },
      ],
    ],
    [['--push'], [{ kind: 'registry', push: true }]],
    [['--push', '-o', 'type=image'], [{ kind: 'image', push: true }]],
    [
      ['--push', '-o', 'out'],
      [
        { kind: 'local', destination: 'out' },
        { kind: 'registry', push: true },
      ],
    ],
    [['--load'], [{ kind: 'docker' }]],
    [['--load', '-o', 'type=docker'], [{ kind: 'docker' }]],
    [
      ['--load', '-o', 'type=docker,dest=x'],
      [{ kind: 'docker', destination: 'x' }, { kind: 'docker' }],
    ],
    [['-o', 'type=docker,unpack=false'], [{ kind: 'docker' }]],
  ])('%j', async (words, expected) => {
    expect((await parse(['-t', 'app', ...words])).request.exports).toEqual(expected);
  });
});

describe('secrets and the environment', () => {
  test('an id alone is the variable of that name, else the file', async () => {
    const { request } = await parse(['--secret', 'id=TOKEN'], { env: { TOKEN: 'from env' } });
    expect(request.secrets.get('TOKEN')).toEqual({ kind: 'value', value: Buffer.from('from env') });
    expect((await failure(['--secret', 'id=TOKEN'])).message).toBe('--secret: TOKEN: the file TOKEN does not exist');
  });

  test.each([
    ['id=x,src=FOLDER/token', 'file'],
    ['id=x,source=FOLDER/token', 'file'],
    ['type=file,id=x,src=FOLDER/token', 'file'],
    ['id=x,env=TOKEN', 'value'],
    ['type=env,id=x,src=TOKEN', 'value'],
    ['type=env,id=TOKEN', 'value'],
  ])('%s is read', async (text, kind) => {
    const { request } = await parse(['--secret', text], { env: { TOKEN: 'v' } });
    expect([...request.secrets.values()].map((source) => source.kind)).toEqual([kind]);
  });

  test('--ssh takes the agent of the environment, or key files', async () => {
    const { request } = await parse(['--ssh', 'default', '--ssh', 'deploy=FOLDER/token'], {
      env: { SSH_AUTH_SOCK: folder.concat('/token') },
    });
    expect(request.ssh).toEqual(
      new Map([
        ['default', [join(folder, 'token')]],
        ['deploy', [join(folder, 'token')]],
      ]),
    );
    expect((await failure(['--ssh', 'default'])).hint).toMatch(/SSH_AUTH_SOCK/);
  });

  test("a build argument without a value takes the environment's, and is dropped when that has none", async () => {
    const { request } = await parse(['--build-arg', 'A', '--build-arg', 'B'], { env: { A: 'x' } });
    expect(request.buildArgs).toEqual({ A: 'x' });
  });

  test('SOURCE_DATE_EPOCH comes from the build arguments, else from the environment', async () => {
    const env = { SOURCE_DATE_EPOCH: '10' };
    expect((await parse([], { env })).request).toMatchObject({
      sourceDateEpoch: 10,
      buildArgs: { SOURCE_DATE_EPOCH: '10' },
    });
    expect((await parse(['--build-arg', 'SOURCE_DATE_EPOCH=20'], { env })).request.sourceDateEpoch).toBe(20);
    expect((await failure([], { env: { SOURCE_DATE_EPOCH: 'now' } })).code).toBe('flag-invalid');
  });

  test('the proxy variables are handed on', async () => {
    const env = { HTTP_PROXY: 'http://p', no_proxy: 'x', HOME: '/' };
    expect((await parse([], { env })).request.proxyEnv).toEqual({ HTTP_PROXY: 'http://p', no_proxy: 'x' });
  });

  test('BUILDKIT_PROGRESS is the default of --progress', async () => {
    expect((await parse([], { env: { BUILDKIT_PROGRESS: 'plain' } })).progress).toBe('plain');
  });
});

describe('the context', () => {
  test.each([
    ['https://example.com/app.git', 'git'],
    ['https://example.com/app.git#v1:sub', 'git'],
    ['https://example.com/app.git?ref=main', 'git'],
    ['git@example.com:me/app', 'git'],
    ['ssh://git@example.com/me/app', 'git'],
    ['github.com/me/app', 'git'],
    ['https://example.com/app.tar.gz', 'http'],
    ['-', 'stream'],
  ])('%s is %s', async (text, kind) => {
    expect((await parseBuildArguments([text], surroundings)).request.context.kind).toBe(kind);
  });
});

/** Mistakes, with message and hint pinned. */
const mistakes: readonly (readonly [words: readonly string[], message: string, hint: string | undefined])[] = [
  [['--tagg', 'x'], 'there is no flag --tagg', 'Did you mean --tag?'],
  [['--quux'], 'there is no flag --quux', 'Add --help to see the flags of this command.'],
  [['-x'], 'there is no flag -x', 'Add --help to see the flags of this command.'],
  [['--pull=maybe'], '--pull: "maybe" is neither true nor false', undefined],
  [['-t', 'App'], '"App" is not an image reference: the name has upper-case letters', 'Write it in lower case: app'],
  [['--progress', 'plan'], '--progress: "plan" is not one of auto, plain, tty, quiet, rawjson', 'Did you mean plain?'],
  [['--network', 'hst'], '--network: "hst" is not one of default, none, host', 'Did you mean host?'],
  [['--memory', 'lots'], '--memory: "lots" is not a size', 'Write bytes, or a number with k, m or g: 64m.'],
  [['--memory-swap', '1g'], '--memory-swap: needs --memory as well', 'It is the sum of memory and swap: add --memory.'],
  [
    ['--ulimit', 'nofiles=1'],
    '--ulimit: there is no limit named nofiles',
    'Did you mean nofile? Known: as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack.',
  ],
  [['--ulimit', 'nofile=9:1'], '--ulimit: nofile=9:1: the soft limit is above the hard limit', undefined],
  [['--secret', 'src=x'], '--secret: "src=x" has no id', 'Write id=NAME,src=FILE.'],
  [['--secret', 'id=x,path=y'], '--secret: "path" is not one of id, src, source, env, type', undefined],
  [
    ['--secret', 'id=x,env=NOPE'],
    '--secret: x: the environment has no variable NOPE',
    'Export it, or name a file with src=.',
  ],
  [
    ['-o', 'type=ocii,dest=x'],
    '--output: "ocii" is not one of local, tar, oci, docker, image, registry',
    'Did you mean oci?',
  ],
  [['-o', 'type=oci,dst=x'], '--output: there is no key "dst"', 'Did you mean dest?'],
  [['-o', 'dest=x'], '--output: "dest=x" names no type', 'Add type=local|tar|oci|docker|image|registry.'],
  [['-o', 'type=local'], '--output: type=local needs a directory', 'Add dest=DIRECTORY.'],
  [
    ['-o', 'type=image,compression=estargz'],
    '--output compression: estargz is not supported',
    'Use gzip: every engine reads it.',
  ],
  [['-o', 'type=image,compression-level=12'], '--output compression-level: "12" is not 0 to 9', undefined],
  [['-o', '-', '-o', 'type=oci'], '--output: standard output can take one result only', 'Give the others a dest=FILE.'],
  [['-o', 'type=image,"name=a'], '--output: the quote in "type=image,\\"name=a" is not closed', undefined],
  [['--push'], 'there is no name to push to', 'Add -t registry/name:tag.'],
  [
    ['--add-host', 'me:host-gateway'],
    '--add-host: me:host-gateway: steps cannot reach this machine over a network of their own',
    'Add --network=host, or name an address.',
  ],
  [['--add-host', 'db:300.1.1.1'], '--add-host: "db:300.1.1.1" is not host:ip', 'Write e.g. db:10.0.0.5 or db=[::1].'],
  [['--add-host', 'db'], '--add-host: "db" is not host:ip', 'Write e.g. db:10.0.0.5 or db=[::1].'],
  [
    ['--allow', 'network.hots'],
    '--allow: "network.hots" is not one of network.host, security.insecure',
    'Did you mean network.host?',
  ],
  [
    ['--annotation', 'manifst:k=v'],
    '--annotation: "manifst" cannot be annotated, only manifest, index, manifest-descriptor, index-descriptor',
    'Did you mean manifest?',
  ],
  [
    ['--annotation', 'index[linux/amd64]:k=v'],
    '--annotation: an index is for every platform, and index[linux/amd64] names one',
    'Write index.',
  ],
  [['--annotation', 'x'], '--annotation: "x" is not key=value', 'Write KEY=VALUE, or index:KEY=VALUE.'],
  [['--build-arg', '=x'], '--build-arg: "=x" has no name', 'Write NAME=VALUE.'],
  [
    ['--build-context', 'x=/nonexistent'],
    '--build-context: x: the directory /nonexistent does not exist',
    'Name a directory, docker-image://, oci-layout://, a git or an http URL.',
  ],
  [['--cache-to', 'type=registry'], '--cache-to: type=registry needs ref=', 'Add ref=NAME.'],
  [
    ['--cache-to', 'type=gha'],
    '--cache-to: tsbuild keeps no steps with type=gha',
    'Use type=local with a folder that actions/cache keeps, or type=registry,ref=ghcr.io/OWNER/NAME.',
  ],
  [
    ['--cache-from', `app:${'x'.repeat(64)}`],
    `--cache-from: "${'x'.repeat(64)}" cannot begin the tags of steps`,
    'Use at most 63 of letters, digits, ".", "_" and "-".',
  ],
  [['--call', 'chek'], '--call: "chek" is not one of build, check, outline, targets, plan', 'Did you mean check?'],
  [['--check', '--call=outline'], '--check: does not go with --call=outline', 'Give one of them.'],
  [
    ['--platform', 'linux/'],
    '"linux/" is not a platform',
    'Write os/arch or os/arch/variant, e.g. linux/amd64 or linux/arm/v7.',
  ],
  [['--isolation=full'], '--isolation: "full" is not one of auto, root, userns, chroot, none', undefined],
  [['--cpuset-cpus', 'all'], '--cpuset-cpus: "all" is not a list of numbers and ranges', 'Write e.g. 0-2,4.'],
  [['--cpu-quota', '-5'], '--cpu-quota: "-5" is not a whole number from -1 on', undefined],
  [
    ['one'],
    `a build takes one context, and "FOLDER" comes after "one"`,
    'Put flags with values in one word (--target=x), and quote what has spaces.',
  ],
];

describe('a mistake on the command line', () => {
  test.each(mistakes)('%j is named', async (words, message, hint) => {
    const error = await failure(words);
    expect({ message: error.message.replaceAll(folder, 'FOLDER'), hint: error.hint }).toEqual({ message, hint });
  });

  test('a flag at the end without its value is named', async () => {
    await expect(parseBuildArguments(['.', '--file'], surroundings)).rejects.toThrow(
      '--file: needs a value: --file FILE',
    );
  });

  test('a missing context, and one that is a file', async () => {
    await expect(parseBuildArguments([], surroundings)).rejects.toThrow('the build context is missing');
    await expect(parseBuildArguments([join(folder, 'token')], surroundings)).rejects.toThrow('is not a directory');
    await expect(parseBuildArguments(['/nonexistent'], surroundings)).rejects.toThrow('does not exist');
  });

  test('standard input cannot be context and Dockerfile at once', async () => {
    await expect(parseBuildArguments(['-f', '-', '-'], surroundings)).rejects.toThrow('standard input cannot be both');
  });

  test('an archive is not written to a terminal', async () => {
    expect((await failure(['-o', 'type=oci'], { stdoutIsTerminal: true })).message).toBe(
      '--output: type=oci will not be written to a terminal',
    );
  });
});

test('every flag in the table is covered above', () => {
  const short = new Map(
    buildFlags.flatMap((flag): [string, string][] => (flag.short ? [[`-${flag.short}`, flag.name]] : [])),
  );
  const used = new Set([...seen].map((word) => short.get(word) ?? word.replace(/^--/, '')));
  expect(buildFlags.map((flag) => flag.name).filter((name) => !used.has(name))).toEqual([]);
});
