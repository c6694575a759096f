/** What the flags of a build do to the image, to its steps and to the files that are asked for, through the whole program. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';
import { readOciLayout } from '../support/image-files.ts';
import { readTar } from '../support/plain-tar.ts';
import { flatten } from '../support/tree-compare.ts';

let place: BuildWorkspace;
let context: string;

beforeAll(() => {
  place = buildWorkspace('flags');
  context = place.context('context', { Dockerfile: 'FROM scratch\nCOPY a /\n', a: 'a\n' });
});
afterAll(async () => await place[Symbol.asyncDispose]());

/** Builds a Dockerfile from standard input in the context. */
async function treeFrom(dockerfile: string, args: readonly string[] = [], env: Record<string, string> = {}) {
  await place.build(context, ['-f', '-', '-t', 'flags:1', ...args], { input: dockerfile, env });
  return flatten(place.image('docker.io/library/flags:1'));
}

const refused = (dockerfile: string, args: readonly string[] = [], env: Record<string, string> = {}) =>
  place.tryBuild(context, ['-f', '-', ...args], { input: dockerfile, env });

describe('the files a build leaves for scripts', () => {
  test('hold the image ID, the digests, the names and the platform', async () => {
    const [id, metadata] = [`${place.path}/id`, `${place.path}/metadata.json`];
    await place.build(context, ['--iidfile', id, '--metadata-file', metadata, '-t', 'named:1', '-t', 'named:2']);
    const image = await place.tsbuild(['inspect', '-f', '{{.Id}}', 'named:1']);
    expect(readFileSync(id, 'utf8')).toBe(image.text.trim());
    const index = JSON.parse(readFileSync(`${place.home}/index.json`, 'utf8'));
    const entry = index.manifests.find(
      ({ annotations }: { annotations: Record<string, string> }) =>
        annotations['io.containerd.image.name'] === 'docker.io/library/named:1' ||
        annotations['org.opencontainers.image.ref.name'] === 'docker.io/library/named:1',
    );
    expect(JSON.parse(readFileSync(metadata, 'utf8'))).toMatchObject({
      'containerimage.config.digest': image.text.trim(),
      'containerimage.digest': entry.digest,
      'containerimage.descriptor': { mediaType: entry.mediaType, digest: entry.digest, size: entry.size },
      'image.name': 'docker.io/library/named:1,docker.io/library/named:2',
    });
  });

  test('hold the index of several platforms', async () => {
    const [id, metadata] = [`${place.path}/ids`, `${place.path}/index.json`];
    await place.build(context, ['--platform', 'linux/amd64,linux/arm64', '--iidfile', id, '--metadata-file', metadata]);
    const document = JSON.parse(readFileSync(metadata, 'utf8'));
    expect(document['containerimage.descriptor'].mediaType).toBe('application/vnd.oci.image.index.v1+json');
    expect(readFileSync(id, 'utf8')).toBe(document['containerimage.digest']);
    expect(document['containerimage.config.digest']).toBeUndefined();
  });

  test('that cannot be written are named, and the image is there', async () => {
    const { code, stderr } = await place.tryBuild(context, ['--iidfile', `${place.path}/none/id`, '-t', 'kept:1']);
    expect(code).toBe(1);
    expect(stderr).toContain(`cannot write ${place.path}/none/id`);
    await place.tsbuild(['inspect', 'kept:1']);
  });

  test('BUILDKIT_MULTI_PLATFORM makes an index of one platform, too', async () => {
    const metadata = `${place.path}/one.json`;
    await place.build(context, ['--build-arg', 'BUILDKIT_MULTI_PLATFORM=1', '--metadata-file', metadata]);
    expect(JSON.parse(readFileSync(metadata, 'utf8'))['containerimage.descriptor'].mediaType).toContain('index');
  });
});

describe('an output', () => {
  const at = (name: string) => `${place.path}/${name}`;

  test('that is a path is a directory with the files of the image', async () => {
    await place.build(context, ['-o', at('bare')]);
    expect(readFileSync(at('bare/a'), 'utf8')).toBe('a\n');
  });

  test('that is - is a tar of them on standard output', async () => {
    const { stdout } = await place.build(context, ['-o', '-']);
    expect(readTar(stdout).map(({ path }) => path)).toContain('a');
  });

  test.each([
    ['type=tar,dest=PATH/x.tar', (path: string) => readTar(readFileSync(`${path}/x.tar`)).map((entry) => entry.path)],
    ['type=local,dest=PATH/local', (path: string) => readdirSync(`${path}/local`)],
    ['type=oci,dest=PATH/oci,tar=false', (path: string) => [...flatten(readOciLayout(`${path}/oci`)).keys()]],
  ])('%s', async (output, names) => {
    await place.build(context, ['-t', 'out:1', '-o', output.replace('PATH', place.path)]);
    expect(names(place.path)).toContain('a');
  });

  test('of several, each with its own', async () => {
    const outputs = ['-o', `type=oci,dest=${at('several.oci.tar')}`, '-o', `type=docker,dest=${at('several.tar')}`];
    await place.build(context, ['-t', 'several:1', ...outputs, '-o', at('several')]);
    expect([at('several.oci.tar'), at('several.tar'), at('several/a')].map(existsSync)).toEqual([true, true, true]);
  });

  test('of a directory keeps what lies there, unless mode=delete', async () => {
    mkdirSync(at('mixed'));
    writeFileSync(at('mixed/before'), '');
    await place.build(context, ['-o', `type=local,dest=${at('mixed')}`]);
    expect(readdirSync(at('mixed')).sort()).toEqual(['a', 'before']);
    await place.build(context, ['-o', `type=local,dest=${at('mixed')},mode=delete`]);
    expect(readdirSync(at('mixed'))).toEqual(['a']);
  });

  test('of compression=zstd has such layers', async () => {
    await place.build(context, ['-t', 'zstd:1', '-o', `type=oci,dest=${at('zstd')},tar=false,compression=zstd`]);
    const { manifests } = layoutOf('zstd');
    expect(manifests[0]?.document.layers[0].mediaType).toBe('application/vnd.oci.image.layer.v1.tar+zstd');
  });

  /** The documents of a layout. */
  function layoutOf(name: string) {
    const read = (digest: string) => JSON.parse(readFileSync(at(`${name}/blobs/${digest.replace(':', '/')}`), 'utf8'));
    const [entry] = JSON.parse(readFileSync(at(`${name}/index.json`), 'utf8')).manifests;
    const top = read(entry.digest);
    const children: { digest: string; annotations?: object; platform?: { architecture: string } }[] = top.manifests ?? [
      entry,
    ];
    return { entry, top, manifests: children.map((child) => ({ ...child, document: read(child.digest) })) };
  }

  test('has annotations where they were asked for', async () => {
    const output = `type=oci,dest=${at('annotated')},tar=false,annotation.who=me`;
    await place.build(context, ['-o', output, '--annotation', 'what=this', '--annotation', 'manifest-descriptor:d=e']);
    const { entry, top } = layoutOf('annotated');
    expect(top.annotations).toEqual({ who: 'me', what: 'this' });
    expect(entry.annotations).toMatchObject({ d: 'e' });
  });

  test('has annotations of an index and of the platform they name', async () => {
    const output = `type=oci,dest=${at('platforms')},tar=false,annotation-index.who=me,annotation-index-descriptor.i=j`;
    const annotations = ['index:what=this', 'manifest[linux/arm64]:only=arm', 'index,manifest:both=yes'];
    await place.build(context, [
      ...[
        '--platform',
        'linux/amd64,linux/arm64',
        '-o',
        output,
        '--annotation',
        'manifest-descriptor[linux/amd64]:d=e',
      ],
      ...annotations.flatMap((text) => ['--annotation', text]),
    ]);
    const { entry, top, manifests } = layoutOf('platforms');
    expect(entry.annotations).toMatchObject({ i: 'j' });
    expect(top.annotations).toEqual({ what: 'this', who: 'me', both: 'yes' });
    const of = Object.fromEntries(
      manifests.map(({ platform, annotations: own, document }) => [
        platform?.architecture,
        [own, document.annotations],
      ]),
    );
    expect(of).toEqual({ amd64: [{ d: 'e' }, { both: 'yes' }], arm64: [undefined, { only: 'arm', both: 'yes' }] });
  });

  test('of one platform has no index to annotate', async () => {
    const { code, stderr } = await place.tryBuild(context, ['--annotation', 'index:a=b']);
    expect(code).toBe(2);
    expect(stderr).toContain('an image of one platform has no index to annotate');
  });
});

describe('a secret', () => {
  const show = (mount: string, command = 'cat /run/secrets/token') =>
    `FROM base\nRUN --mount=type=secret,${mount} ${command} > /seen\n`;

  test.each<[string, readonly string[], Record<string, string>]>([
    ['of a file', ['id=token,src=FOLDER/secret'], {}],
    ['of a file by its long name', ['type=file,id=token,source=FOLDER/secret'], {}],
    ['of a variable', ['id=token,env=VARIABLE'], { VARIABLE: 'hush' }],
    ['of a variable by its type', ['type=env,id=token,src=VARIABLE'], { VARIABLE: 'hush' }],
    ['of the variable of its name', ['id=token'], { token: 'hush' }],
  ])('%s is a file of the step', async (_, secrets, env) => {
    writeFileSync(`${place.path}/secret`, 'hush');
    const args = secrets.flatMap((text) => ['--no-cache', '--secret', text.replace('FOLDER', place.path)]);
    expect((await treeFrom(show('id=token'), args, env)).get('seen')?.text).toBe('hush');
  });

  test.each([
    ['id=token,target=/t', 'cat /t', 'hush'],
    ['id=token,target=t', 'cat t', 'hush'],
    ['target=/x/token', 'cat /x/token', 'hush'],
    ['src=token', 'cat /run/secrets/token', 'hush'],
    ['id=token,env=OTHER', 'echo "$OTHER"; ls /run/secrets 2>/dev/null || true', 'hush\n'],
    ['id=token,env=', 'echo "$token"', 'hush\n'],
    ['id=token,target=/t,env=BOTH', 'cat /t; echo "$BOTH"', 'hushhush\n'],
    ['id=token,mode=0444,uid=5,gid=6', "stat -c '%a %u %g' /run/secrets/token", '444 5 6\n'],
    ['id=token', "stat -c '%a %u %g' /run/secrets/token", '400 0 0\n'],
    ['id=token,required', 'cat /run/secrets/token', 'hush'],
    ['id=token,required=true', 'cat /run/secrets/token', 'hush'],
  ])('mounted with %s is where that says', async (mount, command, text) => {
    const group = command.includes(';') ? `{ ${command}; }` : command;
    const tree = await treeFrom(show(mount, group), ['--no-cache', '--secret', 'id=token'], { token: 'hush' });
    expect(tree.get('seen')?.text).toBe(text);
  });

  test('nobody gave is no file, and an error where it is required', async () => {
    expect((await treeFrom(show('id=token', 'ls /run/secrets/token || echo none'))).get('seen')?.text).toBe('none\n');
    const { code, stderr } = await refused(show('id=token,required', 'echo not cached; cat /run/secrets/token'));
    expect(code).toBe(1);
    expect(stderr).toMatch(/secret.*token/);
  });
});

describe('an SSH agent', () => {
  let agent: Server;
  beforeAll(async () => {
    agent = createServer((socket) => socket.end('agent\n'));
    await new Promise<void>((resolve) => agent.listen(`${place.path}/agent.sock`, resolve));
  });
  afterAll(() => agent.close());

  const dockerfile = (mount: string) =>
    `FROM base\nRUN --mount=type=ssh${mount} test -S "$SSH_AUTH_SOCK" && echo "$SSH_AUTH_SOCK" > /seen\n`;

  test.each<[string, string, Record<string, string>, string]>([
    ['default', '', { SSH_AUTH_SOCK: 'agent.sock' }, '/run/buildkit/ssh_agent.0'],
    ['default=agent.sock', '', {}, '/run/buildkit/ssh_agent.0'],
    ['other=agent.sock', ',id=other,target=/run/other.sock', {}, '/run/other.sock'],
  ])('given as %s is reached through a socket of the step', async (flag, mount, env, path) => {
    const inFolder = (text: string) => text.replace('agent.sock', `${place.path}/agent.sock`);
    const args = ['--no-cache', '--ssh', inFolder(flag)];
    const given = Object.fromEntries(Object.entries(env).map(([name, value]) => [name, inFolder(value)]));
    expect((await treeFrom(dockerfile(mount), args, given)).get('seen')?.text).toBe(`${path}\n`);
  });

  test('nobody gave is an error where it is required', async () => {
    const { code, stderr } = await refused('FROM base\nRUN --mount=type=ssh,required true\n');
    expect(code).toBe(1);
    expect(stderr).toMatch(/ssh/i);
  });
});

describe('a step', () => {
  test('finds the hosts of --add-host, and a new one runs it again', async () => {
    const hosts = "FROM base\nRUN grep -w db /etc/hosts | tr '\\t' ' ' > /seen\n";
    const seen = async (host: string) => (await treeFrom(hosts, ['--add-host', host])).get('seen')?.text;
    expect(await seen('db:10.1.2.3')).toMatch(/^10\.1\.2\.3\s+db\n$/);
    expect(await seen('db=10.1.2.4')).toMatch(/^10\.1\.2\.4\s+db\n$/);
    expect(await seen('db:[2001:db8::1]')).toMatch(/^2001:db8::1\s+db\n$/);
  });

  test('has the limits it was given', async () => {
    const dockerfile = "FROM base\nRUN ulimit -n > /files && df -k /dev/shm | tail -1 | awk '{print $2}' > /shm\n";
    const tree = await treeFrom(dockerfile, ['--ulimit', 'nofile=123:456', '--shm-size', '16m']);
    expect(tree.get('files')?.text).toBe('123\n');
    expect(tree.get('shm')?.text).toBe('16384\n');
  });

  test('has no network with --network=none, and one of its own says otherwise', async () => {
    const devices = 'FROM base\nRUN ls /sys/class/net > /seen\n';
    expect((await treeFrom(devices, ['--network', 'none'])).get('seen')?.text).toBe('lo\n');
  });

  test('calls its machine what BUILDKIT_SANDBOX_HOSTNAME says', async () => {
    const dockerfile = 'FROM base\nRUN hostname > /seen\n';
    expect((await treeFrom(dockerfile)).get('seen')?.text).toBe('buildkitsandbox\n');
    const named = await treeFrom(dockerfile, ['--build-arg', 'BUILDKIT_SANDBOX_HOSTNAME=mine']);
    expect(named.get('seen')?.text).toBe('mine\n');
  });

  test('takes a build argument without a value from the environment', async () => {
    const dockerfile = 'FROM base\nARG GIVEN=default\nRUN echo "$GIVEN" > /seen\n';
    const args = ['--build-arg', 'GIVEN'];
    expect((await treeFrom(dockerfile, args, { GIVEN: 'outside' })).get('seen')?.text).toBe('outside\n');
    expect((await treeFrom(dockerfile, args)).get('seen')?.text).toBe('default\n');
  });

  test.each([
    ['--network=host', 'network.host', 'ls /sys/class/net'],
    ['--security=insecure', 'security.insecure', 'grep CapEff /proc/self/status'],
  ])('with %s needs --allow %s', async (flag, entitlement, command) => {
    const dockerfile = `FROM base\nRUN ${flag} ${command}\n`;
    const { code, stderr } = await refused(dockerfile);
    expect(code).toBe(1);
    expect(stderr).toContain(`--allow ${entitlement}`);
  });
});

describe('flags of docker that have no meaning here', () => {
  test('are accepted: some with a warning after the build, some without a word', async () => {
    const warned = await place.build(context, ['--squash', '--security-opt', 'x', '--isolation=hyperv']);
    for (const flag of ['--squash', '--security-opt', '--isolation=hyperv']) {
      expect(warned.stderr.split('\n').filter((line) => line.includes(`${flag} does nothing`))).toHaveLength(1);
    }
    const silent = await place.build(context, ['--compress', '--rm', '--force-rm', '--rm=false']);
    expect(silent.stderr).not.toMatch(/compress|rm\b.*nothing/);
  });
});

describe('warnings of the build checks', () => {
  const dockerfile = 'from scratch as one\nMAINTAINER me\nCOPY a /\n';

  test('print once, after the build, with rule, line and page, whatever the number of platforms', async () => {
    const args = ['-f', '-', '--platform', 'linux/amd64,linux/arm64', '-t', 'warned:1'];
    const { stderr } = await place.build(context, args, { input: dockerfile });
    const lines = stderr.split('\n');
    const found = lines.filter((line) => line.includes('MaintainerDeprecated'));
    expect(found).toEqual([
      ' - MaintainerDeprecated: MAINTAINER is deprecated (stdin:2, see docs/checks/MaintainerDeprecated.md)',
    ]);
    const lastStep = lines.findLastIndex((line) => /DONE|CACHED/.test(line));
    expect(lines.indexOf(found[0] ?? '')).toBeGreaterThan(lastStep);
  });

  test('are a failure before anything is built where the Dockerfile says so', async () => {
    const { code, stderr } = await refused(`# check=error=true\n${dockerfile}`);
    expect(code).toBe(1);
    expect(stderr).toContain('[build-check-failed]');
    expect(stderr).not.toContain('COPY a / DONE');
  });
});
