/** `--attest`, `--provenance` and `--sbom` as one request. The short forms win over `--attest` of the same type. */
import { posix } from 'node:path';
import type { AttestationRequest, ProvenanceRequest, SbomRequest } from '../../builder/index.ts';
import { versionNumber } from '../commands/version.ts';
import { parseKeyValues } from './csv.ts';
import { invalidFlag, knownKey, oneOf, type ParsedFlags, parseBoolean } from './flag.ts';
import type { Environment } from './secrets.ts';

interface Attestation {
  /** For messages. */
  readonly flag: string;
  readonly options: Readonly<Record<string, string>>;
}

const types = ['provenance', 'sbom'] as const;
type AttestationType = (typeof types)[number];

const provenanceKeys = [
  ...['mode', 'version', 'builder-id', 'reproducible', 'inline-only', 'filename', 'disabled'],
  ...['capture-usage', 'complete-materials'],
];
const slsaVersions = ['v1', 'v0.2'] as const;

/** BuildKit's. */
const defaultGenerator = 'docker/buildkit-syft-scanner:stable-1';

/** Undefined when none is asked for, or each was switched off. @throws TsbuildError `flag-invalid` */
export function parseAttestations(flags: ParsedFlags, env: Environment): AttestationRequest | undefined {
  const wanted = new Map<AttestationType, Attestation | undefined>();
  for (const text of flags.all('attest')) {
    const { type, ...options } = optionsOf('--attest', text);
    if (type === undefined)
      for (const key of Object.keys(options)) knownKey('--attest', key, ['type', ...provenanceKeys]);
    if (type === undefined)
      throw invalidFlag('--attest', `${JSON.stringify(text)} names no type`, 'Add type=provenance or type=sbom.');
    const name = oneOf('--attest type', type, types);
    wanted.set(name, unlessDisabled(`--attest ${name}`, name, options));
  }
  for (const type of types) {
    const text = flags.text(type);
    if (text === undefined) continue;
    const options = text.includes('=')
      ? optionsOf(`--${type}`, text)
      : { disabled: String(!parseBoolean(`--${type}`, text)) };
    wanted.set(type, unlessDisabled(`--${type}`, type, options));
  }
  const [provenance, sbom] = [wanted.get('provenance'), wanted.get('sbom')];
  if (!provenance && !sbom) return undefined;
  return { ...(provenance && { provenance: provenanceOf(provenance, env) }), ...(sbom && { sbom: sbomOf(sbom) }) };
}

function unlessDisabled(flag: string, type: AttestationType, given: Record<string, string>): Attestation | undefined {
  const { disabled, ...options } = given;
  if (disabled !== undefined && parseBoolean(`${flag} disabled`, disabled)) return undefined;
  // The generator of an SBOM is given all keys there are.
  for (const key of type === 'provenance' ? Object.keys(given) : []) knownKey(flag, key, provenanceKeys);
  return { flag, options };
}

function provenanceOf({ flag, options }: Attestation, env: Environment): ProvenanceRequest {
  const on = (key: string): boolean => parseBoolean(`${flag} ${key}`, options[key] ?? 'false');
  const fileName = posix.basename(options.filename ?? 'provenance.json');
  if (['', '.', '..'].includes(fileName)) {
    throw invalidFlag(
      flag,
      `filename=${options.filename} is no name of a file`,
      'Write e.g. filename=provenance.json.',
    );
  }
  return {
    mode: oneOf(`${flag} mode`, options.mode ?? 'max', ['min', 'max', 'full']) === 'min' ? 'min' : 'max',
    version: oneOf(`${flag} version`, options.version ?? 'v1', slsaVersions),
    builderId: options['builder-id'] ?? '',
    builderVersion: versionNumber,
    reproducible: on('reproducible'),
    inlineOnly: on('inline-only'),
    vcs: !/^(?:0|f|false)$/i.test(env.BUILDX_GIT_INFO ?? ''),
    completeMaterials: on('complete-materials'),
    fileName,
  };
}

function sbomOf({ flag, options }: Attestation): SbomRequest {
  const { generator = defaultGenerator, ...parameters } = options;
  if (generator === '') throw invalidFlag(flag, 'the generator has no name', 'Write generator=IMAGE, or leave it out.');
  return { generator, parameters, builderVersion: versionNumber };
}

function optionsOf(flag: string, text: string): Record<string, string> {
  return Object.fromEntries(
    parseKeyValues(flag, text).map(({ key, name, value }) => {
      if (value === undefined) throw invalidFlag(flag, `${JSON.stringify(key)} is not key=value`);
      // A scanner's own parameters are variables: they keep their letters.
      return [key === 'type' || key === 'disabled' || key === 'generator' ? key : name, value];
    }),
  );
}
