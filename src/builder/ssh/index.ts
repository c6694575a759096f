export * from './open-agents.ts';
