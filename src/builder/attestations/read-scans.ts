/** What a scanner wrote: in-toto statements that are bills of materials in SPDX, one a file. The scanner is not trusted. */
import { type BytePath, bytePathFromText, bytePathToText, isTsbuildError, TsbuildError } from '../../core/index.ts';
import type { Tree } from '../../layers/index.ts';
import { isSubject, type Subject } from './statements.ts';

export const spdxPredicate = 'https://spdx.dev/Document';

/** Bytes of one file; BuildKit's limit. */
const largestScan = 40 * 1024 * 1024;
/** Bytes of all. */
const largestScans = 256 * 1024 * 1024;

export interface Scan {
  readonly fileName: string;
  readonly subjects: readonly Subject[];
  readonly document: Readonly<Record<string, unknown>>;
}

/** That of the result first. @throws TsbuildError `attestation-failed` */
export async function readScans(written: Tree, folder: string, generator: string): Promise<readonly Scan[]> {
  const refuse = (what: string, cause?: unknown): never => {
    throw new TsbuildError({
      code: 'attestation-failed',
      message: `${generator} ${what}`,
      hint: 'A scanner writes statements of SPDX documents into $BUILDKIT_SCAN_DESTINATION; name one with --sbom generator=IMAGE.',
      cause,
    });
  };
  const scans: Scan[] = [];
  const found = written.list(bytePathFromText(folder.slice(1)));
  if (found.reduce((sum, { size }) => sum + size, 0) > largestScans) refuse('wrote more than is read');
  for (const { path, kind } of found) {
    const fileName = bytePathToText(path.slice(path.lastIndexOf('/') + 1));
    if (kind !== 'file') refuse(`wrote ${fileName}, which is no regular file`);
    const bytes = await readBounded(written, path, (cause) => refuse(`wrote ${fileName}, which is too large`, cause));
    scans.push(scanOf(fileName, bytes, refuse));
  }
  if (scans.length === 0) refuse('wrote no bill of materials');
  return scans.sort((a, b) => Number(isOfResult(b)) - Number(isOfResult(a)));
}

/** Its name is that of the mount that was scanned. */
export function isOfResult({ fileName }: Scan): boolean {
  return fileName.split('.')[0] === 'sbom';
}

async function readBounded(tree: Tree, path: BytePath, refuse: (cause: unknown) => never): Promise<Buffer> {
  try {
    return (await tree.readFile(path, largestScan)) ?? Buffer.alloc(0);
  } catch (error) {
    if (!isTsbuildError(error) || error.code !== 'file-too-large') throw error;
    return refuse(error);
  }
}

function scanOf(fileName: string, bytes: Buffer, refuse: (what: string, cause?: unknown) => never): Scan {
  let statement: unknown;
  try {
    statement = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    return refuse(`wrote ${fileName}, which is not JSON`, cause);
  }
  const { predicateType, predicate, subject = [] } = (statement ?? {}) as Readonly<Record<string, unknown>>;
  if (predicateType !== spdxPredicate) {
    return refuse(`wrote ${fileName}, which is no statement of the type ${spdxPredicate}`);
  }
  if (!isObject(predicate)) return refuse(`wrote ${fileName}, a statement without a predicate`);
  if (!Array.isArray(subject) || !subject.every(isSubject)) return refuse(`wrote ${fileName}, whose subjects are none`);
  return { fileName, subjects: subject, document: predicate };
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
