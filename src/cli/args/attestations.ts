/** `--attest`, `--provenance` and `--sbom` as one list. The short forms win over `--attest` of the same type. */
import { parseKeyValues } from './csv.ts';
import { invalidFlag, knownKey, oneOf, type ParsedFlags, parseBoolean } from './flag.ts';

export interface Attestation {
  readonly type: 'provenance' | 'sbom';
  readonly options: Readonly<Record<string, string>>;
}

const types = ['provenance', 'sbom'] as const;
const provenanceKeys = [
  ...['mode', 'version', 'builder-id', 'reproducible', 'inline-only', 'filename', 'disabled'],
  ...['capture-usage', 'complete-materials'],
];
const slsaVersions = ['v1', 'v0.2'];

/** Attestations that were asked for; one that was switched off is left out. @throws TsbuildError `flag-invalid` */
export function parseAttestations(flags: ParsedFlags): Attestation[] {
  const wanted = new Map<Attestation['type'], Attestation | undefined>();
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
  return [...wanted.values()].filter((attestation) => attestation !== undefined);
}

function unlessDisabled(
  flag: string,
  type: Attestation['type'],
  given: Record<string, string>,
): Attestation | undefined {
  const { disabled, ...options } = given;
  if (disabled !== undefined && parseBoolean(`${flag} disabled`, disabled)) return undefined;
  // The generator of an SBOM is given all keys there are.
  for (const key of type === 'provenance' ? Object.keys(given) : []) knownKey(flag, key, provenanceKeys);
  if (type === 'provenance' && options.mode !== undefined) oneOf(`${flag} mode`, options.mode, ['min', 'max', 'full']);
  if (type === 'provenance' && options.version !== undefined) oneOf(`${flag} version`, options.version, slsaVersions);
  return { type, options };
}

function optionsOf(flag: string, text: string): Record<string, string> {
  return Object.fromEntries(
    parseKeyValues(flag, text).map(({ key, value }) => {
      if (value === undefined) throw invalidFlag(flag, `${JSON.stringify(key)} is not key=value`);
      return [key, value];
    }),
  );
}
