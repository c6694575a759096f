/**
 * How the parts of a repository reach it: the registry itself, the mirrors that may answer for it, and the scopes each
 * request needs.
 */
import { isDigest, parseReference, type Reference, repositoryName } from '../../image/index.ts';
import { repositoryScope } from '../auth/scope.ts';
import { RegistryError } from '../errors.ts';
import { type Endpoint, type EndpointRequest, isEndpointFailure } from './endpoint.ts';
import type { Exchange } from './upload-session.ts';

export interface RepositoryPlaces {
  readonly reference: Reference;
  /** The registry itself. */
  readonly endpoint: Endpoint;
  /** Asked first, in order, for reading. */
  readonly mirrors: readonly Endpoint[];
}

export class RepositoryAccess {
  /** For errors: `registry ghcr.io/team/app`. */
  readonly name: string;
  /** `ghcr.io/team/app`. */
  readonly fullName: string;
  /** The repository's name at the registry itself. */
  readonly path: string;
  readonly #places: RepositoryPlaces;

  constructor(places: RepositoryPlaces) {
    this.#places = places;
    this.fullName = repositoryName(places.reference);
    this.name = `registry ${this.fullName}`;
    this.path = places.endpoint.repositoryPath(places.reference.repository);
  }

  /** Asks the registry itself; a status that is not expected is thrown as the error it stands for. */
  expect(request: EndpointRequest, statuses: readonly number[]): Promise<Exchange> {
    return this.#places.endpoint.expect(request, statuses);
  }

  /**
   * Reads from the first place that has it: mirrors first, and the registry's own failure is the one that is thrown.
   * @param mirrors false: only the registry itself is asked
   */
  async read<T>(attempt: (endpoint: Endpoint, path: string) => Promise<T>, mirrors = true): Promise<T> {
    for (const mirror of mirrors ? this.#places.mirrors : []) {
      try {
        return await attempt(mirror, mirror.repositoryPath(this.#places.reference.repository));
      } catch (error) {
        if (!isEndpointFailure(error)) throw error;
      }
    }
    return attempt(this.#places.endpoint, this.path);
  }

  /** The path of another repository of this registry; undefined when `name` is this one or of another registry. */
  siblingPath(name: string): string | undefined {
    const { registry, repository } = parseReference(name);
    const own = this.#places.reference;
    if (registry !== own.registry || repository === own.repository) return undefined;
    return this.#places.endpoint.repositoryPath(repository);
  }

  pushScopes(): readonly string[] {
    return [repositoryScope(this.path, 'pull,push')];
  }

  /** A tag or a digest; also `name:tag` and `name@digest` of this repository, as people write them. */
  checkedName(reference: string): string {
    if (isDigest(reference)) return reference;
    const bare = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/.test(reference);
    const parsed = parseReference(bare ? `${this.fullName}:${reference}` : reference);
    if (repositoryName(parsed) === this.fullName) return parsed.digest ?? parsed.tag ?? 'latest';
    throw new RegistryError({
      code: 'registry-refused',
      message: `${reference} is not in the repository ${this.fullName}`,
      hint: 'Name a tag or a digest of this repository.',
    });
  }
}

export function pullScopes(path: string): readonly string[] {
  return [repositoryScope(path, 'pull')];
}
