/**
 * What the helper's error records mean to a user.
 * Invariant: every stage ends in one stable code; the text says what, where, and the kernel's reason.
 */
import { getSystemErrorMap } from 'node:util';
import { type ErrorCode, TsbuildError } from '../core/index.ts';
import { errorName, type HelperRecord } from './records.ts';
import type { StepSpec } from './types.ts';

type ErrorRecord = Extract<HelperRecord, { kind: 'error' }>;

interface Meaning {
  readonly code: ErrorCode;
  readonly what: (record: ErrorRecord) => string;
  readonly hint?: (record: ErrorRecord) => string | undefined;
  /** ESRCH says that a name was not found. */
  readonly lookup?: true;
}

const meanings: Readonly<Record<string, Meaning>> = {
  spec: { code: 'sandbox-step-invalid', what: ({ detail }) => `the step cannot be handed to the sandbox (${detail})` },
  user: {
    code: 'sandbox-user-invalid',
    lookup: true,
    what: ({ detail, error }) =>
      errorName(error) === 'ESRCH' ? `the image has no user ${detail}` : `the user ${detail} cannot be used`,
    hint: ({ error }) =>
      errorName(error) === 'ESRCH'
        ? 'Create the user in an earlier RUN, or give a numeric ID.'
        : errorName(error) === 'EINVAL'
          ? 'Give this user subordinate IDs in /etc/subuid and /etc/subgid: the ID is not mapped in this user namespace.'
          : undefined,
  },
  group: {
    code: 'sandbox-user-invalid',
    lookup: true,
    what: ({ detail }) => `the image has no group ${detail}`,
    hint: () => 'Create the group in an earlier RUN, or give a numeric ID.',
  },
  cwd: { code: 'sandbox-cwd-invalid', what: ({ detail }) => `the working directory ${detail} cannot be entered` },
  overlay: {
    code: 'sandbox-setup-failed',
    what: () => 'the root file system (overlayfs) cannot be mounted',
    hint: () =>
      'Keep the store on a file system that overlayfs can write to (ext4, xfs, btrfs, tmpfs), see TSBUILD_HOME.',
  },
  namespaces: {
    code: 'sandbox-setup-failed',
    what: () => 'the namespaces of the step cannot be made',
    hint: () => 'Run `tsbuild doctor` to see what this machine allows.',
  },
  'mount-source': {
    code: 'sandbox-mount-failed',
    what: ({ detail }) => `the source of a mount, ${detail}, cannot be used`,
  },
  'mount-point': { code: 'sandbox-mount-failed', what: ({ detail }) => `the mount point ${detail} cannot be made` },
  'mount-owner': {
    code: 'sandbox-mount-failed',
    what: ({ detail }) => `the owner of ${detail} cannot be set`,
    hint: () => 'Use IDs that are mapped in this user namespace.',
  },
  'mount-rung': {
    code: 'sandbox-mount-failed',
    what: ({ detail }) => `${detail} cannot be mounted on the rung chroot`,
    hint: () => 'Run `tsbuild doctor` to see what would enable a rung that mounts.',
  },
  mount: { code: 'sandbox-mount-failed', what: ({ detail }) => `${detail} cannot be mounted` },
  ulimit: {
    code: 'sandbox-limit-failed',
    what: () => 'a resource limit cannot be set',
    hint: () => 'Lower the hard limit.',
  },
  cgroup: { code: 'sandbox-limit-failed', what: ({ detail }) => `the step cannot join the control group ${detail}` },
};

export function failureOf(record: ErrorRecord): TsbuildError {
  const meaning = meanings[record.stage];
  const reason = `${errorName(record.error)}${describe(record.error)}`;
  const what = meaning ? meaning.what(record) : `the sandbox could not be set up (${record.stage}, ${record.detail})`;
  const hint = meaning?.hint?.(record);
  return new TsbuildError({
    code: meaning?.code ?? 'sandbox-setup-failed',
    // A name that is not in the image is no error of the kernel.
    message: meaning?.lookup && errorName(record.error) === 'ESRCH' ? what : `${what}: ${reason}`,
    ...(hint !== undefined && { hint }),
  });
}

/** What to print for a program that could not be started; the step then ends with 126 or 127. */
export function execMessage(record: Extract<HelperRecord, { kind: 'exec' }>, step: StepSpec): string {
  const name = JSON.stringify(record.program);
  switch (errorName(record.error)) {
    case 'ENOENT':
      return record.program.includes('/')
        ? `exec: ${name}: not found, or its interpreter is not\n`
        : `exec: ${name}: not found in PATH\n`;
    case 'ENOEXEC':
      return `exec: ${name}: not a program this machine runs: another architecture, or a script without #!\n`;
    default:
      return `exec: ${name}${describe(record.error)} (user ${step.user === '' ? 'root' : step.user})\n`;
  }
}

function describe(error: number): string {
  const entry = getSystemErrorMap().get(-error);
  return entry ? `: ${entry[1]}` : '';
}

export function helperMissing(program: string, cause: Error): TsbuildError {
  return new TsbuildError({
    code: 'sandbox-helper-missing',
    message: `the sandbox helper ${program} cannot be started`,
    hint: 'reinstall tsbuild, or run `npm run build` in its source tree',
    cause,
  });
}
