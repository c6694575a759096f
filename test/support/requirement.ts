/** A test that says why others were skipped, and fails where nothing may be skipped. */
import { expect, test } from 'vitest';

/** @param missing why the counterpart cannot be used here; undefined: it can */
export function requirement(what: string, missing: string | undefined): void {
  test(`${what} is here`, (context) => {
    if (missing === undefined) return;
    expect(process.env.CI, `CI must not skip: ${missing}`).toBeUndefined();
    context.skip(missing);
  });
}
