export type { LocalStore } from './store/local-store.ts';
export { openStore, type StoreOptions } from './store/open-store.ts';
export * from './types.ts';
