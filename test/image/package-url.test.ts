import { expect, test } from 'vitest';
import { packageUrl, parseReference } from '../../src/image/index.ts';

const digest = `sha256:${'ab'.repeat(32)}`;
const amd64 = { os: 'linux', architecture: 'amd64' };

// moby/buildkit, util/purl/image_test.go
test.each([
  ['alpine', undefined, 'pkg:docker/alpine@latest'],
  ['library/alpine:3.15', undefined, 'pkg:docker/alpine@3.15'],
  [`docker.io/library/alpine:latest@${digest}`, undefined, `pkg:docker/alpine@latest?digest=${digest}`],
  [`docker.io/library/alpine@${digest}`, undefined, `pkg:docker/alpine?digest=${digest}`],
  ['user/test:v2', undefined, 'pkg:docker/user/test@v2'],
  ['ghcr.io/foo/bar', undefined, 'pkg:docker/ghcr.io/foo/bar@latest'],
  ['localhost:5000/a', undefined, 'pkg:docker/localhost%3A5000/a@latest'],
  ['busybox', amd64, 'pkg:docker/busybox@latest?platform=linux%2Famd64'],
  [
    'busybox',
    { os: 'linux', architecture: 'arm64', variant: 'v8' },
    'pkg:docker/busybox@latest?platform=linux%2Farm64',
  ],
  [`busybox@${digest}`, amd64, `pkg:docker/busybox?digest=${digest}&platform=linux%2Famd64`],
])('%s for %j is %s', (name, platform, expected) => {
  expect(packageUrl('docker', parseReference(name), platform)).toBe(expected);
});
