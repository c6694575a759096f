import { describe, expect, test } from 'vitest';
import { describeDockerfile, dockerfileCases, expectedOf } from '../../support/dockerfile-cases.ts';

const cases = dockerfileCases();

describe('each case under fixtures/dockerfile', () => {
  test('was found, and at least 40 are errors', () => {
    expect(cases.filter(({ name }) => name.startsWith('error-')).length).toBeGreaterThanOrEqual(40);
    expect(cases.length).toBeGreaterThanOrEqual(100);
  });

  test.for(cases)('is read as its folder says: $name', ({ name, text }) => {
    expect(describeDockerfile(text)).toEqual(expectedOf(name));
  });

  test.for(cases.filter(({ name }) => name.startsWith('error-')))('has an error with a hint: $name', ({ text }) => {
    const { diagnostics } = describeDockerfile(text);
    expect(Array.isArray(diagnostics) && diagnostics.every(([head, , hint]) => head.startsWith('error') && hint)).toBe(
      true,
    );
  });
});
