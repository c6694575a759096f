/**
 * Compares what containers made from two images would run as, and the history, member by member.
 * Invariant: only spellings of the same meaning are made equal (absent, null and empty; `/` and no working directory).
 */
import type { ConfigDocument } from './image-files.ts';

export const comparedMembers = [
  'Env',
  'Cmd',
  'Entrypoint',
  'WorkingDir',
  'User',
  'Labels',
  'ExposedPorts',
  'Volumes',
  'StopSignal',
  'Healthcheck',
  'Shell',
  'OnBuild',
] as const;

/** What BuildKit puts into an image that has no PATH; buildah puts none. */
const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** @param ignore members whose difference the case explains */
export function configDifferences(
  ours: ConfigDocument,
  theirs: ConfigDocument,
  theirName: 'docker' | 'buildah',
  ignore: readonly string[] = [],
): string[] {
  const lines = comparedMembers
    .filter((member) => !ignore.includes(member))
    .flatMap((member) => {
      const [mine, other] = [normal(ours, member, theirName), normal(theirs, member, theirName)];
      return mine === other ? [] : [`config.${member} is ${mine}, ${theirName} has ${other}`];
    });
  for (const member of ['os', 'architecture'] as const) {
    if (ours[member] !== theirs[member]) lines.push(`${member} is ${ours[member]}, ${theirName} has ${theirs[member]}`);
  }
  if (theirName === 'docker' && (ours.author ?? '') !== (theirs.author ?? '') && !ignore.includes('author')) {
    lines.push(`author is ${ours.author}, docker has ${theirs.author}`);
  }
  return lines;
}

function normal(document: ConfigDocument, member: string, theirName: string): string {
  const value = document.config?.[member];
  if (member === 'WorkingDir') return JSON.stringify(value || '/');
  if (member === 'Env' && theirName === 'buildah') {
    return JSON.stringify(((value ?? []) as string[]).filter((line) => line !== defaultPath));
  }
  if (value === undefined || value === null) return 'absent';
  if (Array.isArray(value)) return value.length === 0 ? 'absent' : JSON.stringify(value);
  if (typeof value === 'object') {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return entries.length === 0 ? 'absent' : JSON.stringify(Object.fromEntries(entries));
  }
  return value === '' ? 'absent' : JSON.stringify(value);
}

/**
 * History line by line: what made it, and whether it has a layer. Times and comments are the builder's own. Docker 20.10
 * wrote a few lines otherwise than BuildKit does now; those are compared as far as both say the same.
 */
export function historyDifferences(ours: ConfigDocument, theirs: ConfigDocument, theirName: string): string[] {
  const lines = (document: ConfigDocument) =>
    (document.history ?? []).map((entry) => `${entry.empty_layer ? '(empty) ' : ''}${entry.created_by ?? ''}`);
  const [mine, other] = [lines(ours), lines(theirs)];
  const differences: string[] = [];
  for (let index = 0; index < Math.max(mine.length, other.length); index += 1) {
    if (withoutNewerParts(mine[index]) === withoutNewerParts(other[index])) continue;
    differences.push(`history[${index}] is ${mine[index] ?? 'absent'}, ${theirName} has ${other[index] ?? 'absent'}`);
  }
  return differences;
}

/** Takes away what newer BuildKits added: values of ARG, flags of COPY and ADD, another print of ports and health checks. */
function withoutNewerParts(line: string | undefined): string | undefined {
  if (line === undefined) return undefined;
  if (/^\(empty\) ARG /.test(line)) return line.replace(/=.*$/, '');
  if (/^(COPY|ADD) /.test(line)) return line.replace(/ --(chown|chmod)=\S+/g, '');
  if (/^\(empty\) HEALTHCHECK /.test(line)) return '(empty) HEALTHCHECK';
  if (/^\(empty\) EXPOSE /.test(line)) return (line.match(/\d+\/\w+/g) ?? []).sort().join(' ');
  return line;
}
