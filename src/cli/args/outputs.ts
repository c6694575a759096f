/**
 * `--output`, `--push` and `--load` as export requests.
 * Reference: docker buildx's exporter documentation; a bare path is `type=local`, a bare `-` is a tar on stdout.
 */
import type { Annotation, ExportRequest } from '../../builder/index.ts';
import { type Platform, parseReference } from '../../image/index.ts';
import { parseAnnotationKey } from './annotations.ts';
import { parseKeyValues } from './csv.ts';
import { invalidFlag, knownKey, oneOf, parseBoolean } from './flag.ts';
import { parseLayerForm } from './layer-form.ts';

const flag = '--output';
const kinds = ['local', 'tar', 'oci', 'docker', 'image', 'registry'] as const;

/** Understood by docker buildx and without meaning here: there is no second image store to fill. */
const ignoredKeys = [
  'unpack',
  'store',
  'dangling-name-prefix',
  'name-canonical',
  'platform-split',
  'context',
  'registry.insecure',
];

const knownKeys = [
  'type',
  'dest',
  'name',
  'push',
  'push-by-digest',
  'compression',
  'compression-level',
  'force-compression',
  'oci-mediatypes',
  'oci-artifact',
  'attestation-prefix',
  'attestation-inline',
  'rewrite-timestamp',
  'tar',
  'mode',
];

export interface OutputFlags {
  readonly outputs: readonly string[];
  readonly push: boolean;
  readonly load: boolean;
  /** Standard output is a terminal: an archive must not go there. */
  readonly stdoutIsTerminal: boolean;
  readonly hostPlatform: Platform;
}

/** All outputs of a build; empty: the local store only. @throws TsbuildError `flag-invalid` */
export function parseOutputs(flags: OutputFlags): ExportRequest[] {
  let requests = flags.outputs.map((text) => parseOutput(text, flags));
  if (flags.push) {
    const takesPush = (request: ExportRequest) => request.kind === 'image' || request.kind === 'registry';
    requests = requests.some(takesPush)
      ? requests.map((request) => (takesPush(request) ? { ...request, push: true } : request))
      : [...requests, { kind: 'registry', push: true }];
  }
  if (flags.load && !requests.some((request) => request.kind === 'docker' && request.destination === undefined)) {
    requests.push({ kind: 'docker' });
  }
  if (requests.filter((request) => request.destination === '-').length > 1) {
    throw invalidFlag(flag, 'standard output can take one result only', 'Give the others a dest=FILE.');
  }
  return requests;
}

function parseOutput(text: string, { stdoutIsTerminal, hostPlatform }: OutputFlags): ExportRequest {
  if (text === '') throw invalidFlag(flag, 'is empty', 'Write a directory, or type=oci,dest=image.tar.');
  const fields = parseKeyValues(flag, text);
  const bare = fields.length === 1 && fields[0]?.value === undefined;
  const request: ExportRequest = bare
    ? { kind: text === '-' ? 'tar' : 'local', destination: text }
    : fromFields(text, fields, hostPlatform);
  return checkDestination(request, stdoutIsTerminal);
}

function fromFields(text: string, fields: ReturnType<typeof parseKeyValues>, host: Platform): ExportRequest {
  const values = new Map<string, string>();
  const annotations: Annotation[] = [];
  const names: string[] = [];
  for (const { key, value } of fields) {
    if (value === undefined) throw invalidFlag(flag, `${JSON.stringify(key)} is not key=value`);
    const annotation = parseAnnotationKey(flag, key, value, host);
    if (annotation) annotations.push(annotation);
    else if (key === 'name') names.push(...value.split(',').filter(Boolean));
    else if (knownKeys.includes(key)) values.set(key, value);
    else knownKey(flag, key, [...knownKeys, ...ignoredKeys, 'annotation.KEY']);
  }
  const type = values.get('type');
  if (type === undefined)
    throw invalidFlag(flag, `${JSON.stringify(text)} names no type`, `Add type=${kinds.join('|')}.`);
  for (const name of names) parseReference(name);
  const on = (key: string) => {
    const value = values.get(key);
    return value === undefined ? undefined : parseBoolean(`${flag} ${key}`, value);
  };
  const kind = oneOf(flag, type, kinds);
  const mode = values.get('mode');
  return withoutUndefined({
    kind,
    destination: values.get('dest'),
    names: names.length > 0 ? names : undefined,
    push: kind === 'registry' ? (on('push') ?? true) : on('push'),
    pushByDigest: on('push-by-digest'),
    ...parseLayerForm(flag, (key) => values.get(key)),
    ociMediaTypes: on('oci-mediatypes'),
    ociArtifact: on('oci-artifact'),
    attestationInline: on('attestation-inline'),
    attestationPrefix: values.get('attestation-prefix'),
    rewriteTimestamp: on('rewrite-timestamp'),
    annotations: annotations.length > 0 ? annotations : undefined,
    tar: on('tar'),
    deleteOthers: mode === undefined ? undefined : oneOf(`${flag} mode`, mode, ['copy', 'delete']) === 'delete',
  });
}

function checkDestination(request: ExportRequest, stdoutIsTerminal: boolean): ExportRequest {
  const { kind, destination } = request;
  if (kind === 'local' && (destination === undefined || destination === '-' || destination === '')) {
    throw invalidFlag(flag, 'type=local needs a directory', 'Add dest=DIRECTORY.');
  }
  const isFile = kind === 'tar' || kind === 'oci';
  if (kind === 'oci' && request.tar === false && (destination === undefined || destination === '-')) {
    throw invalidFlag(flag, 'type=oci,tar=false needs a directory', 'Add dest=DIRECTORY.');
  }
  const target = isFile ? (destination ?? '-') : destination;
  if (target === '-' && stdoutIsTerminal) {
    throw invalidFlag(
      flag,
      `type=${kind} will not be written to a terminal`,
      'Add dest=FILE, or redirect standard output.',
    );
  }
  return target === undefined ? request : { ...request, destination: target };
}

function withoutUndefined<T extends object>(value: { [K in keyof T]: T[K] | undefined }): T {
  return Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as T;
}
