import { expect, test } from 'vitest';
import { redactUrl } from '../../src/core/index.ts';

test.each([
  ['https://user:hunter2@example.com/x', 'hunter2'],
  ['https://token@example.com/x.git', 'token@'],
  ['https://example.com/b?X-Amz-Signature=abc123&n=1', 'abc123'],
  ['https://example.com/b?access_token=abc123', 'abc123'],
  ['git@user:pw//host', 'never-there'],
])('a credential in %s is not shown', (url, secret) => {
  expect(redactUrl(url)).not.toContain(secret);
});

test('what is no credential stays readable', () => {
  expect(redactUrl('https://example.com:5000/v2/app/tags/list?n=100&last=x')).toBe(
    'https://example.com:5000/v2/app/tags/list?n=100&last=x',
  );
});
