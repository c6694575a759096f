export * from './layout.ts';
export * from './mode.ts';
export * from './operation.ts';
export * from './owner.ts';
export * from './remote.ts';
export * from './select.ts';
export * from './selection.ts';
export * from './unpack.ts';
