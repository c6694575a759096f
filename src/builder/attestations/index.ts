export * from './attesting.ts';
