/** The table of jobs: what a worker can be asked, by name. Only the worker's bundle loads the code behind it. */

import { copyMerged } from '../apply/copy-merged.ts';
import { compressFile } from '../compress/compress-job.ts';
import { diffRoot, recordRoot } from '../diff/diff-root.ts';
import { diffUpper } from '../diff/diff-upper.ts';
import { applyLayer, applyPlain, decompress, indexLayer } from './blob-jobs.ts';
import { hashContents } from './hash-contents.ts';
import { writeLayer } from './write-layer.ts';

export const jobs = {
  applyLayer,
  applyPlain,
  compressFile,
  copyMerged,
  decompress,
  diffRoot,
  diffUpper,
  hashContents,
  indexLayer,
  recordRoot,
  writeLayer,
} as const;

export type JobName = keyof typeof jobs;
export type JobInput<N extends JobName> = Parameters<(typeof jobs)[N]>[0];
export type JobOutput<N extends JobName> = Awaited<ReturnType<(typeof jobs)[N]>>;
