import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseChallenges } from '../../src/registry/auth/challenge.ts';
import { coversScopes, mergeScopes } from '../../src/registry/auth/scope.ts';
import { forbiddenAddressCode, guardedLookup, isForbiddenAddress } from '../../src/registry/http/address-policy.ts';

const plain = (header: string) =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

describe('WWW-Authenticate', () => {
  test('is read with several challenges, quoted strings and parameters in any order', () => {
    expect(
      plain(
        'Basic realm="a, \\"b\\"", Bearer service=s.example , realm="https://t/x?y=z",scope="repository:a:pull,push"',
      ),
    ).toEqual([
      ['basic', { realm: 'a, "b"' }],
      ['bearer', { service: 's.example', realm: 'https://t/x?y=z', scope: 'repository:a:pull,push' }],
    ]);
  });

  test('may name a scheme alone', () => {
    expect(plain('Negotiate, BASIC')).toEqual([
      ['negotiate', {}],
      ['basic', {}],
    ]);
  });

  test('of any shape is read without a failure and in little time', () => {
    fc.assert(fc.property(fc.string(), (text) => Array.isArray(parseChallenges(text))));
    fc.assert(
      fc.property(fc.array(fc.constantFrom('a', '"', '\\', ',', '=', ' ', 'Bearer ')), (parts) =>
        Array.isArray(parseChallenges(parts.join(''))),
      ),
    );
    for (const part of ['"\\', 'a="', ',', 'a ', '=']) parseChallenges(part.repeat(100_000));
  });
});

describe('scopes', () => {
  test('are united per resource', () => {
    expect(
      mergeScopes(['repository:b:pull', 'repository:a:push,pull'], ['repository:b:push repository:c:pull', '']),
    ).toEqual(['repository:a:pull,push', 'repository:b:pull,push', 'repository:c:pull']);
  });

  test('that were granted cover what needs less', () => {
    expect(coversScopes(['repository:a:pull,push'], ['repository:a:pull'])).toBe(true);
    expect(coversScopes(['repository:a:pull'], ['repository:a:pull,push'])).toBe(false);
    expect(coversScopes(['repository:a:pull'], ['repository:ab:pull'])).toBe(false);
  });
});

describe('an address', () => {
  test.each([
    ['169.254.169.254', true],
    ['::ffff:169.254.169.254', true],
    ['::ffff:a9fe:a9fe', true],
    ['64:ff9b::169.254.169.254', true],
    ['fe80::1', true],
    ['fd00:ec2::254', true],
    ['0.0.0.0', true],
    ['127.0.0.1', false],
    ['10.0.0.1', false],
    ['::1', false],
    ['169.253.0.1', false],
    ['example.com', false],
  ])('%s is forbidden to a registry: %s', (address, forbidden) => {
    expect(isForbiddenAddress(address)).toBe(forbidden);
  });

  test('that a name resolves to is looked at as well', async () => {
    const resolve = (host: string) =>
      new Promise((done) => guardedLookup(host, { all: true }, (error, found) => done(error?.code ?? found)));
    expect(await resolve('169.254.169.254')).toBe(forbiddenAddressCode);
    expect(await resolve('localhost')).toEqual(
      expect.arrayContaining([expect.objectContaining({ address: '127.0.0.1' })]),
    );
  });
});
