export * from './build.ts';
export { type PublishOptions, publishImage } from './export/index.ts';
export * from './types.ts';
