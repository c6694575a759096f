/** Tells a listener what went over the wire: method, redacted URL, status, time. No header and no body is ever shown. */
import { redactUrl } from '../../core/index.ts';
import type { Layer } from './message.ts';

export interface HttpLogEntry {
  readonly method: string;
  /** Redacted. */
  readonly url: string;
  /** Undefined when there was no answer. */
  readonly status: number | undefined;
  /** Until the headers of the answer. */
  readonly milliseconds: number;
}

export function logRequests(log: (entry: HttpLogEntry) => void, now: () => number): Layer {
  return (next) => async (request) => {
    const started = now();
    let status: number | undefined;
    try {
      const response = await next(request);
      status = response.status;
      return response;
    } finally {
      log({ method: request.method, url: redactUrl(request.url), status, milliseconds: now() - started });
    }
  };
}
