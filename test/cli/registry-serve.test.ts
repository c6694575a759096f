import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildahMissing, startBuildah } from '../support/buildah.ts';
import { mustRun } from '../support/command.ts';
import { type Dockerd, dockerdMissing, startDockerd } from '../support/dockerd.ts';
import { requirement } from '../support/requirement.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { commandPath, mustTsbuild, tsbuildEnvironment } from '../support/tsbuild.ts';

interface Serving extends AsyncDisposable {
  readonly host: string;
  readonly process: ChildProcess;
}

let folder: TemporaryFolder;
let served: Serving;
beforeAll(async () => {
  folder = temporaryFolder('registry-serve', 0o711);
  mkdirSync(folder.join('context'));
  writeFileSync(folder.join('context/Dockerfile'), 'FROM scratch\nCOPY Dockerfile /\nLABEL made=here\n');
  await must('-q', '-t', 'app:1', '-t', 'ghcr.io/me/app:2', '-t', 'localhost:5000/app:3', 'context');
  served = await serve();
});
afterAll(async () => {
  await served?.[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const must = (...args: string[]) => mustTsbuild(args, { home: folder.join('home'), cwd: folder.path });

async function serve(...args: string[]): Promise<Serving> {
  const child = spawn(process.execPath, [commandPath, 'registry', 'serve', '--port', '0', ...args], {
    cwd: folder.path,
    env: { ...process.env, ...tsbuildEnvironment(folder.join('home')) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return {
    host: line.toString().trim().replace('http://', ''),
    process: child,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null) return;
      child.kill('SIGINT');
      await once(child, 'exit');
    },
  };
}

const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];

describe('registry serve', () => {
  test('gives the images of the store to skopeo under the names people give them, and takes what it pushes', async () => {
    const from = (name: string) => `docker://${served.host}/${name}`;
    const { text } = await mustRun('skopeo', ['inspect', '--tls-verify=false', from('app:1')]);
    expect(JSON.parse(text).Labels).toEqual({ made: 'here' });
    for (const name of ['library/app:1', 'ghcr.io/me/app:2']) {
      expect(JSON.parse((await mustRun('skopeo', ['inspect', '--tls-verify=false', from(name)])).text).Digest).toBe(
        JSON.parse(text).Digest,
      );
    }
    await mustRun('skopeo', ['copy', ...insecure, from('app:1'), from('from/skopeo:1')]);
    expect((await must('inspect', '-f', '{{.Config.Labels.made}}', 'from/skopeo:1')).text).toBe('here\n');
  });

  test('lists what it has, and hides what has no place in a path', async () => {
    const { text } = await must('catalog', served.host);
    expect(text.split('\n')).toEqual(expect.arrayContaining(['app', 'ghcr.io/me/app']));
    expect(text).not.toContain('localhost');
  });

  test('answers a range with these bytes only', async () => {
    const { text } = await must('manifest', `${served.host}/app:1`);
    const { digest, size } = JSON.parse(text).config as { digest: string; size: number };
    const url = `http://${served.host}/v2/app/blobs/${digest}`;
    const whole = Buffer.from(await (await fetch(url)).arrayBuffer());
    const part = await fetch(url, { headers: { range: 'bytes=5-20' } });
    expect([part.status, part.headers.get('content-range')]).toEqual([206, `bytes 5-20/${size}`]);
    expect(Buffer.from(await part.arrayBuffer())).toEqual(whole.subarray(5, 21));
  });

  test('keeps what is attached to an image findable, and out of the lists', async () => {
    writeFileSync(folder.join('sbom.json'), '{}');
    await must('artifact', 'attach', `${served.host}/app:1`, 'sbom.json', '--artifact-type', 'application/spdx+json');
    expect((await must('artifact', 'list', `${served.host}/app:1`)).text).toContain('application/spdx+json');
    expect((await must('ls', `${served.host}/app`)).text).toBe('1\n');
    expect((await must('images', 'app')).text.split('\n')).toHaveLength(3);
  });

  test('read-only it refuses to be written to', async () => {
    await using readOnly = await serve('--read-only');
    expect((await fetch(`http://${readOnly.host}/v2/app/blobs/uploads/`, { method: 'POST' })).status).toBe(405);
    expect((await must('digest', `${readOnly.host}/app:1`)).text).toMatch(/^sha256:/);
  });

  test('with --users asks every client for a name and a password', async () => {
    writeFileSync(folder.join('users'), '# who may\nalice:wonder land\n', { mode: 0o600 });
    await using closed = await serve('--users', 'users');
    await expect(must('digest', `${closed.host}/app:1`)).rejects.toThrow('[registry-unauthorized]');
    const to = `docker://${closed.host}/from/alice:1`;
    const credentials = ['--src-creds', 'alice:wonder land', '--dest-creds', 'alice:wonder land'];
    await mustRun('skopeo', ['copy', ...insecure, ...credentials, `docker://${closed.host}/app:1`, to]);
    expect((await must('inspect', '-f', '{{.Config.Labels.made}}', 'from/alice:1')).text).toBe('here\n');
  });

  test('with --users takes a file that htpasswd made, which others may read', async () => {
    await mustRun('htpasswd', ['-Bbc', folder.join('htpasswd'), 'alice', 'wonder land']);
    chmodSync(folder.join('htpasswd'), 0o644);
    await using closed = await serve('--users', 'htpasswd');
    await expect(must('digest', `${closed.host}/app:1`)).rejects.toThrow('[registry-unauthorized]');
    const place = `docker://${closed.host}/app:1`;
    const { text } = await mustRun('skopeo', ['inspect', '--tls-verify=false', '--creds', 'alice:wonder land', place]);
    expect(JSON.parse(text).Labels).toEqual({ made: 'here' });
    await expect(mustRun('skopeo', ['inspect', '--tls-verify=false', '--creds', 'alice:x', place])).rejects.toThrow();
  });

  test('does not take users from a file that others may read, or that is none', async () => {
    writeFileSync(folder.join('open'), 'alice:secret\n', { mode: 0o644 });
    await expect(must('registry', 'serve', '--port', '0', '--users', 'open')).rejects.toThrow('chmod 600 open');
    writeFileSync(folder.join('none'), 'alice=secret\n', { mode: 0o600 });
    await expect(must('registry', 'serve', '--port', '0', '--users', 'none')).rejects.toThrow('not a list of users');
  });

  test('serves a directory of its own, ends on Ctrl-C, and leaves an image layout that others read', async () => {
    const other = await serve('elsewhere');
    await must('copy', '-q', 'store://app:1', `${other.host}/copied:1`);
    other.process.kill('SIGINT');
    const [code] = (await once(other.process, 'exit')) as [number];
    expect(code).toBe(130);
    const name = `oci:${folder.join('elsewhere')}:docker.io/library/copied:1`;
    expect(JSON.parse((await mustRun('skopeo', ['inspect', name])).text).Labels).toEqual({ made: 'here' });
  });

  test('refuses a port that is taken, in one clear error', async () => {
    await expect(must('registry', 'serve', '--port', served.host.split(':')[1] ?? '')).rejects.toThrow('it is in use');
  });
});

const noBuildah = await buildahMissing();
requirement('buildah', noBuildah);
describe.skipIf(noBuildah !== undefined)('buildah', () => {
  test('pulls from registry serve and pushes to it', async () => {
    await using buildah = await startBuildah();
    const command = (...args: string[]) => {
      const [program = '', ...rest] = buildah.command(args);
      return mustRun(program, rest);
    };
    await command('pull', '-q', '--tls-verify=false', `docker://${served.host}/app:1`);
    await command('push', '-q', '--tls-verify=false', `${served.host}/app:1`, `docker://${served.host}/from/buildah:1`);
    expect((await must('inspect', '-f', '{{.Config.Labels.made}}', 'from/buildah:1')).text).toBe('here\n');
    expect((await must('store', 'check')).text).toContain('Nothing is damaged\n');
  });
});

const noDockerd = dockerdMissing();
requirement('dockerd', noDockerd);
describe.skipIf(noDockerd !== undefined)('a real engine', () => {
  let engine: Dockerd;
  beforeAll(async () => {
    engine = await startDockerd();
  });
  afterAll(async () => {
    await engine?.[Symbol.asyncDispose]();
  });

  test('pulls from registry serve and pushes to it', async () => {
    await engine.docker(['pull', `${served.host}/app:1`]);
    await engine.docker(['tag', `${served.host}/app:1`, `${served.host}/from/docker:1`]);
    await engine.docker(['push', `${served.host}/from/docker:1`]);
    expect((await must('inspect', '-f', '{{.Config.Labels.made}}', 'from/docker:1')).text).toBe('here\n');
  });

  test('is a place to copy to and from', async () => {
    const withEngine = (...args: string[]) =>
      mustTsbuild(args, { home: folder.join('home'), cwd: folder.path, env: { DOCKER_HOST: engine.host } });
    await withEngine('copy', '-q', `${served.host}/app:1`, 'docker-daemon:handed/over:1');
    const { text } = await engine.docker(['image', 'inspect', '-f', '{{.Config.Labels.made}}', 'handed/over:1']);
    expect(text).toBe('here\n');
    await withEngine('copy', '-q', 'docker-daemon:handed/over:1', 'oci:from-engine:1');
    await withEngine('copy', '-q', 'docker-daemon:handed/over:1', `${served.host}/from/engine:1`);
    expect(
      JSON.parse((await mustRun('skopeo', ['inspect', `oci:${folder.join('from-engine')}:1`])).text).Labels,
    ).toEqual({ made: 'here' });
    writeFileSync(folder.join('Derived'), 'FROM base\nLABEL derived=yes\n');
    await withEngine(
      ...['-q', '-f', 'Derived', '-t', 'derived:1', '--build-context', 'base=docker-daemon:handed/over:1', 'context'],
    );
    expect((await must('inspect', '-f', '{{.Config.Labels.derived}}', 'derived:1')).text).toBe('yes\n');
    await expect(withEngine('copy', 'docker-daemon:not/there:1', 'oci:x:1')).rejects.toThrow('[image-not-found]');
  });
});
