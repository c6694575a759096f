export * from './assemble.ts';
export * from './deliver.ts';
export * from './publish.ts';
