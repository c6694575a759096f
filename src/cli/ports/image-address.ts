/**
 * Where an image is: a registry reference, the local store, or an address with a transport as skopeo (`oci:DIR:tag`) and
 * buildx (`oci-layout://DIR:tag`) write it.
 */
import { isTsbuildError, nearest, TsbuildError } from '../../core/index.ts';
import { familiarReference, isDigest, parseReference, type Reference } from '../../image/index.ts';

export type ImageAddress =
  | { readonly kind: 'registry'; readonly reference: Reference }
  | { readonly kind: 'store'; readonly name: string }
  | { readonly kind: 'engine'; readonly name: string }
  | {
      readonly kind: 'oci-layout' | 'oci-archive' | 'docker-archive';
      readonly path: string;
      /** A tag or digest; undefined: the only image there. */
      readonly name: string | undefined;
    };

/** What stands before a place. The last are written with `://` only, or they are names of images. */
const transports = ['oci', 'oci-layout', 'oci-archive', 'docker-archive', 'docker-daemon'];
const urlTransports = [...transports, 'docker', 'docker-image', 'store'];

const fileTransports = {
  oci: 'oci-layout',
  'oci-layout': 'oci-layout',
  'oci-archive': 'oci-archive',
  'docker-archive': 'docker-archive',
} as const;

/** @throws TsbuildError `reference-invalid` */
export function parseImageAddress(text: string): ImageAddress {
  const match = /^([a-z][a-z-]*):(?:\/\/)?(.*)$/s.exec(text);
  const [, scheme = '', rest = ''] = match ?? [];
  switch (scheme) {
    case 'docker':
    case 'docker-image':
      // `docker:24` is an image named docker.
      return text.includes('://') ? registryAddress(rest) : registryAddress(text);
    case 'store':
      return text.includes('://') ? { kind: 'store', name: rest } : registryAddress(text);
    case 'docker-daemon':
      return engineAddress(rest, text);
    case 'oci':
    case 'oci-layout':
    case 'oci-archive':
    case 'docker-archive':
      return fileAddress(fileTransports[scheme], rest, text);
    default:
      return registryAddress(text);
  }
}

/**
 * Work with places that people wrote. By the rules of names `oic:images` is an image of Docker Hub: when it fails, the hint
 * asks whether a transport was meant.
 */
export async function withTransportHint<T>(words: readonly string[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const meant = words.map(mistypedTransport).find((word) => word !== undefined);
    if (meant === undefined || !isTsbuildError(error) || !/^(registry|image|reference)-/.test(error.code)) throw error;
    const { code, message, hint = '' } = error;
    throw new TsbuildError({ code, message, hint: `Did you mean ${meant}? ${hint}`.trim(), cause: error });
  }
}

function mistypedTransport(word: string): string | undefined {
  const [, scheme = '', rest = ''] = /^([a-z][a-z-]*):(.+)$/s.exec(word) ?? [];
  if (urlTransports.includes(scheme)) return undefined;
  const meant = nearest(scheme, rest.startsWith('//') ? urlTransports : transports);
  return meant === undefined ? undefined : `${meant}:${rest}`;
}

function registryAddress(text: string): ImageAddress {
  return { kind: 'registry', reference: parseReference(text) };
}

/** A name by Docker's rules, or an image ID. */
function engineAddress(rest: string, text: string): ImageAddress {
  if (/^(sha256:)?[0-9a-f]{12,64}$/.test(rest)) return { kind: 'engine', name: rest };
  if (rest !== '') return { kind: 'engine', name: familiarReference(parseReference(rest)) };
  throw new TsbuildError({
    code: 'reference-invalid',
    message: `${JSON.stringify(text)} does not say which image`,
    hint: 'Write docker-daemon:NAME[:TAG].',
  });
}

/** `PATH[:NAME][@DIGEST]`. As for skopeo and buildx a path has no colon: a name may be whole, `oci:DIR:host/app:1`. */
function fileAddress(kind: 'oci-layout' | 'oci-archive' | 'docker-archive', rest: string, text: string): ImageAddress {
  const at = rest.lastIndexOf('@');
  const digest = at < 0 ? undefined : rest.slice(at + 1);
  const named = at < 0 ? rest : rest.slice(0, at);
  const colon = named.indexOf(':');
  const hasName = colon >= 0;
  const path = hasName ? named.slice(0, colon) : named;
  if (path === '' || (digest !== undefined && !isDigest(digest))) {
    throw new TsbuildError({
      code: 'reference-invalid',
      message: `${JSON.stringify(text)} is not TRANSPORT:PATH[:NAME]`,
      hint: 'Write e.g. oci-layout://images/base:1 or docker-archive:app.tar.',
    });
  }
  return { kind, path, name: digest ?? (hasName ? named.slice(colon + 1) : undefined) };
}
