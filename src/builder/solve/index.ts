export * from './solve.ts';
export * from './types.ts';
