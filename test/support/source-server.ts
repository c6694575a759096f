/**
 * What contexts and ADD fetch from, as people have it: a web server with files, and a git repository on it.
 * Invariant: files and commits have fixed times, so that what is built from them is the same on every machine.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { serve, type WebServer } from './context-server.ts';
import type { TemporaryFolder } from './temporary-folder.ts';

/** Last-Modified of every file. */
export const modified = new Date('2010-02-03T04:05:06Z');
/** Of every commit. */
export const committed = new Date('2001-02-03T04:05:06Z');

/** Serves the files of a folder; none of a path that begins with `/untimed/` says when it was modified. */
export function serveFolder(root: string): Promise<WebServer> {
  return serve((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://host');
    const path = join(root, normalize(`/${decodeURIComponent(pathname.replace(/^\/untimed\//, '/'))}`));
    if (!existsSync(path) || !lstatSync(path).isFile()) {
      response.writeHead(404).end();
      return;
    }
    if (!pathname.startsWith('/untimed/')) response.setHeader('last-modified', modified.toUTCString());
    response.end(readFileSync(path));
  });
}

export interface ServedRepository {
  /** Of the branch `main`. */
  readonly commit: string;
}

/**
 * A bare repository `name` below `root`, ready for git's plain http protocol: the files on the branch `main` and under
 * the tag `v1`, and one file `later` more on the branch `next`.
 */
export function makeRepository(
  folder: TemporaryFolder,
  root: string,
  name: string,
  files: Readonly<Record<string, string>>,
): ServedRepository {
  const work = folder.join(`work-${name}`);
  const git = (cwd: string, ...args: string[]): string =>
    execFileSync('git', args, { cwd, env: gitEnvironment, encoding: 'utf8' }).trim();
  writeFiles(work, files);
  git(work, 'init', '-q', '-b', 'main');
  git(work, 'add', '.');
  git(work, 'commit', '-qm', 'one');
  git(work, 'tag', 'v1');
  const commit = git(work, 'rev-parse', 'HEAD');
  git(work, 'checkout', '-q', '-b', 'next');
  writeFiles(work, { later: 'later\n' });
  git(work, 'add', '.');
  git(work, 'commit', '-qm', 'two');
  git(work, 'checkout', '-q', 'main');
  git(work, 'clone', '-q', '--bare', work, join(root, name));
  git(join(root, name), 'update-server-info');
  return { commit };
}

/** Writes files of mode 0644. */
export function writeFiles(root: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    const path = join(root, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    chmodSync(path, 0o644);
  }
}

const gitEnvironment = {
  PATH: '/usr/bin:/bin',
  HOME: '/nonexistent',
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@b',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@b',
  GIT_AUTHOR_DATE: committed.toISOString(),
  GIT_COMMITTER_DATE: committed.toISOString(),
};
