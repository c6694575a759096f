/** The bytes of a secret, read when a step needs them and kept nowhere. */
import { readFile } from 'node:fs/promises';
import { systemErrorCode, TsbuildError } from '../core/index.ts';
import type { SecretSource } from './types.ts';

/** BuildKit's limit on one secret. */
const maxSecretBytes = 500 * 1024;

export async function readSecret(source: SecretSource): Promise<Uint8Array> {
  const content = source.kind === 'value' ? source.value : await readSecretFile(source.path);
  if (content.byteLength <= maxSecretBytes) return content;
  throw new TsbuildError({
    code: 'build-secret-missing',
    message: `a secret has ${content.byteLength} bytes; ${maxSecretBytes} are allowed`,
    hint: 'Give large files with --build-context and a bind mount.',
  });
}

async function readSecretFile(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new TsbuildError({
      code: 'build-secret-missing',
      message: `the secret file ${path} cannot be read (${systemErrorCode(cause) ?? 'error'})`,
      hint: 'Give --secret a file that exists and that you may read.',
      cause,
    });
  }
}
