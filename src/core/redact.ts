/** Takes credentials out of what people may see. Every URL in an error or a log passes through here. */

const secretParameter = /(token|key|secret|password|signature|credential|auth|sig)/i;

/** A URL without user info, and with the values of query parameters that look secret replaced. */
export function redactUrl(url: string | URL): string {
  let parsed: URL;
  try {
    parsed = new URL(url);
  } catch {
    // Not a URL WHATWG accepts (scp-like git addresses): cut whatever stands as user info with a password.
    return String(url).replace(/\/\/[^/@\s]+@/, '//***@');
  }
  if (parsed.username !== '' || parsed.password !== '') {
    parsed.username = '***';
    parsed.password = '';
  }
  for (const name of new Set(parsed.searchParams.keys())) {
    if (secretParameter.test(name)) parsed.searchParams.set(name, '***');
  }
  return parsed.href;
}

/** A text in which URLs may stand, with the user info of each replaced. */
export function redactText(text: string): string {
  if (!text.includes('@')) return text;
  return text.replace(/\b([a-z][a-z0-9+.-]*:\/\/)[^/@\s]+@/gi, '$1***@');
}
