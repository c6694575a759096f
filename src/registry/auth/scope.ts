/**
 * Scopes of the token protocol (distribution, "Token Scope"): `repository:library/alpine:pull,push`.
 * Invariant: a normalised list is sorted, has one entry per resource and its actions sorted, so equal wants are equal
 * strings.
 */

/** One entry per resource, actions united. What is not `type:name:actions` stays as it is. */
export function mergeScopes(...lists: readonly (readonly string[])[]): string[] {
  const actions = new Map<string, Set<string>>();
  for (const scope of lists.flat().flatMap((text) => text.split(' '))) {
    if (scope === '') continue;
    const cut = scope.lastIndexOf(':');
    const resource = cut < 0 ? scope : scope.slice(0, cut);
    const set = actions.get(resource) ?? new Set();
    for (const action of cut < 0 ? [] : scope.slice(cut + 1).split(',')) set.add(action);
    actions.set(resource, set);
  }
  return [...actions]
    .map(([resource, set]) => (set.size === 0 ? resource : `${resource}:${[...set].sort().join(',')}`))
    .sort();
}

/** True when a token for `granted` serves a request that needs `wanted`. */
export function coversScopes(granted: readonly string[], wanted: readonly string[]): boolean {
  const united = mergeScopes(granted);
  return mergeScopes(united, wanted).join(' ') === united.join(' ');
}

export function repositoryScope(
  repository: string,
  actions: 'pull' | 'pull,push' | 'delete' | 'pull,push,delete',
): string {
  return `repository:${repository}:${actions}`;
}
