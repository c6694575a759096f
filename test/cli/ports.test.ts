import { describe, expect, test } from 'vitest';
import { parseImageAddress } from '../../src/cli/ports/image-address.ts';
import { storeRoot } from '../../src/cli/store-root.ts';

const digest = `sha256:${'0'.repeat(64)}`;

describe('an image address', () => {
  test.each([
    ['alpine', { kind: 'registry', reference: { registry: 'docker.io', repository: 'library/alpine', tag: 'latest' } }],
    ['docker:24', { kind: 'registry', reference: { registry: 'docker.io', repository: 'library/docker', tag: '24' } }],
    ['docker://host:5000/a:1', { kind: 'registry', reference: { registry: 'host:5000', repository: 'a', tag: '1' } }],
    [
      'docker-image://alpine',
      { kind: 'registry', reference: { registry: 'docker.io', repository: 'library/alpine', tag: 'latest' } },
    ],
    ['store://app:1', { kind: 'store', name: 'app:1' }],
    ['oci:dir', { kind: 'oci-layout', path: 'dir', name: undefined }],
    ['oci:dir/x:1', { kind: 'oci-layout', path: 'dir/x', name: '1' }],
    ['oci-layout:///abs/dir:tag', { kind: 'oci-layout', path: '/abs/dir', name: 'tag' }],
    [`oci-layout://dir@${digest}`, { kind: 'oci-layout', path: 'dir', name: digest }],
    ['oci:a:b/c', { kind: 'oci-layout', path: 'a', name: 'b/c' }],
    ['oci:dir:example.com/app:1', { kind: 'oci-layout', path: 'dir', name: 'example.com/app:1' }],
    [`oci:dir:app:1@${digest}`, { kind: 'oci-layout', path: 'dir', name: digest }],
    ['oci-archive:x.tar:v1', { kind: 'oci-archive', path: 'x.tar', name: 'v1' }],
    ['docker-archive:/x.tar:host:5000/a:1', { kind: 'docker-archive', path: '/x.tar', name: 'host:5000/a:1' }],
  ])('%s', (text, expected) => {
    expect(parseImageAddress(text)).toEqual(expected);
  });

  test.each(['oci:', 'oci-layout://dir@sha256:short', 'docker://UPPER'])('%s is refused', (text) => {
    expect(() => parseImageAddress(text)).toThrow();
  });
});

describe('the store of a user', () => {
  test.each([
    [{ TSBUILD_HOME: '/x' }, 0, '/x'],
    [{}, 0, '/var/lib/tsbuild'],
    [{ XDG_DATA_HOME: '/data' }, 1000, '/data/tsbuild'],
    [{ XDG_DATA_HOME: 'relative' }, 1000, '/home/me/.local/share/tsbuild'],
    [{ TSBUILD_HOME: '' }, 1000, '/home/me/.local/share/tsbuild'],
  ])('with %j as user %i is %s', (env, user, expected) => {
    expect(storeRoot(env, user, '/home/me')).toBe(expected);
  });
});
