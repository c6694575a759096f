/** Turns what undici, Node's TLS and the resolver throw into the errors of this room. */
import { isTsbuildError, systemErrorCode } from '../../core/index.ts';
import { describeRequest, RegistryError } from '../errors.ts';
import { forbiddenAddressCode, forbiddenError } from './address-policy.ts';
import type { HttpRequest } from './message.ts';
import { isLoopback } from './proxy.ts';

const timeoutCodes = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
]);
const resetCodes = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'UND_ERR_INFO', 'ECONNABORTED', 'EAI_AGAIN']);
const brokenCodes = /^(HPE_|UND_ERR_(RES|REQ|HEADERS_OVERFLOW|RESPONSE|INVALID))/;
const certificateCodes =
  /^(ERR_TLS_|CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|INVALID_CA|PATH_LENGTH|ERR_OSSL)/;

/** TsbuildErrors (cancelled, a failing source) pass through unchanged. */
export function transportFailure(error: unknown, request: HttpRequest): unknown {
  if (isTsbuildError(error)) return error;
  const code = causeCode(error);
  const { url } = request;
  const what = describeRequest(request.method, url);
  const detail = error instanceof Error && error.message !== '' ? error.message : String(code ?? error);
  if (code === forbiddenAddressCode) return forbiddenError(request, url.hostname);
  if (timeoutCodes.has(code ?? '')) {
    return new RegistryError({
      code: 'registry-timeout',
      message: `${what}: ${timeoutText(code)}`,
      hint: `Check that ${url.host} can be reached from here, or try again later.`,
      transient: true,
      cause: error,
    });
  }
  if (isCertificateCode(code)) {
    return new RegistryError({
      code: 'registry-tls',
      message: `${what}: ${detail}`,
      hint: `Give the certificate authority of ${url.host} as "ca" in the registries configuration, or put it into certs.d.`,
      cause: error,
    });
  }
  if (isNotTls(error)) {
    return new RegistryError({
      code: 'registry-tls',
      message: `${what}: the server does not speak TLS on this port`,
      hint: isLoopback(url.hostname)
        ? 'Check the port.'
        : `Declare ${url.host} insecure in the registries configuration if it is meant to speak plain http.`,
      cause: error,
    });
  }
  if (brokenCodes.test(code ?? '')) {
    return new RegistryError({
      code: 'registry-protocol',
      message: `${what}: the answer is not valid HTTP (${detail})`,
      hint: 'Check that the address is a registry.',
      // A truncated answer shows as a parser error too.
      transient: code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH' || (code ?? '').startsWith('HPE_INVALID_EOF'),
      cause: error,
    });
  }
  return new RegistryError({
    code: 'registry-unreachable',
    message: `${what}: ${detail}`,
    hint: unreachableHint(url, code),
    transient: resetCodes.has(code ?? ''),
    cause: error,
  });
}

/** With TLS 1.3 a server that wants a client certificate closes after the handshake, which looks like any other reset. */
function unreachableHint(url: URL, code: string | undefined): string {
  const certificate = url.protocol === 'https:' && resetCodes.has(code ?? '');
  const wanted = certificate ? ', whether it wants a client certificate (in certs.d)' : '';
  return `Check the name and that ${url.host} can be reached from here${wanted}; a proxy is set with HTTPS_PROXY.`;
}

/** True when a TLS handshake failed because the other side answered in plain text. */
export function isNotTls(error: unknown): boolean {
  const code = causeCode(error);
  return code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG' || code === 'EPROTO';
}

function isCertificateCode(code: string | undefined): boolean {
  return certificateCodes.test(code ?? '') || /^ERR_SSL_(?!WRONG_VERSION_NUMBER|PACKET_LENGTH)/.test(code ?? '');
}

/** The most telling code in a chain of causes; undici wraps the socket's own error. */
function causeCode(error: unknown): string | undefined {
  let code: string | undefined;
  let current: unknown = error;
  for (let depth = 0; depth < 5 && current instanceof Error; depth += 1) {
    code = systemErrorCode(current) ?? code;
    if (current instanceof AggregateError) current = current.errors[0];
    else current = current.cause;
  }
  return code;
}

function timeoutText(code: string | undefined): string {
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return 'no answer in time';
  if (code === 'UND_ERR_BODY_TIMEOUT') return 'the answer stopped midway';
  return 'the connection could not be made in time';
}
