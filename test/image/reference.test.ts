import { describe, expect, test } from 'vitest';
import { familiarReference, formatReference, parseReference } from '../../src/image/index.ts';

const sha = `sha256:${'a'.repeat(64)}`;

describe("a reference is read by Docker's rules", () => {
  test.each([
    ['alpine', 'docker.io/library/alpine:latest'],
    ['alpine:3.20', 'docker.io/library/alpine:3.20'],
    ['user/app', 'docker.io/user/app:latest'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/app', 'localhost:5000/app:latest'],
    ['ghcr.io/o/app:1', 'ghcr.io/o/app:1'],
    ['index.docker.io/library/alpine', 'docker.io/library/alpine:latest'],
    [`alpine@${sha}`, `docker.io/library/alpine@${sha}`],
    [`ghcr.io/o/app:1@${sha}`, `ghcr.io/o/app:1@${sha}`],
    ['[::1]:5000/app', '[::1]:5000/app:latest'],
    ['a__b/c-d.e', 'docker.io/a__b/c-d.e:latest'],
  ])('%s is %s', (text, full) => {
    expect(formatReference(parseReference(text))).toBe(full);
  });

  test.each([
    '',
    'Alpine',
    'a//b',
    'a:',
    'a@sha256:abc',
    '-a',
    'a..b',
    'a:b:c/d',
    `${'a'.repeat(64)}`,
    'x y',
    '../etc',
    'host:99999999/app',
  ])('%j is refused', (text) => {
    expect(() => parseReference(text)).toThrowError(expect.objectContaining({ code: 'reference-invalid' }));
  });

  test('upper case is answered with the name in lower case', () => {
    expect(() => parseReference('MyApp:1')).toThrowError(
      expect.objectContaining({ hint: expect.stringContaining('myapp:1') }),
    );
  });

  test('the familiar form leaves out what Docker adds', () => {
    expect(familiarReference(parseReference('docker.io/library/alpine:3'))).toBe('alpine:3');
    expect(familiarReference(parseReference('docker.io/user/app'))).toBe('user/app:latest');
    expect(familiarReference(parseReference('ghcr.io/o/app'))).toBe('ghcr.io/o/app:latest');
  });
});
