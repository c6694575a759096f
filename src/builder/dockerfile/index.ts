/** The Dockerfile room: text to typed instructions, word expansion, build checks, printing. Pure. */
export * from './expand/expand.ts';
export * from './types.ts';
