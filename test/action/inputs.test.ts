import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { argumentsOfInputs } from '../../src/action/inputs.ts';

function argumentsFor(inputs: Readonly<Record<string, string>>): readonly string[] {
  const env = Object.fromEntries(Object.entries(inputs).map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value]));
  return argumentsOfInputs({ GITHUB_WORKSPACE: '/workspace', ...env }).argv;
}

describe('an input becomes arguments', () => {
  test.each<[Record<string, string>, string[]]>([
    [{}, ['--', '/workspace']],
    [{ context: 'sub' }, ['--', 'sub']],
    [{ file: 'x.Dockerfile', target: 'test' }, ['--file=x.Dockerfile', '--target=test', '--', '/workspace']],
    [{ tags: 'a:1, b:2\n c:3 \n' }, ['--tag=a:1', '--tag=b:2', '--tag=c:3', '--', '/workspace']],
    [
      { platforms: 'linux/amd64,linux/arm64' },
      ['--platform=linux/amd64', '--platform=linux/arm64', '--', '/workspace'],
    ],
    [{ 'build-args': 'A=1,2\nB=x y' }, ['--build-arg=A=1,2', '--build-arg=B=x y', '--', '/workspace']],
    [{ 'build-contexts': 'a=../b' }, ['--build-context=a=../b', '--', '/workspace']],
    [{ labels: 'a=b, c\n--x=y' }, ['--label=a=b, c', '--label=--x=y', '--', '/workspace']],
    [{ annotations: 'index:a=b' }, ['--annotation=index:a=b', '--', '/workspace']],
    [{ push: 'true', load: 'True', 'no-cache': 'false', pull: '' }, ['--push', '--load', '--', '/workspace']],
    [{ outputs: 'type=oci,dest=x.tar' }, ['--output=type=oci,dest=x.tar', '--', '/workspace']],
    [{ 'no-cache-filters': 'a,b' }, ['--no-cache-filter=a', '--no-cache-filter=b', '--', '/workspace']],
    [
      { 'cache-from': 'type=registry,ref=x', 'cache-to': 'type=inline' },
      ['--cache-from=type=registry,ref=x', '--cache-to=type=inline', '--', '/workspace'],
    ],
    [{ 'cache-mounts': 'id=a,path=x' }, ['--cache-mount=id=a,path=x', '--', '/workspace']],
    [{ ssh: 'default', attests: 'type=sbom' }, ['--ssh=default', '--attest=type=sbom', '--', '/workspace']],
    [{ provenance: 'mode=max', sbom: 'true' }, ['--provenance=mode=max', '--sbom=true', '--', '/workspace']],
    [
      { 'add-hosts': 'a:1.2.3.4', allow: 'network.host' },
      ['--add-host=a:1.2.3.4', '--allow=network.host', '--', '/workspace'],
    ],
    [
      { network: 'none', 'shm-size': '1g', ulimit: 'nofile=1:2' },
      ['--network=none', '--shm-size=1g', '--ulimit=nofile=1:2', '--', '/workspace'],
    ],
    [{ isolation: 'chroot', 'cgroup-parent': '/x' }, ['--cgroup-parent=/x', '--isolation=chroot', '--', '/workspace']],
    [
      { 'secret-envs': 'a=VAR', 'secret-files': 'b=/x,y' },
      ['--secret=id=a,env=VAR', '--secret=id=b,"src=/x,y"', '--', '/workspace'],
    ],
  ])('%j', (inputs, expected) => {
    expect([...argumentsFor(inputs)].sort()).toEqual([...expected].sort());
    expect(argumentsFor(inputs).slice(-2)).toEqual(expected.slice(-2));
  });

  test.each([
    ['true', 'builder-id=https://git.example/o/r/actions/runs/7/attempts/2'],
    ['mode=min', 'mode=min,builder-id=https://git.example/o/r/actions/runs/7/attempts/2'],
    ['mode=max,builder-id=me', 'mode=max,builder-id=me'],
    ['false', 'false'],
  ])('and provenance: %s names the run of the workflow as the builder, when it names none', (value, expected) => {
    const run = { GITHUB_REPOSITORY: 'o/r', GITHUB_RUN_ID: '7', GITHUB_RUN_ATTEMPT: '2' };
    const { argv } = argumentsOfInputs({ ...run, GITHUB_SERVER_URL: 'https://git.example', INPUT_PROVENANCE: value });
    expect(argv).toContain(`--provenance=${expected}`);
  });

  test('but the value of a secret does not', () => {
    const { argv, env, secrets } = argumentsOfInputs({ INPUT_SECRETS: 'a=value', 'INPUT_GITHUB-TOKEN': 'ghs_1' });
    expect(argv.join(' ')).not.toMatch(/value|ghs_1/);
    expect(Object.values(env)).toEqual(['value', 'ghs_1']);
    expect(secrets).toEqual(['value', 'ghs_1']);
    expect(argv).toContain('--secret=id=GIT_AUTH_TOKEN.github.com,env=TSBUILD_ACTION_SECRET_1');
  });

  test.each([
    [{ INPUT_CONTEXT: 'https://github.com/a/b.git' }, ['GIT_AUTH_TOKEN']],
    [{ INPUT_CONTEXT: 'https://gitlab.example/a/b.git' }, ['GIT_AUTH_TOKEN.github.com']],
    [{ GITHUB_SERVER_URL: 'https://ghe.example' }, ['GIT_AUTH_TOKEN.ghe.example']],
    [{ INPUT_SECRETS: 'GIT_AUTH_TOKEN=own' }, ['GIT_AUTH_TOKEN']],
    [{ INPUT_SECRETS: 'GIT_AUTH_TOKEN.github.com=own' }, ['GIT_AUTH_TOKEN.github.com']],
  ])("and the workflow's token is for its server alone: %j", (env, expected) => {
    const { argv } = argumentsOfInputs({ 'INPUT_GITHUB-TOKEN': 'ghs_1', ...env });
    expect(argv.flatMap((word) => /^--secret=id=([^,]+)/.exec(word)?.[1] ?? [])).toEqual(expected);
  });
});

test('every input of action.yml is understood', () => {
  const text = readFileSync(new URL('../../action.yml', import.meta.url), 'utf8');
  const section = text.slice(text.indexOf('\ninputs:'), text.indexOf('\noutputs:'));
  const names = [...section.matchAll(/^ {2}([a-z-]+):$/gm)].map((match) => match[1] ?? '');
  expect(names.length).toBeGreaterThan(25);
  const valueFor: Readonly<Record<string, string>> = { push: 'true', load: 'true', pull: 'true', 'no-cache': 'true' };
  const ignored = names.filter((name) => {
    const value = valueFor[name] ?? 'x=y';
    return argumentsFor({ [name]: value }).join(' ') === argumentsFor({}).join(' ');
  });
  expect(ignored).toEqual([]);
});
