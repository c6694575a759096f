/**
 * Private keys from files: OpenSSH's own format (PROTOCOL.key of OpenSSH) and PEM (PKCS #1, PKCS #8, SEC 1).
 * Invariant: no byte of a key appears in an error.
 */
import { createPrivateKey, type JsonWebKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { TsbuildError } from '../../core/index.ts';
import { WireReader, wireBytes, wireInteger } from './wire.ts';

export interface SshKey {
  readonly key: KeyObject;
  /** `ssh-ed25519`, `ssh-rsa`, `ecdsa-sha2-nistp256` and so on. */
  readonly type: string;
  /** As servers and agents name it (RFC 4253, section 6.6). */
  readonly publicBlob: Buffer;
  readonly comment: string;
}

const largestFile = 64 * 1024;
const opensshPattern = /-----BEGIN OPENSSH PRIVATE KEY-----([\sA-Za-z0-9+/=]+)-----END OPENSSH PRIVATE KEY-----/;
const magic = 'openssh-key-v1\0';

/** Curves by SSH's names. */
const curves: Readonly<Record<string, { readonly jwk: string; readonly size: number }>> = {
  nistp256: { jwk: 'P-256', size: 32 },
  nistp384: { jwk: 'P-384', size: 48 },
  nistp521: { jwk: 'P-521', size: 66 },
};

/** @throws TsbuildError `ssh-key-unusable` */
export function readKeyFile(path: string): SshKey {
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch (cause) {
    throw unusable(path, 'cannot be read', 'Check the path and its permissions.', cause);
  }
  if (text.length > largestFile || !text.includes('PRIVATE KEY-----')) {
    const hint = /^(ssh|ecdsa|sk)-/.test(text) ? 'Name the private key: the file without .pub.' : 'Name a private key.';
    throw unusable(path, 'is neither a private key nor the socket of an agent', hint);
  }
  const openssh = opensshPattern.exec(text);
  if (!openssh && /ENCRYPTED/.test(text)) throw locked(path);
  try {
    return openssh ? fromOpenSsh(path, Buffer.from(openssh[1] ?? '', 'base64')) : fromPem(path, text);
  } catch (cause) {
    if (cause instanceof TsbuildError) throw cause;
    throw unusable(path, 'is damaged or of a kind that is not known', 'Use an Ed25519, ECDSA or RSA key.', cause);
  }
}

function fromPem(path: string, text: string): SshKey {
  return described(path, createPrivateKey(text), basename(path));
}

function fromOpenSsh(path: string, data: Buffer): SshKey {
  const file = new WireReader(data);
  if (file.take(magic.length).toString('latin1') !== magic) throw new Error('another format');
  const cipher = file.text();
  file.bytes();
  file.bytes();
  if (cipher !== 'none') throw locked(path);
  if (file.number() !== 1) throw new Error('more than one key');
  file.bytes();
  const secret = new WireReader(file.bytes());
  const [check, checkAgain] = [secret.number(), secret.number()];
  if (check !== checkAgain) throw new Error('the check numbers differ');
  const type = secret.text();
  const jwk = readSecret(type, secret);
  if (!jwk) {
    throw unusable(path, `is of the type ${type}, which an agent here cannot use`, 'Use Ed25519, ECDSA or RSA.');
  }
  return described(path, createPrivateKey({ key: jwk, format: 'jwk' }), secret.text() || basename(path));
}

function readSecret(type: string, secret: WireReader): JsonWebKey | undefined {
  if (type === 'ssh-ed25519') {
    const x = secret.bytes();
    return { kty: 'OKP', crv: 'Ed25519', x: url(x), d: url(secret.bytes().subarray(0, 32)) };
  }
  if (type === 'ssh-rsa') return readRsa(secret);
  const curve = curves[type.replace(/^ecdsa-sha2-/, '')];
  if (!type.startsWith('ecdsa-sha2-') || !curve) return undefined;
  secret.bytes();
  const point = secret.bytes();
  const { size, jwk } = curve;
  // Uncompressed: 4, x, y (SEC 1, section 2.3.3).
  const [x, y] = [point.subarray(1, 1 + size), point.subarray(1 + size)];
  return { kty: 'EC', crv: jwk, x: url(x), y: url(y), d: url(padded(unsigned(secret.bytes()), size)) };
}

/** OpenSSH leaves out the two exponents that can be had from the others. */
function readRsa(secret: WireReader): JsonWebKey {
  const numbers = Array.from({ length: 6 }, () => unsigned(secret.bytes()));
  const [n, e, d, qi, p, q] = numbers as [Buffer, Buffer, Buffer, Buffer, Buffer, Buffer];
  const exponent = (prime: Buffer) => {
    const hex = (bigint(d) % (bigint(prime) - 1n)).toString(16);
    return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  };
  const all = { n, e, d, p, q, dp: exponent(p), dq: exponent(q), qi };
  return { kty: 'RSA', ...Object.fromEntries(Object.entries(all).map(([name, value]) => [name, url(value)])) };
}

function described(path: string, key: KeyObject, comment: string): SshKey {
  const { kty, crv = '', x = '', y = '', n = '', e = '' } = key.export({ format: 'jwk' });
  const part = (text: string) => Buffer.from(text, 'base64url');
  if (kty === 'OKP' && crv === 'Ed25519') return named('ssh-ed25519', [wireBytes(part(x))]);
  if (kty === 'RSA') return named('ssh-rsa', [wireInteger(part(e)), wireInteger(part(n))]);
  const curve = Object.keys(curves).find((name) => curves[name]?.jwk === crv);
  if (kty === 'EC' && curve) {
    const point = Buffer.concat([Buffer.from([4]), part(x), part(y)]);
    return named(`ecdsa-sha2-${curve}`, [wireBytes(curve), wireBytes(point)]);
  }
  throw unusable(path, 'is of a type that SSH does not know', 'Use an Ed25519, ECDSA or RSA key.');

  function named(type: string, parts: readonly Buffer[]): SshKey {
    return { key, type, publicBlob: Buffer.concat([wireBytes(type), ...parts]), comment };
  }
}

function url(data: Buffer): string {
  return data.toString('base64url');
}

/** Of an `mpint`, without the zero that keeps it from being negative. */
function unsigned(data: Buffer): Buffer {
  return data[0] === 0 ? data.subarray(1) : data;
}

function padded(data: Buffer, size: number): Buffer {
  return Buffer.concat([Buffer.alloc(Math.max(0, size - data.length)), data]);
}

function bigint(data: Buffer): bigint {
  return BigInt(`0x${data.toString('hex') || '0'}`);
}

function locked(path: string): TsbuildError {
  return unusable(
    path,
    'is protected by a passphrase',
    'Add it to an agent (ssh-add) and hand that on: --ssh default.',
  );
}

function unusable(path: string, what: string, hint: string, cause?: unknown): TsbuildError {
  return new TsbuildError({ code: 'ssh-key-unusable', message: `the SSH key ${path} ${what}`, hint, cause });
}
