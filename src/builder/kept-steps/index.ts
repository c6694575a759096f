export * from './inline-steps.ts';
export * from './kept-steps.ts';
