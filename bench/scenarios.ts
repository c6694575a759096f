/** What is measured. A scenario's `scale` shrinks its counts for a quick look. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { busyboxPath } from '../test/support/base-images.ts';
import { commandPath } from '../test/support/tsbuild.ts';
import type { Builder, BuildOptions } from './builders.ts';

export interface ByHand {
  readonly name: string;
  /** Of the programs it runs, the one that may not be installed. */
  readonly needs: string;
  /** For `sh -c`. */
  readonly script: string;
}

export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** Compare with the start of an empty script, too. */
  readonly baseline?: boolean;
  /** Takes minutes and gigabytes: done once, without the other builders, and only when it is asked for by name. */
  readonly alone?: boolean;
  /** Fills an empty context. */
  prepare(context: string, scale: number): void;
  /** Before each measured run. */
  beforeRun?(context: string, run: number): void;
  commands(builder: Builder, context: string): readonly (readonly string[])[];
  /** The same with the tools of any Linux, as one more contender. */
  byHand?(context: string, scale: number): ByHand;
}

const build =
  (cache: BuildOptions['cache'], tag: string): Scenario['commands'] =>
  (builder, context) =>
    builder.commands(context, { tag: `${tag}:1`, cache });

const fiftySteps = (context: string, scale: number) => {
  const steps = Array.from({ length: Math.round(50 * scale) }, (_, index) => `RUN echo ${index} > /file${index}`);
  writeFileSync(`${context}/Dockerfile`, ['FROM base', ...steps, ''].join('\n'));
};

const smallFiles = (context: string, scale: number) => {
  writeFileSync(`${context}/Dockerfile`, 'FROM base\nCOPY files /files\n');
  for (let folder = 0; folder < 200 * scale; folder += 1) {
    mkdirSync(`${context}/files/${folder}`, { recursive: true });
    for (let file = 0; file < 100; file += 1) {
      writeFileSync(`${context}/files/${folder}/${file}`, `${folder} ${file}\n`.repeat(1 + ((folder * file) % 200)));
    }
  }
};

/** A layer of so many bytes, half random and half text: built, exported as a gzip OCI archive, loaded into another store. */
const memory = (gigabytes: number): Scenario => ({
  name: `memory-${gigabytes}GB`,
  about: `a layer of ${gigabytes} GB built, exported and loaded again`,
  alone: true,
  prepare: (context, scale) => {
    const megabytes = Math.round(gigabytes * 500 * scale);
    const random = `head -c ${megabytes}000000 /dev/urandom > /random`;
    writeFileSync(`${context}/Dockerfile`, `FROM base\nRUN ${random} && ${textFile(megabytes)}\n`);
  },
  beforeRun: (context) => rmSync(`${context}.loaded`, { recursive: true, force: true }),
  commands: (builder, context) => {
    const archive = `${context}.archive.tar`;
    rmSync(archive, { force: true });
    return [
      ...builder.commands(context, { tag: 'memory:1', cache: 'ignore', archive }),
      ['env', `TSBUILD_HOME=${context}.loaded`, process.execPath, commandPath, 'load', '-q', '-i', archive],
    ];
  },
});

/** So many files copied: what one costs must not grow with their number. */
const entries = (count: number): Scenario => ({
  name: `entries-${count}`,
  about: `${count} small files copied, without cache`,
  alone: true,
  prepare: (context, scale) => {
    writeFileSync(`${context}/Dockerfile`, 'FROM base\nCOPY files /files\n');
    for (let file = 0; file < count * scale; file += 1) {
      const folder = `${context}/files/${Math.floor(file / 500)}`;
      if (file % 500 === 0) mkdirSync(folder, { recursive: true });
      writeFileSync(`${folder}/${file}`, `${file}\n`.repeat(100));
    }
  },
  commands: build('ignore', 'entries'),
});

const manyFiles = (scale: number) => {
  const [files, megabytes] = [Math.round(30_000 * scale), Math.round(150 * scale)];
  return [
    `mkdir /many && cd /many && i=0; while [ $i -lt ${files} ]; do echo "file $i of many" > $i; i=$((i+1)); done`,
    `dd if=/dev/urandom of=/random bs=1M count=${megabytes} 2>/dev/null`,
    textFile(megabytes),
  ].join(' && ');
};

const textFile = (megabytes: number) => `yes some text that repeats | head -c ${megabytes}000000 > /text`;

export const scenarios: readonly Scenario[] = [
  {
    name: 'one-run',
    about: 'one RUN, without cache',
    prepare: (context) => writeFileSync(`${context}/Dockerfile`, 'FROM base\nRUN echo one > /one\n'),
    commands: build('ignore', 'one-run'),
  },
  {
    name: 'fifty-runs',
    about: '50 RUN steps, without cache',
    prepare: fiftySteps,
    commands: build('ignore', 'fifty-runs'),
  },
  {
    name: 'cached',
    about: '50 RUN steps, all of them cached',
    baseline: true,
    prepare: fiftySteps,
    commands: build('use', 'cached'),
  },
  {
    name: 'files-cold',
    about: '20,000 small files copied, without cache',
    prepare: smallFiles,
    commands: build('ignore', 'files-cold'),
  },
  {
    name: 'files-unchanged',
    about: '20,000 small files copied, none of them changed',
    prepare: smallFiles,
    commands: build('use', 'files-unchanged'),
  },
  {
    name: 'files-touched',
    about: '20,000 small files copied, one of them changed',
    prepare: smallFiles,
    beforeRun: (context, run) => writeFileSync(`${context}/files/0/0`, `changed in run ${run}\n`),
    commands: build('use', 'files-touched'),
  },
  {
    name: 'export',
    about: '30,000 files and 300 MB made by a RUN, exported as a gzip OCI archive',
    prepare: (context, scale) => writeFileSync(`${context}/Dockerfile`, `FROM base\nRUN ${manyFiles(scale)}\n`),
    commands: (builder, context) => {
      const archive = `${context}.archive.tar`;
      rmSync(archive, { force: true });
      return builder.commands(context, { tag: 'export:1', cache: 'ignore', archive });
    },
    byHand: (context, scale) => ({
      name: 'tar|pigz',
      needs: '/usr/bin/pigz',
      script: [
        `cd ${context} && root=$(mktemp -d root-XXXXXX) && mkdir $root/bin $root/dev`,
        `cp ${busyboxPath} $root/bin/ && for name in sh mkdir dd yes head; do ln -s busybox $root/bin/$name; done`,
        'cp -a /dev/urandom /dev/null $root/dev/',
        `chroot $root sh -c '${manyFiles(scale)}'`,
        'tar c -C $root . | pigz -6 > archive.gz',
      ].join(' && '),
    }),
  },
  ...[1, 5].map(memory),
  ...[1_000, 10_000, 100_000, 300_000].map(entries),
];
