/** What a host may need beyond the system's certificate authorities. */
export interface TlsSettings {
  /** PEM certificates trusted in addition to the system's. */
  readonly ca?: readonly string[];
  /** PEM client certificate (with chain) and key. */
  readonly cert?: string;
  readonly key?: string;
  /** Accept any certificate: only for registries the user declared insecure. */
  readonly skipVerify?: boolean;
}
