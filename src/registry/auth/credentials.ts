/** What a user may have for a registry. Secrets live here and in request headers, nowhere else. */
export type Credentials =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** An OAuth2 refresh token (`identitytoken`). */
  | { readonly kind: 'identity-token'; readonly token: string }
  /** A ready Bearer token (`registrytoken`). */
  | { readonly kind: 'registry-token'; readonly token: string };

export interface CredentialSource {
  /**
   * @param host the registry as references name it: `docker.io`, `localhost:5000`
   * @param repository for files with keys below a host (`quay.io/team`)
   * @throws TsbuildError `registry-credentials` when a file or helper cannot be read
   */
  find(host: string, repository: string | undefined, signal: AbortSignal): Promise<Credentials | undefined>;
}

export const noCredentials: CredentialSource = { find: async () => undefined };

export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}
