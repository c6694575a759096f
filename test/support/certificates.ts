/** A private certificate authority and what it issues, made by openssl into a folder. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Certificate {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
}

export interface Authority extends Certificate {
  /** @param host a DNS name or an address, also the common name */
  issue(host: string): Certificate;
}

export function createAuthority(folder: string): Authority {
  const own = files(folder, 'ca');
  openssl([
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-subj', '/CN=tsbuild test authority', '-keyout', own.keyFile, '-out', own.certificateFile],
  ]);
  return {
    ...read(own),
    issue(host) {
      const leaf = files(folder, host.replaceAll(/[^a-z0-9]/gi, '-'));
      const request = `${leaf.keyFile}.csr`;
      const extensions = `${leaf.keyFile}.ext`;
      writeFileSync(extensions, `subjectAltName=${/^[\d.:]+$/.test(host) ? 'IP' : 'DNS'}:${host}\n`);
      openssl([
        ...['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
        ...['-subj', `/CN=${host}`, '-keyout', leaf.keyFile, '-out', request],
      ]);
      openssl([
        ...['x509', '-req', '-in', request, '-CA', own.certificateFile, '-CAkey', own.keyFile, '-CAcreateserial'],
        ...['-days', '2', '-extfile', extensions, '-out', leaf.certificateFile],
      ]);
      return read(leaf);
    },
  };
}

function files(folder: string, name: string) {
  return { certificateFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) };
}

function read(made: { readonly certificateFile: string; readonly keyFile: string }): Certificate {
  return {
    ...made,
    certificate: readFileSync(made.certificateFile, 'utf8'),
    key: readFileSync(made.keyFile, 'utf8'),
  };
}

function openssl(args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
