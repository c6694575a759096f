export { createSandbox, type SandboxOptions } from './create-sandbox.ts';
export { type ProgramSupport, programSupport } from './foreign-programs.ts';
export { type MachineFinding, machineFindings } from './machine.ts';
export { mountPoints } from './mount-points.ts';
export { type ProbeMemory, type ProbeOptions, probeRung, probeRungs } from './probe.ts';
export * from './types.ts';
export {
  type ReexecOptions,
  reexecInUserNamespace,
  userNamespaceMarker,
  wantsUserNamespace,
} from './user-namespace.ts';
