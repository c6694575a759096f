/**
 * Requests and responses as the layers of the transport see them. A layer is a function that takes the next sender and
 * gives a sender, so authentication, retry, redirects and limits stack without knowing each other.
 * Invariant: whoever receives a response reads its body to the end, or discards it.
 */
export type HttpMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export type RequestBody =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** Exactly `length` bytes. `open` is called once per attempt. */
  | { readonly kind: 'stream'; readonly length: number; readonly open: () => Promise<AsyncIterable<Uint8Array>> };

export interface HttpRequest {
  readonly method: HttpMethod;
  readonly url: URL;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  readonly signal: AbortSignal;
  /**
   * Host (with port) of the registry this is about. Addresses elsewhere are held to stricter rules: no link-local or
   * metadata address, no credentials.
   */
  readonly registryHost: string;
  /** What the request needs, as the token protocol writes it: `repository:library/alpine:pull`. */
  readonly scopes?: readonly string[];
  /** False: a failure goes to the caller, who has a better way to try again. Default: true. */
  readonly retry?: boolean;
  /** True for a question any registry answers at once: one that does not is given up sooner. */
  readonly greeting?: boolean;
  /** True when the answer is a blob that someone reads at their own pace. */
  readonly download?: boolean;
  /** Bytes: the answer is small and read whole, so that one that breaks off midway is asked for again. */
  readonly readWhole?: number;
  /** Called when the request is on its way: work that fits into the wait for the answer. */
  readonly meanwhile?: () => void;
}

export interface HttpResponse {
  readonly status: number;
  /** Names in lower case; repeated headers joined by ", ". */
  readonly headers: ReadonlyMap<string, string>;
  /** Where the answer came from, after redirects. */
  readonly url: URL;
  readonly body: ResponseBody;
}

/** One pass over the bytes; `discard` ends it early and is safe to call at any time. */
export interface ResponseBody extends AsyncIterable<Uint8Array> {
  discard(): void;
}

export type Send = (request: HttpRequest) => Promise<HttpResponse>;
export type Layer = (next: Send) => Send;

/** Puts layers on a sender; the first one listed is the outermost. */
export function stack(transport: Send, ...layers: readonly Layer[]): Send {
  return layers.reduceRight((next, layer) => layer(next), transport);
}
