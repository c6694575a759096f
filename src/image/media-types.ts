/** The media types tsbuild reads and writes (OCI image spec 1.1, Docker image manifest v2 schema 2). */
export const mediaTypes = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociConfig: 'application/vnd.oci.image.config.v1+json',
  ociLayerTar: 'application/vnd.oci.image.layer.v1.tar',
  ociLayerGzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  ociLayerZstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  ociEmpty: 'application/vnd.oci.empty.v1+json',
  inToto: 'application/vnd.in-toto+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerIndex: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerConfig: 'application/vnd.docker.container.image.v1+json',
  dockerLayerTar: 'application/vnd.docker.image.rootfs.diff.tar',
  dockerLayerGzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  dockerForeignLayerGzip: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const;

/** What to send as Accept when a manifest of any supported kind will do. */
export const acceptedManifestTypes: readonly string[] = [
  mediaTypes.ociManifest,
  mediaTypes.ociIndex,
  mediaTypes.dockerManifest,
  mediaTypes.dockerIndex,
];

export type Compression = 'uncompressed' | 'gzip' | 'zstd';

export function isManifestType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociManifest || mediaType === mediaTypes.dockerManifest;
}

export function isIndexType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociIndex || mediaType === mediaTypes.dockerIndex;
}

/** A manifest or an index: what refers to other blobs. */
export function isDocumentType(mediaType: string): boolean {
  return isManifestType(mediaType) || isIndexType(mediaType);
}

/** A configuration that says how to run a container. */
export function isImageConfigType(mediaType: string): boolean {
  return mediaType === mediaTypes.ociConfig || mediaType === mediaTypes.dockerConfig;
}

/** How a layer's bytes are wrapped, or undefined when the media type is not a tar layer tsbuild knows. */
export function layerCompression(mediaType: string): Compression | undefined {
  if (
    /^application\/vnd\.(oci\.image\.layer(\.nondistributable)?\.v1\.tar|docker\.image\.rootfs(\.foreign)?\.diff\.tar)$/.test(
      mediaType,
    )
  )
    return 'uncompressed';
  if (/^application\/vnd\.(oci\.image\.layer|docker\.image\.rootfs)\..*tar[.+]gzip$/.test(mediaType)) return 'gzip';
  if (/^application\/vnd\.(oci\.image\.layer|docker\.image\.rootfs)\..*tar[.+]zstd$/.test(mediaType)) return 'zstd';
  return undefined;
}

/** The OCI layer media type for a compression. */
export function layerMediaType(compression: Compression): string {
  if (compression === 'gzip') return mediaTypes.ociLayerGzip;
  if (compression === 'zstd') return mediaTypes.ociLayerZstd;
  return mediaTypes.ociLayerTar;
}

/** OCI's name for a layer known under Docker's; other types as they are. */
export function toOciLayerType(mediaType: string): string {
  const compression = layerCompression(mediaType);
  return compression === undefined || /foreign|nondistributable/.test(mediaType)
    ? mediaType
    : layerMediaType(compression);
}

/** Docker's name for a layer known under OCI's; zstd has none and stays. */
export function toDockerLayerType(mediaType: string): string {
  const compression = layerCompression(mediaType);
  if (compression === 'gzip') return mediaTypes.dockerLayerGzip;
  if (compression === 'uncompressed') return mediaTypes.dockerLayerTar;
  return mediaType;
}
