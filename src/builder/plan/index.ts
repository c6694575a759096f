export * from './describe-plan.ts';
export { scriptFolder } from './dispatch-run.ts';
export * from './failure.ts';
export * from './image-stages.ts';
export * from './outline.ts';
export * from './plan.ts';
export * from './survey.ts';
export * from './types.ts';
export { defaultPath, globalArguments, proxyArguments, variableName } from './variables.ts';
