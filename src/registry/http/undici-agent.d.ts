/** undici has types for its whole only; this is the part that talks to servers directly. */
declare module 'undici/lib/dispatcher/agent.js' {
  import type { Agent } from 'undici';

  const agent: typeof Agent;
  export = agent;
}
