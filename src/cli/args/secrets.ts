/**
 * `--secret` and `--ssh`: where secrets come from. A secret's value is read from the environment here; a file's is not.
 * Invariant: no value of a secret appears in an error.
 */
import { statSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { SecretSource } from '../../builder/index.ts';
import { parseKeyValues, splitAssignment } from './csv.ts';
import { invalidFlag, oneOf } from './flag.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * `id=X[,src=FILE|,env=NAME]`; with the id alone, the environment variable of that name, else the file of that name.
 * @throws TsbuildError `flag-invalid`, also when the file or the variable does not exist
 */
export function parseSecret(text: string, env: Environment): { readonly id: string; readonly source: SecretSource } {
  const flag = '--secret';
  let [id, file, variable, type] = ['', '', '', ''];
  for (const { key, value } of parseKeyValues(flag, text)) {
    if (value === undefined) {
      throw invalidFlag(
        flag,
        `${JSON.stringify(key)} is not key=value`,
        'Write id=NAME,src=FILE or id=NAME,env=VARIABLE.',
      );
    }
    switch (oneOf(flag, key, ['id', 'src', 'source', 'env', 'type'])) {
      case 'id':
        id = value;
        break;
      case 'src':
      case 'source':
        file = value;
        break;
      case 'env':
        variable = value;
        break;
      case 'type':
        type = oneOf(`${flag} type`, value, ['file', 'env']);
    }
  }
  if (id === '') throw invalidFlag(flag, `${JSON.stringify(text)} has no id`, 'Write id=NAME,src=FILE.');
  if (type === 'env' && variable === '') [variable, file] = [file === '' ? id : file, ''];
  if (variable === '' && file === '') {
    if (type !== 'file' && env[id] !== undefined) variable = id;
    else file = id;
  }
  if (variable !== '') {
    const value = env[variable];
    if (value === undefined) {
      throw invalidFlag(
        flag,
        `${id}: the environment has no variable ${variable}`,
        'Export it, or name a file with src=.',
      );
    }
    return { id, source: { kind: 'value', value: Buffer.from(value) } };
  }
  const path = file.startsWith('~/') ? join(homedir(), file.slice(2)) : file;
  return { id, source: { kind: 'file', path: existingFile(flag, id, path) } };
}

/** `default`, `default=SOCKET`, `id=KEY[,KEY]`. @throws TsbuildError `flag-invalid` */
export function parseSsh(text: string, env: Environment): { readonly id: string; readonly paths: readonly string[] } {
  const flag = '--ssh';
  const { name, value } = splitAssignment(text);
  const id = name === '' ? 'default' : name;
  const paths = (value ?? '').split(',').filter(Boolean);
  if (paths.length === 0) {
    const agent = env.SSH_AUTH_SOCK;
    if (agent === undefined || agent === '') {
      throw invalidFlag(
        flag,
        `${id}: no SSH agent is running`,
        'Start one and set SSH_AUTH_SOCK, or name key files: --ssh default=KEY.',
      );
    }
    paths.push(agent);
  }
  for (const path of paths) existingFile(flag, id, path);
  return { id, paths };
}

function existingFile(flag: string, id: string, path: string): string {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) throw invalidFlag(flag, `${id}: the file ${path} does not exist`);
  if (found.isDirectory()) throw invalidFlag(flag, `${id}: ${path} is a directory`);
  return path;
}
