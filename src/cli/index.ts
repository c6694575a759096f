/** The public face of the command line, for the GitHub Action: the same arguments, the same build, the same failures. */
export { type BuildInvocation, type BuildSurroundings, parseBuildArguments } from './args/build-request.ts';
export { buildMetadata, imageIdOf, platformsOf } from './build-results.ts';
export { compileWasmOnce } from './engine-flags.ts';
export { enterUserNamespace } from './enter-user-namespace.ts';
export { LineSplitter } from './progress/renderer.ts';
export { renderError } from './render-error.ts';
export { type BuildOutcome, buildWith, surroundingsOf } from './run-build.ts';
export { processSession, type Session } from './session.ts';
export { formatBytes, formatDuration, printable } from './style.ts';
