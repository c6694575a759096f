/** What of the outside a build read: images, git repositories, files from the network, folders of this machine. */
import { posix } from 'node:path';
import { redactUrl } from '../../core/index.ts';
import {
  type Digest,
  isDigest,
  normalizePlatform,
  type Platform,
  packageUrl,
  parseReference,
  type Reference,
} from '../../image/index.ts';
import { type BuildContext, parseGitAddress } from '../context/index.ts';
import type { Plan, PlannedStage, Step, TreeSource } from '../plan/index.ts';
import type { BuildRequest, ResolvedImage } from '../types.ts';
import { digestSet } from './statements.ts';

/** SLSA's name and digest of something that was read. */
export interface Material {
  readonly uri: string;
  readonly digest: Readonly<Record<string, string>>;
}

export interface Sources {
  readonly materials: readonly Material[];
  /** Names of contexts that are folders or streams: nobody else can have them again. */
  readonly locals: readonly string[];
  /** The build context, when it is none of those. */
  readonly context: (Material & { readonly path?: string }) | undefined;
  readonly usesGit: boolean;
}

export interface SourceFacts {
  readonly request: BuildRequest;
  readonly plan: Plan;
  /** Beside those of the plan. */
  readonly images?: readonly ResolvedImage[];
  readonly context: (name: string | undefined) => Promise<BuildContext>;
  /** By address: what ADD fetched. */
  readonly fetched: ReadonlyMap<string, string>;
}

export async function sourcesOf(facts: SourceFacts): Promise<Sources> {
  const { request, plan, context } = facts;
  const images = new Map<string, Material>();
  for (const image of [...imagesOf(plan), ...(facts.images ?? [])]) {
    const uri = imageUri(image);
    images.set(uri, { uri, digest: digestSet(image.pinned ?? image.digest) });
  }
  const git = new Map<string, Material>();
  const files = new Map<string, Material>();
  const add = async (name: string | undefined): Promise<Material | undefined> => {
    const source = name === undefined ? request.context : request.namedContexts.get(name);
    if (source?.kind !== 'git' && source?.kind !== 'http') return undefined;
    const { commit, digest } = await context(name);
    const material = source.kind === 'git' ? gitMaterial(source.url, commit) : fileMaterial(source.url, digest);
    (source.kind === 'git' ? git : files).set(material.uri, material);
    return source.kind === 'git' ? { ...material, uri: gitUri(source.url, true) } : material;
  };
  const main = await add(undefined);
  for (const name of contextNames(plan)) await add(name);
  for (const { address, checksum } of addresses(plan)) {
    const identity = facts.fetched.get(address) ?? checksum;
    const isGit = isGitAddress(address);
    const material = isGit
      ? gitMaterial(address, identity?.replace(/:.*$/s, ''))
      : fileMaterial(address, isDigest(identity) ? identity : undefined);
    (isGit ? git : files).set(material.uri, material);
  }
  return {
    materials: [images, git, files].flatMap((group) => [...group.values()].sort((a, b) => (a.uri < b.uri ? -1 : 1))),
    locals: localNames(request, plan),
    context: main,
    usesGit: git.size > 0,
  };
}

/** Contexts that are folders or streams, and the Dockerfile where it is one of these. */
export function localNames(request: BuildRequest, plan: Plan): string[] {
  const isRemote = (kind: string | undefined) => kind === 'git' || kind === 'http';
  const names = [...contextNames(plan)].filter((name) => !isRemote(request.namedContexts.get(name)?.kind));
  if (!isRemote(request.context.kind)) names.push('context');
  if (readsDockerfileHere(request)) names.push('dockerfile');
  return names.sort();
}

export function imagesOf({ stages }: Plan): ResolvedImage[] {
  const bases = stages.flatMap(({ base }) => (base.kind === 'image' ? [base.image] : []));
  const read = stages.flatMap((stage) => treesOf(stage)).flatMap((tree) => (tree.kind === 'image' ? [tree.image] : []));
  return [...bases, ...read];
}

/** What BuildKit's source operations call an image. */
export function imageIdentifier(image: ResolvedImage): string {
  const { type, reference } = imageName(image);
  const { registry, repository, tag = 'latest' } = reference;
  const name = type === 'oci' ? repository : `${registry}/${repository}`;
  return `${type === 'oci' ? 'oci-layout' : 'docker-image'}://${name}:${tag}@${image.pinned ?? image.digest}`;
}

/** Without credentials. */
export function gitUri(address: string, withSubdirectory = false): string {
  const parsed = parseGitAddress(address, { allowBareGithub: true });
  if (!parsed) return withoutUser(address);
  const { remote, ref = '', subdir } = parsed;
  const fragment = withSubdirectory && subdir !== '' ? `${ref}:${subdir}` : ref;
  return `${withoutUser(remote)}${fragment === '' ? '' : `#${fragment}`}`;
}

export function withoutUser(address: string): string {
  return redactUrl(address).replace(/^([a-z]+:\/\/)\*\*\*@/i, '$1');
}

function gitMaterial(address: string, commit: string | undefined): Material {
  return { uri: gitUri(address), digest: commit ? { [commit.length === 64 ? 'sha256' : 'sha1']: commit } : {} };
}

function fileMaterial(address: string, digest: Digest | undefined): Material {
  return { uri: withoutUser(address), digest: digest ? digestSet(digest) : {} };
}

function imageUri(image: ResolvedImage): string {
  const { type, reference } = imageName(image);
  return packageUrl(type, reference, platformOf(image));
}

function platformOf({ platform }: ResolvedImage): Platform {
  return normalizePlatform(platform);
}

interface ImageName {
  /** As in package URLs. */
  readonly type: 'docker' | 'oci';
  readonly reference: Reference;
}

const nameless: Reference = { registry: 'docker.io', repository: 'image' };

/** A layout or an archive is called by its last name: where it lies on this machine is nobody's concern. */
function imageName({ reference, digest: own }: ResolvedImage): ImageName {
  const file = /^(?:oci|oci-layout|oci-archive|docker-archive):(?:\/\/)?([^:@]*)(?::([^@]*))?(?:@(.*))?$/s.exec(
    reference,
  );
  if (!file) {
    const name = reference
      .replace(/^(?:docker|docker-image|docker-daemon|store):\/\//, '')
      .replace(/^docker-daemon:/, '');
    // An image of the store or an engine may go by its ID.
    if (/^(?:sha256:)?[0-9a-f]{12,64}$/.test(name)) return { type: 'oci', reference: { ...nameless, digest: own } };
    return { type: 'docker', reference: parseReference(name) };
  }
  const [, path = '', name = '', digest] = file;
  const repository =
    posix
      .basename(path)
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, '') || 'layout';
  const tag = /[^/:]*$/.exec(name)?.[0] || 'latest';
  return { type: 'oci', reference: { registry: 'docker.io', repository, tag, ...(isDigest(digest) && { digest }) } };
}

function treesOf({ steps }: PlannedStage): TreeSource[] {
  return steps.flatMap(({ operation }) => {
    if (operation.kind === 'copy') return [operation.source];
    if (operation.kind !== 'run') return [];
    return operation.mounts.flatMap((mount) => (mount.kind === 'bind' || mount.kind === 'cache' ? [mount.source] : []));
  });
}

function contextNames({ stages }: Plan): ReadonlySet<string> {
  const bases = stages.flatMap(({ base }) => (base.kind === 'context' ? [base.name] : []));
  const read = stages.flatMap((stage) => treesOf(stage));
  return new Set([...bases, ...read.flatMap((tree) => (tree.kind === 'named-context' ? [tree.name] : []))]);
}

/** What ADD names that is no path. */
export function isAddress(text: string): boolean {
  return /^https?:\/\//.test(text) || isGitAddress(text);
}

export function isGitAddress(text: string): boolean {
  return parseGitAddress(text) !== undefined;
}

function addresses({ stages }: Plan): { readonly address: string; readonly checksum: string | undefined }[] {
  const ofStep = ({ operation }: Step) =>
    operation.kind === 'copy' && operation.add
      ? operation.patterns
          .filter(({ text }) => isAddress(text))
          .map(({ text }) => ({ address: text, checksum: operation.checksum }))
      : [];
  return stages.flatMap(({ steps }) => steps.flatMap(ofStep));
}

/** As `read-dockerfile.ts` finds it. */
function readsDockerfileHere({ context, dockerfile, dockerfileText }: BuildRequest): boolean {
  if (dockerfileText !== undefined || (dockerfile !== undefined && /^https?:\/\//.test(dockerfile))) return true;
  return context.kind === 'directory' || context.kind === 'stream';
}
