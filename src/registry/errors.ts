/**
 * The failures of a registry conversation. Each names the method and the redacted URL, and carries what the layers above
 * must decide on (may it be tried again, which status, which code the registry gave) as data, never as message text.
 */
import { isTsbuildError, redactUrl, TsbuildError, type TsbuildErrorInit } from '../core/index.ts';

export interface RegistryErrorInit extends TsbuildErrorInit {
  /** True when the same request may succeed if it is sent again. */
  readonly transient?: boolean;
  /** HTTP status, when there was an answer. */
  readonly status?: number;
  /** The registry's own code (distribution spec, "Error Codes"), e.g. `NAME_UNKNOWN`. */
  readonly registryCode?: string;
  /** Milliseconds the registry asked to wait. */
  readonly retryAfter?: number;
}

export class RegistryError extends TsbuildError {
  readonly transient: boolean;
  readonly status: number | undefined;
  readonly registryCode: string | undefined;
  readonly retryAfter: number | undefined;

  constructor(init: RegistryErrorInit) {
    super(init);
    this.transient = init.transient ?? false;
    this.status = init.status;
    this.registryCode = init.registryCode;
    this.retryAfter = init.retryAfter;
  }

  /** The same failure, told by whoever knows more of what was wanted. */
  retold(words: { readonly message?: string; readonly hint: string }): RegistryError {
    const { code, message, transient, status, registryCode, retryAfter } = this;
    return new RegistryError({
      code,
      message,
      transient,
      ...(status !== undefined && { status }),
      ...(registryCode !== undefined && { registryCode }),
      ...(retryAfter !== undefined && { retryAfter }),
      ...words,
      cause: this,
    });
  }
}

export function isRegistryError(error: unknown): error is RegistryError {
  return error instanceof RegistryError;
}

/** True for failures after which another attempt makes sense. */
export function isTransient(error: unknown): boolean {
  return isRegistryError(error) && error.transient;
}

/** True when the registry answered that there is no such thing. */
export function isNotFound(error: unknown): boolean {
  return isTsbuildError(error) && error.code === 'registry-not-found';
}

/** `GET https://ghcr.io/v2/…`, redacted: how every message begins. */
export function describeRequest(method: string, url: URL | string): string {
  return `${method} ${redactUrl(url)}`;
}

/** An answer that breaks the protocol. */
export function protocolError(method: string, url: URL, what: string, cause?: unknown): RegistryError {
  return new RegistryError({
    code: 'registry-protocol',
    message: `${describeRequest(method, url)}: ${what}`,
    hint: 'Check that the address is a registry and that nothing between rewrites its answers.',
    ...(cause !== undefined && { cause }),
  });
}
