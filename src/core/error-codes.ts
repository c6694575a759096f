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
  | 'platform-not-found'
  // builder: plan, solve
  | 'plan-stage-not-found'
  | 'plan-stage-cycle'
  | 'plan-stage-order'
  | 'plan-target-not-found'
  | 'plan-base-empty'
  | 'plan-trigger-invalid'
  | 'plan-value-invalid'
  | 'plan-empty'
  | 'build-not-allowed'
  | 'build-secret-missing'
  | 'build-run-failed'
  | 'build-dockerfile-missing'
  | 'build-platform-unsupported'
  // cli
  | 'usage'
  | 'command-unknown'
  | 'flag-unknown'
  | 'flag-invalid'
  | 'context-unusable'
  | 'image-unknown'
  | 'engine-unreachable'
  | 'engine-refused'
  | 'interrupted';
