/**
 * What an answer other than the expected one means: the registry's own code and message (distribution spec, "Error
 * Codes") with one thing the user can do.
 */
import { describeRequest, RegistryError } from './errors.ts';
import type { HttpRequest, HttpResponse } from './http/message.ts';
import { readBody } from './http/read-body.ts';
import { isTransientStatus, retryAfter } from './http/retry.ts';
import { familiarHost } from './hub.ts';

interface RegistryComplaint {
  readonly code: string;
  readonly message: string;
}

/** Reads the answer's body and makes the error of it. @param now milliseconds since 1970, for Retry-After dates */
export async function responseError(request: HttpRequest, response: HttpResponse, now: number): Promise<RegistryError> {
  const complaint = await complaintOf(request, response);
  const { status } = response;
  const host = familiarHost(request.registryHost);
  const wait = retryAfter(response, now);
  const explained = explain(status, host, complaint?.code, wait);
  const said = complaint ? `${complaint.code}${complaint.message && `: ${complaint.message}`}` : '';
  return new RegistryError({
    ...explained,
    message: `${describeRequest(request.method, request.url)}: ${status}${said && ` ${said}`}`,
    status,
    transient: isTransientStatus(status),
    ...(complaint && { registryCode: complaint.code }),
    ...(wait !== undefined && { retryAfter: wait }),
  });
}

function explain(status: number, host: string, code: string | undefined, wait: number | undefined) {
  if (status === 401) {
    return {
      code: 'registry-unauthorized',
      hint: `Run tsbuild login ${host}, or check the name of the repository.`,
    } as const;
  }
  if (status === 403) {
    return {
      code: 'registry-denied',
      hint: `Ask for access to the repository, or run tsbuild login ${host} with an account that has it.`,
    } as const;
  }
  if (status === 404)
    return { code: 'registry-not-found', hint: 'Check the repository, the tag and the digest.' } as const;
  if (status === 429) {
    const hint = `Wait${wait === undefined ? '' : ` ${Math.ceil(wait / 1000)} s`} and try again, or run tsbuild login ${host}: accounts have higher limits.`;
    return { code: 'registry-rate-limited', hint } as const;
  }
  if (status === 405 || code === 'UNSUPPORTED') {
    return {
      code: 'registry-unsupported',
      hint: 'The registry does not offer this operation; ask whoever runs it to enable it.',
    } as const;
  }
  if (code === 'DIGEST_INVALID' || code === 'SIZE_INVALID') {
    return {
      code: 'registry-digest-mismatch',
      hint: 'Run the command again; if it fails again, something between changes the bytes.',
    } as const;
  }
  if (status === 413) {
    return { code: 'registry-refused', hint: 'Ask whoever runs the registry to allow larger requests.' } as const;
  }
  if (status >= 500 || status === 408) {
    return { code: 'registry-unavailable', hint: 'Try again later; what is already there is not sent again.' } as const;
  }
  return { code: 'registry-refused', hint: 'See what the registry says above.' } as const;
}

async function complaintOf(request: HttpRequest, response: HttpResponse): Promise<RegistryComplaint | undefined> {
  let document: unknown;
  try {
    document = JSON.parse((await readBody(request, response, 64 * 1024)).toString('utf8'));
  } catch {
    // An error page or a broken answer: the status says enough.
    response.body.discard();
    return undefined;
  }
  if (typeof document !== 'object' || document === null) return undefined;
  const { errors, error, error_description, details, message } = document as Record<string, unknown>;
  const first = Array.isArray(errors) ? errors[0] : undefined;
  const code = first?.code ?? error;
  if (typeof code !== 'string' && typeof (details ?? message) !== 'string') return undefined;
  return {
    code: printable(typeof code === 'string' ? code : 'ERROR', 60),
    message: printable(first?.message ?? error_description ?? details ?? message, 300),
  };
}

/** Hostile text for a terminal: one line, no control characters, bounded. */
function printable(text: unknown, limit: number): string {
  if (typeof text !== 'string') return '';
  return text
    .replace(/[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+/g, ' ')
    .slice(0, limit)
    .trim();
}
