/** `proxies` of docker's config.json: defaults of build arguments, and variables of `tsbuild run`. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dockerProxies } from '../../src/cli/ports/docker-config.ts';
import { type BuildWorkspace, buildWorkspace } from '../support/build-workspace.ts';

let work: BuildWorkspace;
let config: string;
beforeAll(() => {
  work = buildWorkspace('proxies');
  config = `${work.path}/docker`;
  mkdirSync(config);
  const proxies = {
    default: { httpProxy: 'http://proxy.example:1', noProxy: 'localhost', unknown: 'x' },
    'tcp://far:2375': { httpsProxy: 'http://far.example:2' },
  };
  writeFileSync(`${config}/config.json`, JSON.stringify({ proxies }));
});
afterAll(async () => await work[Symbol.asyncDispose]());

test('are those of the engine in DOCKER_HOST, else the default ones, in upper and lower case', () => {
  expect(dockerProxies({ DOCKER_CONFIG: config })).toEqual({
    HTTP_PROXY: 'http://proxy.example:1',
    http_proxy: 'http://proxy.example:1',
    NO_PROXY: 'localhost',
    no_proxy: 'localhost',
  });
  expect(dockerProxies({ DOCKER_CONFIG: config, DOCKER_HOST: 'tcp://far:2375' })).toEqual({
    HTTPS_PROXY: 'http://far.example:2',
    https_proxy: 'http://far.example:2',
  });
  expect(dockerProxies({ DOCKER_CONFIG: `${config}/none` })).toEqual({});
});

test('reach RUN before those of the environment and after --build-arg, and no configuration of an image', async () => {
  const Dockerfile = 'FROM base\nRUN echo "[$HTTP_PROXY $http_proxy $NO_PROXY]"\nCMD env\n';
  const env = { DOCKER_CONFIG: config, HTTP_PROXY: 'http://environment.example:3', http_proxy: undefined };
  const context = work.context('context', { Dockerfile });
  const { stderr } = await work.build(context, ['-t', 'proxied', '--build-arg=http_proxy=http://own.example:4'], {
    env,
  });
  // As in BuildKit, a build argument stands for both spellings.
  expect(stderr).toContain('[http://own.example:4 http://own.example:4 localhost]');
  expect(JSON.stringify(work.image('docker.io/library/proxied:latest').config)).not.toContain('example:');
  const ran = await work.tsbuild(['run', '-e', 'NO_PROXY=mine', 'proxied'], { env });
  expect(ran.text).toMatch(/^http_proxy=http:\/\/proxy\.example:1$/m);
  expect(ran.text).toMatch(/^NO_PROXY=mine$/m);
});
