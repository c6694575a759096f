/** Writes a result to a file, or for `-` to stdout. */
import type { Session } from './session.ts';

/** @throws TsbuildError `export-failed` */
export async function writeOutput(
  path: string,
  session: Session,
  write: (out: NodeJS.WritableStream) => Promise<void>,
): Promise<void> {
  if (path === '-') return await write(session.stdoutStream);
  const { writeOutputFile } = await import('../layers/index.ts');
  await writeOutputFile(path, write);
}
