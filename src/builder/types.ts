/** What the builder room takes and gives: the request a command line or an action amounts to, its ports, the result. */
import type { EventSink, TsbuildError } from '../core/index.ts';
import type { BlobSink, BlobSource, Compression, Descriptor, Digest, ImageConfig, Platform } from '../image/index.ts';
import type { LayerRef, Store } from '../layers/index.ts';
import type { Rung, RunOptions, StepLimits, StepResult } from '../sandbox/index.ts';

export type ContextSource =
  | { readonly kind: 'directory'; readonly path: string }
  /** A tar (gzip, bzip2, xz, zstd or plain) or, when it is none, a lone Dockerfile. */
  | { readonly kind: 'stream'; readonly name: string; readonly open: () => AsyncIterable<Uint8Array> }
  | { readonly kind: 'git'; readonly url: string }
  | { readonly kind: 'http'; readonly url: string };

export type NamedContext =
  | { readonly kind: 'directory'; readonly path: string }
  /** `docker-image://ref`, `oci-layout://path[:tag|@digest]`, docker-archive and so on: the text as the user wrote it. */
  | { readonly kind: 'image'; readonly reference: string }
  | { readonly kind: 'git'; readonly url: string }
  | { readonly kind: 'http'; readonly url: string };

export type SecretSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'value'; readonly value: Uint8Array };

/** One `key=value` and where it is to stand. */
export interface Annotation {
  readonly target: 'manifest' | 'index' | 'manifest-descriptor' | 'index-descriptor';
  /** Only the manifest of this platform, or its descriptor in the index. */
  readonly platform?: Platform;
  readonly key: string;
  readonly value: string;
}

export interface ExportRequest {
  readonly kind: 'docker' | 'oci' | 'tar' | 'local' | 'image' | 'registry';
  /** File or directory; '-' is stdout; undefined for image and registry. */
  readonly destination?: string;
  /** Default: the tags of the build. */
  readonly names?: readonly string[];
  readonly push?: boolean;
  readonly pushByDigest?: boolean;
  readonly compression?: Compression;
  readonly compressionLevel?: number;
  readonly forceCompression?: boolean;
  readonly ociMediaTypes?: boolean;
  /** False: attestations in the form in which they look like images. Default: artifacts. */
  readonly ociArtifact?: boolean;
  /** Also what is not to be a reason for an index (oci). */
  readonly attestationInline?: boolean;
  /** Stands before the names of attestations in folders and tars of files. */
  readonly attestationPrefix?: string;
  readonly rewriteTimestamp?: boolean;
  readonly annotations?: readonly Annotation[];
  /** tar=false: a directory instead of an archive (oci). */
  readonly tar?: boolean;
  /** local: remove what is not in the result. */
  readonly deleteOthers?: boolean;
}

/** Where finished steps are kept for other machines. */
export type StepCacheAddress =
  /** A directory, which is or becomes an OCI image layout. */
  | { readonly kind: 'local'; readonly path: string; readonly tag?: string }
  /** A full repository name, `registry/repository`. */
  | { readonly kind: 'registry'; readonly repository: string; readonly tag?: string };

export interface StepCacheExport {
  readonly to: StepCacheAddress;
  /** `min`: the steps whose layers the image has; `max`: those of every stage. */
  readonly mode: 'min' | 'max';
  readonly compression?: Compression;
  readonly compressionLevel?: number;
  readonly forceCompression?: boolean;
  /** A failure to write is a warning. */
  readonly ignoreError: boolean;
}

/** Such a place, opened. */
export interface StepCachePlace {
  /** Undefined: there is nothing yet. */
  readonly source: BlobSource | undefined;
  readonly sink: () => Promise<BlobSink>;
  /** Sees to it that a layer found here can be fetched when its bytes are needed. */
  readonly adopt: (layer: LayerRef, signal: AbortSignal) => Promise<void>;
}

export type CacheMountPlace =
  /** A directory, which is or becomes an OCI image layout. */
  | { readonly kind: 'dir'; readonly path: string }
  /** A full reference. */
  | { readonly kind: 'registry'; readonly reference: string };

export interface KeptCacheMount {
  /** As RUN has it: its `id`, else its target. */
  readonly id: string;
  /** Asked when this machine has no such cache. */
  readonly from?: CacheMountPlace;
  /** Written after the build, when its content is new there. */
  readonly to?: CacheMountPlace;
  /** A failure to write it is a warning. */
  readonly ignoreError: boolean;
}

/** A place as where artifacts are read from and written to. */
export interface CachePlace {
  /** Undefined: there is nothing yet. */
  readonly source: BlobSource | undefined;
  readonly sink: BlobSink;
  /** What the artifact is called there. */
  readonly name: string;
  /** After a change: removes what it replaced. */
  readonly tidy?: () => Promise<void>;
}

/** What is said of the images of a build, beside them. */
export interface AttestationRequest {
  readonly provenance?: ProvenanceRequest;
  readonly sbom?: SbomRequest;
}

/** Where an image comes from: SLSA provenance. */
export interface ProvenanceRequest {
  /** `max`: also build arguments, labels, IDs of secrets, the steps and the Dockerfile. */
  readonly mode: 'min' | 'max';
  readonly version: 'v0.2' | 'v1';
  readonly builderId: string;
  /** tsbuild's. */
  readonly builderVersion: string;
  /** The user's word. */
  readonly reproducible: boolean;
  /** Left out of folders and tars of files, and no reason to give an OCI layout an index. */
  readonly inlineOnly: boolean;
  /** The git work tree that the build context lies in is told of. */
  readonly vcs: boolean;
  /** An incomplete list of what the build read is an error. */
  readonly completeMaterials: boolean;
  /** In folders and tars of files. */
  readonly fileName: string;
}

/** What an image holds, as a scanner image finds it (moby/buildkit `docs/attestations/sbom-protocol.md`). */
export interface SbomRequest {
  readonly generator: string;
  /** Variables of the scanner, without `BUILDKIT_SCAN_`. */
  readonly parameters: Readonly<Record<string, string>>;
  /** tsbuild's. */
  readonly builderVersion: string;
}

/** Frozen; made by cli/args or the action. Paths are absolute or relative to the process's working directory. */
export interface BuildRequest {
  readonly context: ContextSource;
  /** Path of the Dockerfile, '-' for stdin (`dockerfileText` then has it); undefined: `Dockerfile` in the context. */
  readonly dockerfile?: string;
  readonly dockerfileText?: string;
  /** Full references. */
  readonly tags: readonly string[];
  readonly target?: string;
  readonly buildArgs: Readonly<Record<string, string>>;
  readonly namedContexts: ReadonlyMap<string, NamedContext>;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: readonly Annotation[];
  /** Empty: the host's. */
  readonly platforms: readonly Platform[];
  readonly noCache: boolean;
  /** Stage names. */
  readonly noCacheFilter: readonly string[];
  readonly pull: boolean;
  readonly network: 'default' | 'none' | 'host';
  readonly extraHosts: readonly { readonly host: string; readonly address: string }[];
  readonly secrets: ReadonlyMap<string, SecretSource>;
  /** ID to socket path or key files. */
  readonly ssh: ReadonlyMap<string, readonly string[]>;
  /** `network.host`, `security.insecure`. */
  readonly allow: ReadonlySet<string>;
  readonly limits: StepLimits;
  readonly isolation: 'auto' | Rung;
  readonly exports: readonly ExportRequest[];
  /** Cache mounts that are kept elsewhere between builds. */
  readonly cacheMounts: readonly KeptCacheMount[];
  /** Asked in this order for steps that the local store has not. */
  readonly cacheFrom: readonly StepCacheAddress[];
  readonly cacheTo: readonly StepCacheExport[];
  /** The image says which steps its layers are. */
  readonly inlineCache: boolean;
  /** Seconds since 1970: from SOURCE_DATE_EPOCH in the environment or the build arguments. */
  readonly sourceDateEpoch?: number;
  /** The proxy variables of the environment, handed to RUN but kept out of keys and history. */
  readonly proxyEnv: Readonly<Record<string, string>>;
  /** What the git program gets of the environment: where to find ssh, and the user's agent. */
  readonly gitEnv?: Readonly<Record<string, string>>;
  readonly attestations?: AttestationRequest;
  /** Stages built at once. Default: the number of cores, at least 2. */
  readonly parallelism?: number;
}

/** An image pinned to a digest, with its configuration; its layers need not be in the store. */
export interface ResolvedImage {
  /** As the user wrote it. */
  readonly reference: string;
  /** Digest of the platform's manifest. */
  readonly digest: Digest;
  /** Digest of what the reference stands for: an index the manifest was chosen from, or the manifest. Default: `digest`. */
  readonly pinned?: Digest;
  readonly platform: Platform;
  readonly config: ImageConfig;
  readonly layers: readonly LayerRef[];
}

/** The port for images that are not made here. `cli/wire.ts` plugs the registry, archives and the store in. */
export interface BaseImages {
  /**
   * Pins a reference (docker rules) or a transport address (`oci-layout://dir:tag`, `docker-archive://…`). Only
   * manifests and configurations are read. The store is asked first unless `pull`.
   */
  resolve(
    reference: string,
    options: { readonly platform: Platform; readonly pull: boolean; readonly signal: AbortSignal },
  ): Promise<ResolvedImage>;
  /** Makes the blob of one layer of a resolved image present in the store. */
  fetch(layer: LayerRef, signal: AbortSignal): Promise<void>;
}

/** Where finished images go when that is not a file: plugged by `cli/wire.ts`. */
export interface Delivery {
  /** Pushes a manifest or index of the store. @param byDigest no tag is written */
  push(
    target: Descriptor,
    reference: string,
    options: { readonly byDigest: boolean; readonly signal: AbortSignal },
  ): Promise<void>;
  /** Whether the engine keeps an index whole, with what stands in it beside images. */
  keepsIndexes(signal: AbortSignal): Promise<boolean>;
  /** Loads an image into a running engine; an index only whole, where it holds attestations. */
  load(target: Descriptor, references: readonly string[], signal: AbortSignal): Promise<void>;
}

export interface BuildPorts {
  readonly store: Store;
  readonly baseImages: BaseImages;
  readonly delivery: Delivery;
  readonly events: EventSink;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly stdout: NodeJS.WritableStream;
  readonly signal: AbortSignal;
  /** Needed by requests with kept cache mounts. */
  readonly cachePlaces?: (place: CacheMountPlace) => Promise<CachePlace>;
  /** Needed by requests with a step cache elsewhere. */
  readonly stepCaches?: (address: StepCacheAddress) => Promise<StepCachePlace>;
  /** Where a person may look at a RUN that failed; the build goes on to fail when it settles. */
  readonly onRunFailed?: ((failure: FailedRun) => Promise<void>) | undefined;
}

/** A RUN that failed, while everything it had is still there. */
export interface FailedRun {
  readonly error: TsbuildError;
  /** Aborted when the build is stopped, also by another step's failure. */
  readonly signal: AbortSignal;
  /**
   * Runs a shell of the image with the step's root, mounts, variables, user and network. What it changes is thrown away.
   * @throws TsbuildError `shell-missing`, `sandbox-*`
   */
  openShell(options: ShellOptions): Promise<StepResult>;
}

export interface ShellOptions extends Omit<RunOptions, 'signal'> {
  /** TERM, where the image sets none. */
  readonly term?: string | undefined;
}

export interface BuiltImage {
  readonly platform: Platform;
  readonly manifest: Descriptor;
  /** Digest of the configuration: the image's ID. */
  readonly imageId: Digest;
}

export interface BuildResult {
  readonly images: readonly BuiltImage[];
  /** The manifest of the only image; the index of several, or of one and its attestations. */
  readonly target: Descriptor;
  readonly tags: readonly string[];
  /** The predicate of each image's provenance in the form of SLSA v0.2, when it was asked for. */
  readonly provenance?: ReadonlyMap<BuiltImage, object>;
}
