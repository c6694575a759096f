import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commands } from '../../src/cli/command-table.ts';
import { busyboxImage } from '../support/base-images.ts';
import { run } from '../support/command.ts';
import { readDockerArchive, readOciLayout, writeOciLayout } from '../support/image-files.ts';
import { alice, startRegistry, type TestRegistry } from '../support/registry.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/temporary-folder.ts';
import { mustTsbuild, tsbuild } from '../support/tsbuild.ts';

let folder: TemporaryFolder;
let home = '';
let registry: TestRegistry;

beforeAll(async () => {
  folder = temporaryFolder('commands');
  home = folder.join('home');
  writeOciLayout(folder.join('bases'), [busyboxImage()]);
  mkdirSync(folder.join('context'));
  writeFileSync(folder.join('context/file'), 'content\n');
  writeFileSync(
    folder.join('context/Dockerfile'),
    'FROM scratch\nCOPY file /file\nLABEL kind=test\nENTRYPOINT ["/file"]\n',
  );
  registry = await startRegistry();
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const must = (args: readonly string[], env: Record<string, string | undefined> = {}) =>
  mustTsbuild(args, { home, env, cwd: folder.path });
const any = (args: readonly string[], options: { env?: Record<string, string>; input?: string } = {}) =>
  tsbuild(args, { home, cwd: folder.path, ...options });

describe('tsbuild', () => {
  test('prints the version of package.json', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect((await must(['version', '-q'])).text).toBe(`${version}\n`);
    expect((await must(['--version'])).text).toMatch(new RegExp(`^tsbuild ${version} \\(Node v`));
  });

  test('lists every command in its help', async () => {
    const { text } = await must(['--help']);
    for (const name of Object.keys(commands)) expect(text).toMatch(new RegExp(`^  ${name} +\\S`, 'm'));
    expect((await must([])).text).toBe(text);
    expect((await must(['help'])).text).toBe(text);
  });

  test.each(Object.keys(commands))('explains %s', async (name) => {
    const { text } = await must([name, '--help']);
    expect(text).toMatch(/^Usage: tsbuild \S/);
    expect(text.split('\n').every((line) => line.length <= 110)).toBe(true);
    expect((await must(['help', name])).text).toBe(text);
  });

  test('exits with 2 and names the nearest when the command line is wrong', async () => {
    const command = await any(['psh', 'x']);
    expect(command).toMatchObject({ code: 2, text: '' });
    expect(command.stderr).toContain('hint: Did you mean tsbuild push?');
    const flag = await any(['pull', '--platfor', 'x', 'y']);
    expect(flag.code).toBe(2);
    expect(flag.stderr).toContain('hint: Did you mean --platform?');
    const words = await any(['tag', 'only-one']);
    expect(words.code).toBe(2);
    expect(words.stderr).toContain('hint: Write tsbuild tag IMAGE NAME');
  });

  test('is silent when the reader of its output goes away', async () => {
    await must(['-t', 'pipe:1', 'context']);
    const finished = await run(
      'bash',
      ['-c', `"$0" dist/tsbuild.js images --format json | true; echo "\${PIPESTATUS[0]}"`, process.execPath],
      {
        cwd: new URL('../..', import.meta.url).pathname,
        env: { TSBUILD_HOME: home },
      },
    );
    expect(finished.stderr).toBe('');
    expect(['0', '141']).toContain(finished.text.trim());
  });
});

describe('tsbuild build', () => {
  test('prints progress on stderr, and on stdout nothing but the ID with -q', async () => {
    const built = await must(['-t', 'app:1', '--iidfile', 'id', '--metadata-file', 'meta.json', 'context']);
    expect(built.text).toBe('');
    expect(built.stderr).toMatch(/#\d+ \[1\/1\] COPY file \/file\n#\d+ (DONE|CACHED)/);
    const id = readFileSync(folder.join('id'), 'utf8');
    expect(built.stderr).toContain(`built app:1 ${id}\n`);
    const quiet = await must(['-q', '-t', 'app:2', 'context']);
    expect(quiet.text).toBe(`${id}\n`);
    expect(quiet.stderr).toBe('');
    const metadata = JSON.parse(readFileSync(folder.join('meta.json'), 'utf8'));
    expect(metadata).toEqual({
      'containerimage.config.digest': id,
      'containerimage.descriptor': {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: metadata['containerimage.digest'],
        size: expect.any(Number),
        platform: { os: 'linux', architecture: expect.any(String) },
      },
      'containerimage.digest': expect.stringMatching(/^sha256:/),
      'image.name': 'docker.io/library/app:1',
    });
  });

  test('takes a Dockerfile from standard input, and a context', async () => {
    const fromStdin = await any(['-q', '-f', '-', 'context'], { input: 'FROM scratch\nCOPY file /other\n' });
    expect(fromStdin).toMatchObject({ code: 0, stderr: '' });
    const alone = await any(['-q', '-'], { input: 'FROM scratch\nLABEL a=b\n' });
    expect(alone).toMatchObject({ code: 0, stderr: '' });
  });

  test('shows the line of a mistake with a caret, and exits with 1', async () => {
    const finished = await any(['-f', '-', 'context'], { input: 'FROM scratch\nCOPPY file /other\n' });
    expect(finished.code).toBe(1);
    expect(finished.stderr).toMatch(/╭─ \S*:2:1\n1 │ FROM scratch\n2 │ COPPY file \/other\n {2}│ \^/);
    expect(finished.stderr).not.toMatch(/^ +at /m);
  });

  test('ends a failing RUN with its code, its place and its last lines', async () => {
    const finished = await any(['-f', '-', '--build-context', 'base=oci-layout://bases:base', 'context'], {
      input: 'FROM base\nRUN echo one; echo two >&2; exit 7\n',
    });
    expect(finished.code).toBe(1);
    expect(finished.stderr).toMatch(/error: .*exit code 7.*\n +╭─ .*:2:1\n/);
    expect(finished.stderr).toMatch(/ {2}│ one\n {2}│ two\n/);
  });

  test('only checks with --check, and exits with 1 when it found something', async () => {
    const found = await any(['--check', '-f', '-', 'context'], { input: 'FROM scratch as Base\n' });
    expect(found.code).toBe(1);
    expect(found.text).toContain('[FromAsCasing]');
    const clean = await any(['--check', '-f', '-', 'context'], { input: 'FROM scratch\nCOPY file /\n' });
    expect(clean).toMatchObject({ code: 0, text: 'Check complete, no warnings found.\n' });
  });

  test('stops on SIGTERM with 143 and leaves no process of the step', async () => {
    const script = `
      "$0" dist/tsbuild.js --progress plain -f - --build-context base=oci-layout://$1/bases:base $1/context 2>$1/log <<'END' &
FROM base
RUN echo ready; sleep 4321
END
      pid=$!
      for i in $(seq 100); do grep -q ' ready' $1/log && break; sleep 0.1; done
      kill -TERM $pid; wait $pid; echo "code $?"
      sleep 0.2; pgrep -fc 'sleep 4321$' || true`;
    const finished = await run('bash', ['-c', script, process.execPath, folder.path], {
      cwd: new URL('../..', import.meta.url).pathname,
      env: { TSBUILD_HOME: home },
    });
    expect(finished.text).toBe('code 143\n0\n');
    expect(readFileSync(folder.join('log'), 'utf8')).toContain('error: stopped by SIGTERM [interrupted]');
  });
});

describe('the images of the store', () => {
  test('are listed, named, inspected and removed', async () => {
    const own = { TSBUILD_HOME: folder.join('listed') };
    await must(['-q', '-t', 'one:1', 'context'], own);
    const listed = (await must(['images'], own)).text.split('\n');
    expect(listed[0]).toMatch(/^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE$/);
    expect(listed[1]).toMatch(/^one +1 +[0-9a-f]{12} +.* ago +\S+B$/);
    const id = (await must(['images', '-q', '--no-trunc'], own)).text.trim();
    await must(['tag', id.slice(7, 15), 'two'], own);
    expect((await must(['images', '--format', '{{.Repository}}:{{.Tag}}'], own)).text.split('\n').sort()).toEqual([
      '',
      'one:1',
      'two:latest',
    ]);
    expect((await must(['images', 'two', '--format', 'json'], own)).text).toContain('"Repository":"two"');
    expect(
      (
        await must(
          ['inspect', '-f', '{{.Id}} {{index .Config.Labels "kind"}} {{json .Config.Entrypoint}}', 'one:1'],
          own,
        )
      ).text,
    ).toBe(`${id} test ["/file"]\n`);
    expect(JSON.parse((await must(['inspect', 'two'], own)).text)[0]).toMatchObject({
      Id: id,
      RepoTags: expect.arrayContaining(['two:latest', 'one:1']),
    });
    const ambiguous = await any(['rmi', id], { env: own });
    expect(ambiguous).toMatchObject({ code: 2 });
    expect((await must(['rmi', 'one:1'], own)).text).toBe('Untagged: one:1\n');
    expect((await must(['rmi', 'two'], own)).text).toMatch(/^Untagged: two:latest\nDeleted: sha256:[0-9a-f]{64}\n$/);
    expect((await must(['images', '-q'], own)).text).toBe('');
    const missing = await any(['inspect', 'one:1'], { env: own });
    expect(missing.code).toBe(1);
    expect(missing.stderr).toMatch(/^error: the local store has no image one:1/);
  });

  test('are saved to archives that others read, and loaded again', async () => {
    await must(['-q', '-t', 'saved:1', 'context']);
    const id = (await must(['inspect', '-f', '{{.Id}}', 'saved:1'])).text.trim();
    const archive = (await must(['save', 'saved:1'])).stdout;
    expect(readDockerArchive(archive).config.config).toMatchObject({ Labels: { kind: 'test' } });
    await must(['save', '--format', 'oci-archive', '-o', 'saved.oci.tar', 'saved:1']);
    await must(['save', '--format', 'oci-dir', '-o', 'saved-dir', 'saved:1']);
    expect(readOciLayout(folder.join('saved-dir')).config.config).toMatchObject({ Labels: { kind: 'test' } });
    writeFileSync(folder.join('saved.tar'), archive);
    for (const [index, input] of ['saved.tar', 'saved.oci.tar', 'saved-dir'].entries()) {
      const own = { TSBUILD_HOME: folder.join(`loaded-${index}`) };
      expect((await must(['load', '-q', '-i', input], own)).text).toBe('saved:1\n');
      expect((await must(['inspect', '-f', '{{.Id}}', 'saved:1'], own)).text.trim()).toBe(id);
    }
    const skopeo = await run('skopeo', ['inspect', '--config', `docker-archive:${folder.join('saved.tar')}`]);
    expect(JSON.parse(skopeo.text).config.Labels).toEqual({ kind: 'test' });
  });
});

describe('the registry', () => {
  test('takes what is pushed and gives what is pulled', async () => {
    const name = `${registry.host}/team/app:1`;
    await must(['-q', '-t', name, 'context']);
    const id = (await must(['inspect', '-f', '{{.Id}}', name])).text.trim();
    const pushed = (await must(['push', name])).text;
    expect(pushed).toMatch(/^127\.0\.0\.1:\d+\/team\/app:1@sha256:[0-9a-f]{64}\n$/);
    const own = { TSBUILD_HOME: folder.join('pulled') };
    expect((await must(['pull', name], own)).text).toBe(`${name}\n`);
    expect((await must(['inspect', '-f', '{{.Id}}', name], own)).text.trim()).toBe(id);
    const skopeo = await run('skopeo', ['inspect', '--tls-verify=false', `docker://${name}`]);
    expect(`${name}@${JSON.parse(skopeo.text).Digest}\n`).toBe(pushed);
  });

  test('gives bases to builds, which push without fetching what the registry has', async () => {
    const base = `${registry.host}/team/base:1`;
    await must(['-q', '-t', base, 'context']);
    await must(['-q', 'push', base].slice(1));
    const own = { TSBUILD_HOME: folder.join('derived') };
    writeFileSync(folder.join('derived.Dockerfile'), `FROM ${base}\nCOPY file /second\n`);
    const derived = `${registry.host}/other/derived:1`;
    await must(
      ['-t', derived, '--push', '-f', 'derived.Dockerfile', '--metadata-file', 'derived.json', 'context'],
      own,
    );
    const skopeo = JSON.parse((await run('skopeo', ['inspect', '--tls-verify=false', `docker://${derived}`])).text);
    expect(JSON.parse(readFileSync(folder.join('derived.json'), 'utf8'))['containerimage.digest']).toBe(skopeo.Digest);
    expect(skopeo.Layers).toHaveLength(2);
  });

  test('that does not answer is one clear error', async () => {
    const finished = await any(['pull', '127.0.0.1:1/app']);
    expect(finished.code).toBe(1);
    expect(finished.stderr.match(/^error: /gm)).toHaveLength(1);
    expect(finished.stderr).toMatch(/127\.0\.0\.1:1/);
  });

  test('that wants a password gets what login kept, and refuses after logout', async () => {
    await using closed = await startRegistry({ auth: 'htpasswd' });
    const env = { DOCKER_CONFIG: folder.join('docker-config') };
    const name = `${closed.host}/app:1`;
    await must(['-q', '-t', name, 'context']);
    const refused = await any(['push', name], { env });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/\[registry-unauthorized\]/);
    const wrong = await any(['login', closed.host, '-u', alice.username, '--password-stdin'], { env, input: 'wrong' });
    expect(wrong.code).toBe(1);
    const right = await any(['login', closed.host, '-u', alice.username, '--password-stdin'], {
      env,
      input: `${alice.password}\n`,
    });
    expect(right).toMatchObject({ code: 0, text: 'Login Succeeded\n' });
    await must(['push', name], env);
    expect((await must(['logout', closed.host], env)).text).toMatch(/^Removing login credentials for /);
    expect((await any(['push', name], { env })).code).toBe(1);
  });
});
