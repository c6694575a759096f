/**
 * The request of a build in the words in which BuildKit's frontend gets it: what provenance calls its parameters.
 * Invariant: of secrets and agents there are IDs alone, and no address or build argument brings credentials along.
 */
import { posix } from 'node:path';
import { redactText } from '../../core/index.ts';
import type { Plan } from '../plan/index.ts';
import type { BuildRequest, NamedContext, ProvenanceRequest } from '../types.ts';
import { gitUri, type Sources, withoutUser } from './sources.ts';

interface Named {
  readonly id: string;
  readonly optional?: true;
}

export interface Parameters {
  readonly frontend: 'dockerfile.v0';
  readonly args?: Readonly<Record<string, string>>;
  readonly secrets?: readonly Named[];
  readonly ssh?: readonly Named[];
  readonly locals?: readonly { readonly name: string }[];
}

/** @returns also whether something was left out, as `min` does */
export function parametersOf(
  request: BuildRequest,
  plan: Plan,
  sources: Sources,
  mode: ProvenanceRequest['mode'],
): { readonly parameters: Parameters; readonly isComplete: boolean } {
  const whole = argumentsOf(request);
  const isPrivate = (name: string) => name.startsWith('build-arg:') || name.startsWith('label:');
  const names = Object.keys(whole).sort();
  const kept = mode === 'max' ? names : names.filter((name) => !isPrivate(name));
  const [secrets, ssh] = mode === 'max' ? [secretsOf(plan, sources), agentsOf(plan)] : [[], []];
  return {
    parameters: {
      frontend: 'dockerfile.v0',
      ...(kept.length > 0 && { args: Object.fromEntries(kept.map((name) => [name, whole[name] ?? ''])) }),
      ...(secrets.length > 0 && { secrets }),
      ...(ssh.length > 0 && { ssh }),
      ...(sources.locals.length > 0 && { locals: sources.locals.map((name) => ({ name })) }),
    },
    isComplete: kept.length === names.length,
  };
}

/** The path of the Dockerfile in the context it comes from. */
export function entryPoint({ context, dockerfile = '', dockerfileText }: BuildRequest): string {
  if (dockerfile === '' || dockerfile === '-' || dockerfileText !== undefined || /^https?:\/\//.test(dockerfile))
    return 'Dockerfile';
  return context.kind === 'directory' ? posix.basename(dockerfile) : dockerfile;
}

function argumentsOf(request: BuildRequest): Record<string, string> {
  const { limits } = request;
  const args: Record<string, string> = {};
  for (const [name, value] of Object.entries(request.buildArgs)) args[`build-arg:${name}`] = redactText(value);
  for (const [name, value] of Object.entries(request.labels)) args[`label:${name}`] = value;
  for (const [name, context] of request.namedContexts) args[`context:${name}`] = contextText(name, context);
  if (request.target !== undefined) args.target = request.target;
  if (request.noCache || request.noCacheFilter.length > 0)
    args['no-cache'] = request.noCache ? '' : request.noCacheFilter.join(',');
  if (request.network !== 'default') args['force-network-mode'] = request.network;
  if (request.extraHosts.length > 0) {
    args['add-hosts'] = request.extraHosts.map(({ host, address }) => `${host}=${address}`).join(',');
  }
  if (limits.shmSize !== undefined) args['shm-size'] = String(limits.shmSize);
  if (limits.ulimits && limits.ulimits.length > 0) {
    args.ulimit = limits.ulimits.map(({ name, soft, hard }) => `${name}=${soft}:${hard}`).join(',');
  }
  return args;
}

/** Where on this machine something lies is left out. */
function contextText(name: string, context: NamedContext): string {
  switch (context.kind) {
    case 'directory':
      return `local:${name}`;
    case 'git':
      return gitUri(context.url, true);
    case 'http':
      return withoutUser(context.url);
    case 'image': {
      const [, scheme, path = ''] =
        /^((?:oci|oci-layout|oci-archive|docker-archive):(?:\/\/)?)(.*)$/s.exec(context.reference) ?? [];
      return scheme === undefined ? context.reference : `${scheme}${posix.basename(path)}`;
    }
  }
}

function secretsOf(plan: Plan, { usesGit }: Sources): Named[] {
  const ids = mountIds(plan, 'secret');
  // Repositories are asked with them when they are there.
  if (usesGit) for (const id of ['GIT_AUTH_HEADER', 'GIT_AUTH_TOKEN']) ids.set(id, ids.get(id) ?? false);
  return namesOf(ids);
}

function agentsOf(plan: Plan): Named[] {
  return namesOf(mountIds(plan, 'ssh'));
}

/** Whether some step cannot do without it, by ID. */
function mountIds({ stages }: Plan, kind: 'secret' | 'ssh'): Map<string, boolean> {
  const ids = new Map<string, boolean>();
  for (const { operation } of stages.flatMap(({ steps }) => steps)) {
    for (const mount of operation.kind === 'run' ? operation.mounts : []) {
      if (mount.kind === kind) ids.set(mount.id, mount.required || (ids.get(mount.id) ?? false));
    }
  }
  return ids;
}

function namesOf(ids: ReadonlyMap<string, boolean>): Named[] {
  const sorted = [...ids].sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([id, isRequired]) => ({ id, ...(!isRequired && { optional: true as const }) }));
}
