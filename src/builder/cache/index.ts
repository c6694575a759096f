export * from './step-cache.ts';
export * from './step-key.ts';
