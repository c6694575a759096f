export * from './attest-images.ts';
