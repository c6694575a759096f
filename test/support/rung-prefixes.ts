/** How a program that was started as root is brought to a rung. */

/** What Docker leaves to root in a container, as setpriv(1) has it. */
export const dockerCapabilities =
  '-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap,+net_bind_service,+net_raw,+sys_chroot,+mknod,+audit_write,+setfcap';

/** Root in an ordinary container: the command goes after it. */
export const asContainerRoot = ['setpriv', '--bounding-set', dockerCapabilities, '--inh-caps=-all'] as const;

/** @param id of user and group; one no user has gets no subordinate IDs */
export function asUser(id: number): readonly string[] {
  return ['setpriv', `--reuid=${id}`, `--regid=${id}`, '--clear-groups'];
}
