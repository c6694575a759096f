export * from './kept-cache-mounts.ts';
