/**
 * Every failure a user can meet has one stable code. Each has an entry in docs/errors.md (a test holds this).
 * Codes are grouped by the room that throws them; a code is never reused for another meaning.
 */
export type ErrorCode =
  // core
  | 'internal'
  | 'cancelled'
  // image
  | 'digest-invalid'
  | 'reference-invalid'
  | 'platform-invalid'
  | 'manifest-invalid'
  | 'manifest-unsupported'
  | 'config-invalid'
  | 'platform-not-found';
