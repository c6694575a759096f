/** Writes a result to a file beside its final name and renames it, so that a file of that name is a whole one; `-` is stdout. */
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { finished } from 'node:stream/promises';
import { systemErrorCode, TsbuildError } from '../core/index.ts';
import type { Session } from './session.ts';

/** @throws TsbuildError `export-failed` */
export async function writeOutput(
  path: string,
  session: Session,
  write: (out: NodeJS.WritableStream) => Promise<void>,
): Promise<void> {
  if (path === '-') return await write(session.stdoutStream);
  const draft = `${path}.tsbuild-${session.now().toString(36)}`;
  try {
    const out = createWriteStream(draft, { flags: 'wx' });
    const closed = finished(out);
    await Promise.all([
      closed,
      write(out).then(
        () => void out.end(),
        (error: unknown) => {
          out.destroy();
          throw error;
        },
      ),
    ]);
    await rename(draft, path);
  } catch (cause) {
    await rm(draft, { force: true });
    const code = systemErrorCode(cause);
    if (code === undefined || cause instanceof TsbuildError) throw cause;
    throw new TsbuildError({
      code: 'export-failed',
      message: `cannot write ${path}: ${cause instanceof Error ? cause.message : code}`,
      hint: code === 'ENOSPC' ? 'Free some space, or write elsewhere.' : 'Choose a file you may write to.',
      cause,
    });
  }
}
