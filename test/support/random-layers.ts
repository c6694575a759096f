/** Layers of any entries in any order, for properties: what is said of a layer must hold for the strangest. */
import fc from 'fast-check';
import type { ArchiveEntry } from './layer-jobs.ts';

const name = fc.constantFrom('a', 'b', 'c');
const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
const target = fc.oneof(
  path,
  path.map((text) => `/${text}`),
  path.map((text) => `../${text}`),
  fc.constantFrom('.', '..'),
);
const step: fc.Arbitrary<ArchiveEntry> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      path,
      kind: fc.constant('directory' as const),
      mode: fc.constantFrom(0o755, 0o700),
      mtime: fc.constant(5n),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ path, kind: fc.constant('file' as const), content: fc.constantFrom('', 'one', 'two') }),
  },
  { weight: 1, arbitrary: fc.record({ path, kind: fc.constant('symlink' as const), linkTarget: target }) },
  { weight: 1, arbitrary: fc.record({ path, kind: fc.constant('hardlink' as const), linkTarget: path }) },
  { weight: 2, arbitrary: path.map((text) => ({ path: text.replace(/([^/]+)$/, '.wh.$1') })) },
  {
    weight: 1,
    arbitrary: fc.oneof(
      path.map((text) => ({ path: `${text}/.wh..wh..opq` })),
      fc.constant({ path: '.wh..wh..opq' }),
    ),
  },
);
/** The entries of one layer after the other, lowest first, of few names so that they meet; not all of them can be unpacked. */
export function randomLayers(most: number): fc.Arbitrary<ArchiveEntry[][]> {
  return fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), { minLength: 1, maxLength: most });
}
