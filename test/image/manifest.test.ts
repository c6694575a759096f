import { describe, expect, test } from 'vitest';
import {
  type ImageIndex,
  maxManifestBytes,
  mediaTypes,
  parseManifest,
  selectPlatform,
  serializeManifest,
} from '../../src/image/index.ts';

const digest = `sha256:${'0'.repeat(64)}`;
const layer = { mediaType: mediaTypes.ociLayerGzip, digest, size: 3 };
const config = { mediaType: mediaTypes.ociConfig, digest, size: 2 };
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value));

describe('a manifest', () => {
  test('keeps what it says through parsing and serialising', () => {
    const source = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config,
      layers: [layer],
      annotations: { a: 'b' },
    };
    expect(JSON.parse(serializeManifest(parseManifest(bytes(source))).toString())).toEqual(source);
  });

  test.each([
    ['both an index and a manifest', { schemaVersion: 2, manifests: [], layers: [], config }],
    [
      'a layer with a bad digest',
      { schemaVersion: 2, config, layers: [{ ...layer, digest: 'sha256:../../etc/passwd' }] },
    ],
    ['a layer with a negative size', { schemaVersion: 2, config, layers: [{ ...layer, size: -1 }] }],
    ['no layers', { schemaVersion: 2, config }],
    ['a list', []],
    ['annotations that are no strings', { schemaVersion: 2, config, layers: [], annotations: { a: 1 } }],
  ])('is refused when it is %s', (_, value) => {
    expect(() => parseManifest(bytes(value))).toThrowError(expect.objectContaining({ code: 'manifest-invalid' }));
  });

  test('of schema 1 is refused by name', () => {
    expect(() => parseManifest(bytes({ schemaVersion: 1, fsLayers: [] }))).toThrowError(
      expect.objectContaining({ code: 'manifest-unsupported' }),
    );
  });

  test('whose carrier contradicts its own media type is refused', () => {
    const source = bytes({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [] });
    expect(() => parseManifest(source, mediaTypes.ociIndex)).toThrowError(
      expect.objectContaining({ code: 'manifest-invalid' }),
    );
  });

  test('larger than 4 MiB is refused before it is parsed', () => {
    expect(() => parseManifest(Buffer.alloc(maxManifestBytes + 1, 32))).toThrowError(/bytes/);
  });
});

describe('choosing a platform', () => {
  const entry = (architecture: string, variant?: string, annotations?: Record<string, string>) => ({
    mediaType: mediaTypes.ociManifest,
    digest: `sha256:${Buffer.from(`${architecture}${variant ?? ''}`)
      .toString('hex')
      .padEnd(64, '0')}`,
    size: 1,
    platform: { os: 'linux', architecture, ...(variant && { variant }) },
    ...(annotations && { annotations }),
  });
  const index = parseManifest(
    bytes({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [
        entry('amd64'),
        entry('arm', 'v6'),
        entry('arm', 'v7'),
        entry('arm64', 'v8'),
        entry('unknown', undefined, { 'vnd.docker.reference.type': 'attestation-manifest' }),
      ],
    }),
  ) as ImageIndex;
  const pick = (architecture: string, variant?: string) =>
    selectPlatform(index, { os: 'linux', architecture, ...(variant && { variant }) }, 'app').platform;

  test('takes the exact one, however its default variant is written', () => {
    expect(pick('amd64')).toMatchObject({ architecture: 'amd64' });
    expect(pick('arm64')).toMatchObject({ variant: 'v8' });
    expect(pick('arm', 'v6')).toMatchObject({ variant: 'v6' });
  });

  test('serves a newer arm with the nearest older one', () => {
    expect(pick('arm', 'v8')).toMatchObject({ variant: 'v7' });
  });

  test('names what there is when nothing fits', () => {
    expect(() => pick('s390x')).toThrowError(/linux\/amd64, linux\/arm\/v6, linux\/arm\/v7/);
  });
});
