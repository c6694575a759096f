/** Passes on what a registry says in `Warning` headers (distribution spec, "Warnings"): code 299, once per text. */
import type { Layer } from './message.ts';

const maxTexts = 100;

export function reportWarnings(report: (host: string, text: string) => void): Layer {
  const seen = new Set<string>();
  return (next) => async (request) => {
    const response = await next(request);
    const header = response.headers.get('warning');
    if (header === undefined || request.url.host !== request.registryHost) return response;
    for (const match of header.matchAll(/299 - "((?:[^"\\]|\\.){1,500})"/g)) {
      const text = (match[1] ?? '').replace(/\\(.)/g, '$1').replace(/[\x00-\x1f\x7f-\x9f]+/g, ' ');
      const key = `${request.registryHost} ${text}`;
      if (seen.has(key) || seen.size >= maxTexts) continue;
      seen.add(key);
      report(request.registryHost, text);
    }
    return response;
  };
}
