export * from './build-context.ts';
export * from './directory-tree.ts';
export * from './glob.ts';
export * from './go-match.ts';
export * from './ignore.ts';
export * from './open-context.ts';
export * from './pattern-set.ts';
export * from './tree-path.ts';
