import { expect, test } from 'vitest';
import type { ExportRequest } from '../../src/builder/index.ts';
import { publishedForm } from '../../src/builder/published-form.ts';

test.each<[string, readonly ExportRequest[], ReturnType<typeof publishedForm>]>([
  ['nothing', [], undefined],
  ['an image in the store', [{ kind: 'image' }], undefined],
  ['a directory', [{ kind: 'local', destination: 'out' }], undefined],
  ['an archive for docker', [{ kind: 'docker', destination: 'a.tar' }], undefined],
  ['an archive', [{ kind: 'oci', destination: 'a.tar' }], { compression: 'gzip' }],
  ['an archive as it is', [{ kind: 'oci', destination: 'a.tar', compression: 'uncompressed' }], undefined],
  [
    'an archive for docker that is to be compressed',
    [{ kind: 'docker', destination: 'a.tar', compression: 'zstd', compressionLevel: 7 }],
    { compression: 'zstd', level: 7 },
  ],
  [
    'a push',
    [
      { kind: 'tar', destination: 'a.tar' },
      { kind: 'image', push: true },
    ],
    { compression: 'gzip' },
  ],
  ['a registry', [{ kind: 'registry', compressionLevel: 9 }], { compression: 'gzip', level: 9 }],
])('the form of layers for %s', (_, exports, form) => {
  expect(publishedForm({ exports, cacheTo: [] }, true)).toEqual(form);
  expect(publishedForm({ exports, cacheTo: [] }, false)).toBeUndefined();
});

test('the form of layers for a place of steps is that of the export, where there is one', () => {
  const to = { kind: 'local', path: 'steps' } as const;
  const small = { to, mode: 'min', compression: 'zstd', ignoreError: false } as const;
  const all = { to, mode: 'max', ignoreError: false } as const;
  expect(publishedForm({ exports: [], cacheTo: [small, all] }, true)).toEqual({ compression: 'zstd' });
  expect(publishedForm({ exports: [], cacheTo: [small, all] }, false)).toEqual({ compression: 'gzip' });
  expect(publishedForm({ exports: [{ kind: 'registry' }], cacheTo: [small] }, true)).toEqual({ compression: 'gzip' });
});
