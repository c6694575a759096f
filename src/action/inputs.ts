/**
 * The action's inputs as the arguments of `tsbuild build`, so that both mean the same. Names and list forms are those of
 * docker/build-push-action: lists one item a line, secrets as ID=VALUE.
 * Invariant: the value of a secret never becomes an argument; it is handed over through the environment.
 */
import { TsbuildError } from '../core/index.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ActionArguments {
  readonly argv: readonly string[];
  /** Variables the arguments refer to. */
  readonly env: Readonly<Record<string, string>>;
  /** Values that must not appear in the log. */
  readonly secrets: readonly string[];
}

/** Inputs with one value each -> flag. */
const singles = {
  file: 'file',
  target: 'target',
  network: 'network',
  'shm-size': 'shm-size',
  'cgroup-parent': 'cgroup-parent',
  isolation: 'isolation',
  sbom: 'sbom',
} as const;

const switches = { push: 'push', load: 'load', 'no-cache': 'no-cache', pull: 'pull' } as const;

/** Inputs with an item a line; in those marked `commas` a comma separates too. */
const lists: Readonly<Record<string, { readonly flag: string; readonly commas?: boolean }>> = {
  tags: { flag: 'tag', commas: true },
  platforms: { flag: 'platform', commas: true },
  'build-args': { flag: 'build-arg' },
  'build-contexts': { flag: 'build-context' },
  labels: { flag: 'label' },
  annotations: { flag: 'annotation' },
  outputs: { flag: 'output' },
  'no-cache-filters': { flag: 'no-cache-filter', commas: true },
  'cache-from': { flag: 'cache-from' },
  'cache-to': { flag: 'cache-to' },
  'cache-mounts': { flag: 'cache-mount' },
  ssh: { flag: 'ssh' },
  attests: { flag: 'attest' },
  'add-hosts': { flag: 'add-host', commas: true },
  allow: { flag: 'allow', commas: true },
  ulimit: { flag: 'ulimit', commas: true },
};

/** @throws TsbuildError `flag-invalid` naming the input */
export function argumentsOfInputs(env: Environment): ActionArguments {
  const argv: string[] = [];
  for (const [name, flag] of Object.entries(singles)) {
    const value = input(env, name);
    if (value !== '') argv.push(`--${flag}=${value}`);
  }
  const provenance = provenanceOf(env);
  if (provenance !== '') argv.push(`--provenance=${provenance}`);
  for (const [name, flag] of Object.entries(switches)) {
    if (booleanInput(env, name)) argv.push(`--${flag}`);
  }
  for (const [name, { flag, commas }] of Object.entries(lists)) {
    const lines = listOf(input(env, name));
    const items = commas ? lines.flatMap((line) => line.split(',')).map((item) => item.trim()) : lines;
    for (const item of items) if (item !== '') argv.push(`--${flag}=${item}`);
  }
  const secrets = secretsOf(env);
  argv.push(...secrets.argv, '--', contextOf(env));
  return { argv, env: secrets.env, secrets: secrets.values };
}

/** The path of the Dockerfile from the workspace, for annotations. */
export function contextOf(env: Environment): string {
  return input(env, 'context') || env.GITHUB_WORKSPACE || '.';
}

/** As the runner hands inputs over: upper case, spaces as underscores, dashes kept. */
export function input(env: Environment, name: string): string {
  return (env[`INPUT_${name.replace(/ /g, '_').toUpperCase()}`] ?? '').trim();
}

/** Who built is this run of the workflow, unless another is named. */
function provenanceOf(env: Environment): string {
  const value = input(env, 'provenance');
  const { GITHUB_REPOSITORY: repository, GITHUB_RUN_ID: run, GITHUB_RUN_ATTEMPT: attempt } = env;
  const isOn = /^(1|t|true)$/i.test(value);
  if ((!isOn && !value.includes('=')) || /(^|,)\s*"?(builder-id|disabled)=/.test(value) || !repository || !run)
    return value;
  const url = `${env.GITHUB_SERVER_URL || 'https://github.com'}/${repository}/actions/runs/${run}`;
  const builder = `builder-id=${url}${attempt ? `/attempts/${attempt}` : ''}`;
  return isOn ? builder : `${value},${builder}`;
}

function booleanInput(env: Environment, name: string): boolean {
  const value = input(env, name);
  if (/^(true|false|)$/i.test(value)) return value.toLowerCase() === 'true';
  throw new TsbuildError({
    code: 'flag-invalid',
    message: `the input ${name} is ${JSON.stringify(value)}`,
    hint: 'Write true or false.',
  });
}

function secretsOf(env: Environment) {
  const argv: string[] = [];
  const handedOver: Record<string, string> = {};
  const values: string[] = [];
  const add = (id: string, value: string) => {
    const variable = `TSBUILD_ACTION_SECRET_${values.length}`;
    handedOver[variable] = value;
    values.push(value);
    argv.push(`--secret=${csv([`id=${id}`, `env=${variable}`])}`);
  };
  for (const record of quotedRecords(input(env, 'secrets'))) {
    const [id, value] = assignment(record, 'secrets');
    add(id, value);
  }
  for (const line of listOf(input(env, 'secret-envs'))) {
    const [id, variable] = assignment(line, 'secret-envs');
    argv.push(`--secret=${csv([`id=${id}`, `env=${variable}`])}`);
    const value = env[variable];
    if (value !== undefined) values.push(value);
  }
  for (const line of listOf(input(env, 'secret-files'))) {
    const [id, path] = assignment(line, 'secret-files');
    argv.push(`--secret=${csv([`id=${id}`, `src=${path}`])}`);
  }
  const token = input(env, 'github-token');
  if (token !== '') {
    // Repositories of the workflow's server are asked with it; no Dockerfile can have it sent to another.
    const { host, origin } = new URL(env.GITHUB_SERVER_URL || 'https://github.com');
    const id = contextOf(env).startsWith(`${origin}/`) ? 'GIT_AUTH_TOKEN' : `GIT_AUTH_TOKEN.${host}`;
    if (!handedOverIds(argv).has('GIT_AUTH_TOKEN') && !handedOverIds(argv).has(id)) add(id, token);
  }
  return { argv, env: handedOver, values };
}

function handedOverIds(argv: readonly string[]): Set<string> {
  return new Set(argv.map((word) => /^--secret="?id=([^",]+)/.exec(word)?.[1] ?? ''));
}

function assignment(text: string, name: string): [string, string] {
  const equals = text.indexOf('=');
  const id = text.slice(0, equals).trim();
  if (equals > 0 && id !== '') return [id, text.slice(equals + 1)];
  // The text may be a secret: it is not repeated.
  throw new TsbuildError({
    code: 'flag-invalid',
    message: `an item of the input ${name} is not ID=VALUE`,
    hint: 'Write one ID=VALUE a line; put a value of several lines into double quotes.',
  });
}

function listOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}

/** Lines, but what stands in double quotes may span several; `""` in quotes is one quote. */
function quotedRecords(text: string): string[] {
  const records: string[] = [];
  const pattern = /\s*("(?:[^"]|"")*"|[^\n]+)(?:\n|$)/gy;
  for (const [, record = ''] of text.matchAll(pattern)) {
    const trimmed = record.trim();
    if (trimmed === '') continue;
    records.push(trimmed.startsWith('"') ? trimmed.slice(1, -1).replaceAll('""', '"') : trimmed);
  }
  return records;
}

function csv(fields: readonly string[]): string {
  return fields.map((field) => (/[",\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field)).join(',');
}
