/** Docker Hub answers to one name in references and to another on the wire. */

/** As references name it. */
export const hubName = 'docker.io';
/** Where it speaks the distribution protocol. */
export const hubHost = 'registry-1.docker.io';

/** @param name as references name a registry */
export function wireHost(name: string): string {
  return name === hubName ? hubHost : name;
}

/** What a user calls the registry behind a host on the wire. */
export function familiarHost(host: string): string {
  return host === hubHost ? hubName : host;
}
