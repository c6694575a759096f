/** Where the store of this user lies: `$TSBUILD_HOME`, else `/var/lib/tsbuild` for root, else `$XDG_DATA_HOME/tsbuild`. */
import { join } from 'node:path';

export function storeRoot(env: Readonly<Record<string, string | undefined>>, user: number, home: string): string {
  if (env.TSBUILD_HOME !== undefined && env.TSBUILD_HOME !== '') return env.TSBUILD_HOME;
  if (user === 0) return '/var/lib/tsbuild';
  const data = env.XDG_DATA_HOME;
  return join(data?.startsWith('/') ? data : join(home, '.local/share'), 'tsbuild');
}
