export * from './build.ts';
export { type PublishOptions, publishImage } from './export/index.ts';
export { hostPlatform } from './host-platform.ts';
export * from './types.ts';
