import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CredentialEnvironment, login, logout, storedCredentials } from '../../src/registry/index.ts';
import { alice, startRegistry } from '../support/registry.ts';
import { impatient, neverAborted, rejectionOf, repositoryOf, session } from '../support/registry-session.ts';

let home: string;
let environment: CredentialEnvironment;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'tsbuild-login-'));
  environment = { env: { PATH: `${join(home, 'bin')}:${process.env.PATH}` }, home };
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const configFile = () => join(home, '.docker/config.json');

function write(path: string, content: unknown): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
}

function config(): Record<string, unknown> {
  return JSON.parse(readFileSync(configFile(), 'utf8'));
}

/** A credential helper that is a real program. */
function helper(name: string, script: string): void {
  const path = join(home, 'bin', `docker-credential-${name}`);
  write(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
}

const find = (host: string, repository?: string) =>
  storedCredentials({ ...environment, helperTimeout: 1_000 }).find(host, repository, neverAborted);

const auth = (user: string, password: string) => ({ auth: Buffer.from(`${user}:${password}`).toString('base64') });

describe('login', () => {
  test.each(['htpasswd', 'token'] as const)('checks a password with the registry and keeps it (%s)', async (kind) => {
    await using registry = await startRegistry({ auth: kind });
    const result = await login({
      registry: registry.host,
      ...alice,
      environment,
      client: impatient,
      signal: neverAborted,
    });
    expect(result).toEqual({ registry: registry.host, storedIn: configFile(), plainText: true });
    expect(config()).toEqual({ auths: { [registry.host]: auth(alice.username, alice.password) } });
    expect(statSync(configFile()).mode & 0o777).toBe(0o600);
    await using client = session({ credentials: storedCredentials(environment) });
    await client.verify(registry.host, neverAborted);
  });

  test('to several registries at once keeps what each of them is told', async () => {
    await using registry = await startRegistry({ auth: 'htpasswd' });
    const reachable = [registry.host, registry.host.replace('127.0.0.1', 'localhost')];
    write(configFile(), { auths: { other: auth('a', 'b') } });
    await Promise.all(
      reachable.map((host) =>
        login({ registry: host, ...alice, environment, client: impatient, signal: neverAborted }),
      ),
    );
    expect(Object.keys(config().auths as object).sort()).toEqual(['other', ...reachable].sort());
    expect(readdirSync(dirname(configFile()))).toEqual(['config.json']);
  });

  test('takes over from one that died while it wrote', async () => {
    await using registry = await startRegistry({ auth: 'htpasswd' });
    mkdirSync(`${configFile()}.tsbuild-lock`, { recursive: true });
    utimesSync(`${configFile()}.tsbuild-lock`, 0, 0);
    await login({ registry: registry.host, ...alice, environment, client: impatient, signal: neverAborted });
    expect(Object.keys(config().auths as object)).toEqual([registry.host]);
  });

  test('keeps nothing when the registry refuses', async () => {
    await using registry = await startRegistry({ auth: 'htpasswd' });
    write(configFile(), { auths: { other: auth('a', 'b') } });
    const before = readFileSync(configFile(), 'utf8');
    const error = await rejectionOf(
      login({
        registry: registry.host,
        username: 'alice',
        password: 'no',
        environment,
        client: impatient,
        signal: neverAborted,
      }),
    );
    expect(error).toMatchObject({
      code: 'registry-unauthorized',
      message: expect.stringContaining(`${registry.host} does not take this name and password`),
      hint: expect.not.stringContaining('tsbuild login'),
    });
    expect(readFileSync(configFile(), 'utf8')).toBe(before);
  });

  test('leaves every other key as it was, and a symbolic link a link', async () => {
    await using registry = await startRegistry();
    const real = join(home, 'dotfiles/docker.json');
    const others = {
      HttpHeaders: { 'X-A': 'b' },
      auths: { 'ghcr.io': auth('u', 'p') },
      credHelpers: { x: 'y' },
      plugins: { a: 1 },
    };
    write(real, others);
    mkdirSync(dirname(configFile()), { recursive: true });
    symlinkSync(real, configFile());
    await login({
      registry: `https://${registry.host}/`,
      ...alice,
      environment,
      client: impatient,
      signal: neverAborted,
    });
    expect(JSON.parse(readFileSync(real, 'utf8'))).toEqual({
      ...others,
      auths: { ...others.auths, [registry.host]: auth(alice.username, alice.password) },
    });
    expect(statSync(real).mode & 0o777).toBe(0o600);
    expect(await logout(registry.host, environment, neverAborted)).toEqual([configFile()]);
    expect(JSON.parse(readFileSync(real, 'utf8'))).toEqual(others);
    expect(await logout(registry.host, environment, neverAborted)).toEqual([]);
  });

  test('does not overwrite a file it cannot read', async () => {
    await using registry = await startRegistry();
    write(configFile(), '{ "auths": secret-in-a-broken-file');
    const error = await rejectionOf(
      login({ registry: registry.host, ...alice, environment, client: impatient, signal: neverAborted }),
    );
    expect(error).toMatchObject({ code: 'registry-credentials', message: expect.not.stringContaining('secret') });
    expect(readFileSync(configFile(), 'utf8')).toContain('secret-in-a-broken-file');
  });

  test('hands the password to the helper that config.json names', async () => {
    await using registry = await startRegistry({ auth: 'htpasswd' });
    helper(
      'keep',
      `f=${join(home, 'kept')}; case $1 in store) cat >$f;; get) cat >/dev/null; cat $f;; erase) cat >/dev/null; rm $f;; esac`,
    );
    write(configFile(), { credsStore: 'keep' });
    const result = await login({
      registry: registry.host,
      ...alice,
      environment,
      client: impatient,
      signal: neverAborted,
    });
    expect(result).toMatchObject({ storedIn: 'docker-credential-keep', plainText: false });
    expect(config()).toEqual({ credsStore: 'keep', auths: { [registry.host]: {} } });
    expect(JSON.parse(readFileSync(join(home, 'kept'), 'utf8'))).toEqual({
      ServerURL: registry.host,
      Username: alice.username,
      Secret: alice.password,
    });
    await using client = session({ credentials: storedCredentials(environment) });
    await client.verify(registry.host, neverAborted);
    expect(await logout(registry.host, environment, neverAborted)).toEqual(['docker-credential-keep']);
    expect(config()).toEqual({ credsStore: 'keep', auths: {} });
  });
});

describe('credentials are found', () => {
  test('under the names Docker Hub has had', async () => {
    write(configFile(), { auths: { 'https://index.docker.io/v1/': auth('hub', 'secret') } });
    expect(await find('docker.io', 'library/alpine')).toEqual({
      kind: 'password',
      username: 'hub',
      password: 'secret',
    });
  });

  test('as identity token, registry token, user name and password, and with a colon in the password', async () => {
    write(configFile(), {
      auths: {
        a: { identitytoken: 'i' },
        b: { registrytoken: 'r' },
        c: { username: 'u', password: 'p' },
        'https://d/v1/': auth('u', 'p:q'),
        e: {},
        f: { auth: '***' },
      },
    });
    expect(await find('a')).toEqual({ kind: 'identity-token', token: 'i' });
    expect(await find('b')).toEqual({ kind: 'registry-token', token: 'r' });
    expect(await find('c')).toEqual({ kind: 'password', username: 'u', password: 'p' });
    expect(await find('d')).toEqual({ kind: 'password', username: 'u', password: 'p:q' });
    expect(await find('e')).toBeUndefined();
    expect(await find('f')).toBeUndefined();
  });

  test('in the file REGISTRY_AUTH_FILE names, then in config.json, then in the runtime folder, the nearest key first', async () => {
    const [first, runtime] = [join(home, 'first.json'), join(home, 'run')];
    environment = { ...environment, env: { REGISTRY_AUTH_FILE: first, XDG_RUNTIME_DIR: runtime } };
    write(first, { auths: { 'quay.io/team': auth('team', '1'), 'quay.io/team/app': auth('app', '2') } });
    write(configFile(), { auths: { 'quay.io': auth('docker', '3') } });
    write(join(runtime, 'containers/auth.json'), { auths: { 'ghcr.io': auth('run', '4') } });
    expect(await find('quay.io', 'team/app')).toMatchObject({ username: 'app' });
    expect(await find('quay.io', 'team/other')).toMatchObject({ username: 'team' });
    expect(await find('quay.io', 'teams/x')).toMatchObject({ username: 'docker' });
    expect(await find('ghcr.io', 'x')).toMatchObject({ username: 'run' });
  });

  test('for one host only, never for another that begins alike', async () => {
    write(configFile(), { auths: { 'quay.io': auth('a', 'b'), 'https://quay.io.example/v1/': auth('c', 'd') } });
    expect(await find('quay.io.evil')).toBeUndefined();
    expect(await find('evilquay.io')).toBeUndefined();
    expect(await find('quay.io.example')).toMatchObject({ username: 'c' });
  });
});

describe('a credential helper', () => {
  const use = (name: string) => write(configFile(), { credHelpers: { 'r.example': name } });

  test('that answers is asked by name on stdin', async () => {
    helper(
      'good',
      'read host; echo "{\\"ServerURL\\":\\"$host\\",\\"Username\\":\\"$1-$host\\",\\"Secret\\":\\"s\\"}"',
    );
    use('good');
    expect(await find('r.example')).toEqual({ kind: 'password', username: 'get-r.example', password: 's' });
  });

  test('that answers with a token gives an identity token', async () => {
    helper('token', 'cat >/dev/null; echo \'{"Username":"<token>","Secret":"refresh"}\'');
    use('token');
    expect(await find('r.example')).toEqual({ kind: 'identity-token', token: 'refresh' });
  });

  test('that knows nothing leaves us anonymous', async () => {
    helper('empty', 'echo credentials not found in native keychain; exit 1');
    use('empty');
    expect(await find('r.example')).toBeUndefined();
  });

  test.each([
    ['that hangs', 'sleep 300 & wait', 'did not answer within 1 s'],
    ['that fails', 'echo top-secret; echo top-secret >&2; exit 3', 'ended with status 3'],
    ['that talks nonsense', 'echo top-secret', 'did not answer with JSON'],
    ['that leaves out the secret', 'echo \'{"Username":"u"}\'', 'did not answer with Username and Secret'],
    ['that never stops talking', 'exec yes top-secret-top-secret-top-secret-top-secret', 'answered without end'],
  ])('%s is one clear error that repeats nothing of what it said', async (_what, script, message) => {
    helper('bad', script);
    use('bad');
    const error = await rejectionOf(find('r.example'));
    expect(error).toMatchObject({ code: 'registry-credentials', message: expect.stringContaining(message) });
    expect(String(error)).not.toContain('top-secret');
  });

  test('that is not installed is named', async () => {
    use('missing');
    const error = await rejectionOf(find('r.example'));
    expect(error).toMatchObject({
      code: 'registry-credentials',
      message: expect.stringContaining('docker-credential-missing is not installed'),
    });
  });

  test('that is not installed is told of and passed over where the caller wants that', async () => {
    write(configFile(), { credsStore: 'missing', auths: { 'r.example': auth('u', 'p') } });
    const told: string[] = [];
    const source = storedCredentials({ ...environment, onMissingHelper: ({ message }) => told.push(message) });
    expect(await source.find('other.example', undefined, neverAborted)).toBeUndefined();
    expect(await source.find('r.example', undefined, neverAborted)).toMatchObject({ username: 'u' });
    expect(told).toEqual(Array(2).fill(expect.stringContaining('docker-credential-missing is not installed')));
  });

  test('whose name is a path is not run', async () => {
    use('../../evil');
    expect(await rejectionOf(find('r.example'))).toMatchObject({ code: 'registry-credentials' });
  });

  test('is not asked when the registry wants no password', async () => {
    await using registry = await startRegistry();
    helper('bad', 'exit 3');
    write(configFile(), { credsStore: 'bad' });
    await using client = session({ credentials: storedCredentials(environment) });
    const error = await rejectionOf(repositoryOf(client, `${registry.host}/app`).resolve('latest', neverAborted));
    expect(error).toMatchObject({ code: 'registry-not-found' });
  });
});
