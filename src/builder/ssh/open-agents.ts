/** What `--ssh` names, as sockets: the user's agent as it is, key files behind an agent of our own. */
import { statSync } from 'node:fs';
import { TsbuildError } from '../../core/index.ts';
import { type SshAgent, startAgent } from './agent.ts';
import { readKeyFile } from './key-file.ts';

export interface OpenedAgents extends AsyncDisposable {
  /** Path of the socket by ID. */
  readonly sockets: ReadonlyMap<string, string>;
}

/**
 * Reads every key at once, so that one that cannot be used is known before anything runs.
 * @throws TsbuildError `ssh-key-unusable`
 */
export async function openAgents(named: ReadonlyMap<string, readonly string[]>): Promise<OpenedAgents> {
  const sockets = new Map<string, string>();
  const started: SshAgent[] = [];
  const dispose = async () => {
    for (const agent of started) await agent[Symbol.asyncDispose]();
  };
  try {
    for (const [id, paths] of named) {
      const [first, ...more] = paths;
      if (first !== undefined && paths.some(isSocket)) {
        if (more.length > 0) throw mixed(id);
        sockets.set(id, first);
        continue;
      }
      const agent = await startAgent(paths.map(readKeyFile));
      started.push(agent);
      sockets.set(id, agent.path);
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  return { sockets, [Symbol.asyncDispose]: dispose };
}

function isSocket(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() === true;
}

function mixed(id: string): TsbuildError {
  return new TsbuildError({
    code: 'ssh-key-unusable',
    message: `--ssh ${id} names the socket of an agent and something else`,
    hint: 'Give them different IDs, or add the keys to the agent with ssh-add.',
  });
}
