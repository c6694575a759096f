import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuildRequest, build } from '../../../src/builder/index.ts';
import { type StepOutcome, TsbuildError, type TsbuildEvent } from '../../../src/core/index.ts';
import { openStore } from '../../../src/layers/index.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const folder = temporaryFolder('solve');
const context = join(folder.path, 'context');

const base = [
  'FROM scratch AS base',
  'COPY busybox /bin/busybox',
  'RUN ["/bin/busybox", "--install", "-s", "/bin"]',
  '',
].join('\n');

beforeAll(() => {
  mkdirSync(context);
  copyFileSync('/usr/bin/busybox', join(context, 'busybox'));
});
afterAll(() => folder[Symbol.asyncDispose]());

interface Outcome {
  readonly imageId: string;
  readonly steps: ReadonlyMap<string, StepOutcome>;
  readonly output: string;
}

/** Builds base + text in a store; `steps` by title. */
async function solve(store: string, text: string, change: Partial<BuildRequest> = {}): Promise<Outcome> {
  const titles = new Map<string, string>();
  const steps = new Map<string, StepOutcome>();
  let output = '';
  const events = (event: TsbuildEvent): void => {
    if (event.kind === 'step-started') titles.set(event.step.id, event.step.title);
    if (event.kind === 'step-finished') steps.set(titles.get(event.id) ?? event.id, event.outcome);
    if (event.kind === 'step-output') output += Buffer.from(event.chunk).toString();
  };
  const opened = await openStore(join(folder.path, store));
  try {
    const result = await build(
      {
        context: { kind: 'directory', path: context },
        dockerfileText: base + text,
        tags: [],
        buildArgs: {},
        namedContexts: new Map(),
        labels: {},
        annotations: [],
        platforms: [],
        noCache: false,
        noCacheFilter: [],
        pull: false,
        network: 'none',
        extraHosts: [],
        secrets: new Map(),
        ssh: new Map(),
        allow: new Set(),
        limits: {},
        isolation: 'auto',
        exports: [],
        cacheFrom: [],
        cacheTo: [],
        inlineCache: false,
        cacheMounts: [],
        proxyEnv: {},
        ...change,
      },
      {
        store: opened,
        baseImages: {
          resolve: async (reference) => {
            throw new TsbuildError({ code: 'image-not-found', message: `no ${reference}` });
          },
          fetch: async () => {},
        },
        delivery: { push: async () => {}, load: async () => {}, keepsIndexes: async () => false },
        events,
        now: Date.now,
        stdout: process.stdout,
        signal: new AbortController().signal,
      },
    );
    return { imageId: result.images[0]?.imageId ?? '', steps, output };
  } finally {
    await opened.close();
  }
}

const outcomeOf = ({ steps }: Outcome, part: string) => [...steps].find(([title]) => title.includes(part))?.[1];

describe('stages', () => {
  test('run at the same time: each of two waits for a file the other makes', async () => {
    const meet = (own: string, other: string) =>
      `RUN --mount=type=cache,id=meet,target=/c touch /c/${own}; n=0; while [ ! -e /c/${other} ]; do n=$((n+1)); [ $n -lt 400 ] || exit 1; usleep 50000; done; touch /met-${own}\n`;
    const text = `FROM base AS a\n${meet('a', 'b')}FROM base AS b\n${meet('b', 'a')}FROM scratch\nCOPY --from=a /met-a /\nCOPY --from=b /met-b /\n`;
    expect(outcomeOf(await solve('meet', text), 'COPY --from=b')).toBe('done');
  });

  test('that fail stop the others at once', async () => {
    const text =
      'FROM base AS slow\nRUN sleep 500\nFROM base AS bad\nRUN exit 3\nFROM scratch\nCOPY --from=slow / /\nCOPY --from=bad / /\n';
    await expect(solve('stop', text)).rejects.toMatchObject({
      code: 'build-run-failed',
      message: expect.stringContaining('exit code 3'),
      source: { range: { start: { line: 7 } } },
    });
  });

  test('with an equal step do it once', async () => {
    const text =
      'FROM base AS a\nRUN echo once > /x\nFROM base AS b\nRUN echo once > /x\nFROM scratch\nCOPY --from=a /x /1\nCOPY --from=b /x /2\n';
    const { steps } = await solve('once', text);
    expect([steps.get('[a 1/1] RUN echo once > /x'), steps.get('[b 1/1] RUN echo once > /x')].sort()).toEqual([
      'cached',
      'done',
    ]);
  });
});

describe('the cache', () => {
  test('gives an unchanged build the same image without doing a step', async () => {
    const text = 'FROM base\nRUN date +%N > /now\nWORKDIR /w\nCOPY busybox .\n';
    const first = await solve('again', text);
    const second = await solve('again', text);
    expect(second.imageId).toBe(first.imageId);
    expect([...second.steps.values()].filter((outcome) => outcome !== 'cached')).toEqual([]);
  });

  test('of COPY --from looks at what is copied when the rest of the stage has changed', async () => {
    const text =
      'FROM base AS make\nARG N\nRUN echo $N > /other; echo same > /file\nFROM scratch\nCOPY --from=make /file /file\n';
    await solve('narrow', text, { buildArgs: { N: '1' } });
    const second = await solve('narrow', text, { buildArgs: { N: '2' } });
    expect(outcomeOf(second, 'RUN echo $N')).toBe('done');
    expect(outcomeOf(second, 'COPY --from=make')).toBe('cached');
  });

  test('misses a RUN after an ARG whose value changed, and not the one before it', async () => {
    const text = 'FROM base\nRUN echo before > /a\nARG N\nRUN echo after > /b\n';
    await solve('arg', text, { buildArgs: { N: '1' } });
    const second = await solve('arg', text, { buildArgs: { N: '2' } });
    expect([outcomeOf(second, 'echo before'), outcomeOf(second, 'echo after')]).toEqual(['cached', 'done']);
  });

  test('has the RUN over one that ran again and made the same, before its command has run', async () => {
    const text = (n: number) => `FROM base\nRUN true ${n}\nRUN echo ran; echo kept > /a\n`;
    await solve('ahead', text(1));
    const second = await solve('ahead', text(2));
    expect([outcomeOf(second, 'RUN true'), outcomeOf(second, 'echo ran')]).toEqual(['done', 'cached']);
    expect(second.output).toBe('');
  });

  test('does not look at file times, and looks at content and mode', async () => {
    writeFileSync(join(context, 'file'), 'one', { mode: 0o644 });
    const text = 'FROM scratch\nCOPY file /file\n';
    await solve('times', text);
    writeFileSync(join(context, 'file'), 'one');
    expect(outcomeOf(await solve('times', text), 'COPY file')).toBe('cached');
    writeFileSync(join(context, 'file'), 'two');
    expect(outcomeOf(await solve('times', text), 'COPY file')).toBe('done');
  });

  test('of an unchanged folder is known without its files, whose content is compared when they are copied', async () => {
    // Nobody has changed it for a while, so that it is remembered.
    const old = dirname(fileURLToPath(import.meta.url));
    const text = 'FROM scratch\nCOPY . /a\nCOPY *.ts /b/\n';
    const copy = (change: Partial<BuildRequest> = {}) =>
      solve('unchanged', '', {
        context: { kind: 'directory', path: old },
        dockerfileText: text,
        sourceDateEpoch: 0,
        ...change,
      });
    const first = await copy();
    expect(outcomeOf(await copy(), 'COPY *.ts')).toBe('cached');
    const again = await copy({ noCache: true });
    expect([outcomeOf(again, 'COPY *.ts'), again.imageId]).toEqual(['done', first.imageId]);
    const hashes = join(folder.path, 'unchanged/cache/context-hashes');
    const [name = ''] = readdirSync(hashes).filter((one) => one.endsWith('.scan'));
    const file = readFileSync(join(hashes, name));
    const changed = file.toString('latin1', 0, file.length - 32).replace(/"sha256:./g, '"sha256:x'.replace('x', '0'));
    const body = Buffer.from(changed, 'latin1');
    writeFileSync(join(hashes, name), Buffer.concat([body, createHash('sha256').update(body).digest()]));
    await expect(copy()).rejects.toMatchObject({ code: 'copy-source-changed' });
  });

  test('does not look at proxies', async () => {
    const text = 'FROM base\nRUN echo "[$http_proxy]"; echo done > /x\n';
    expect((await solve('proxy', text, { proxyEnv: { http_proxy: 'http://one.invalid' } })).output).toContain(
      '[http://one.invalid]',
    );
    const second = await solve('proxy', text, { proxyEnv: { http_proxy: 'http://two.invalid' } });
    expect(outcomeOf(second, 'RUN echo')).toBe('cached');
  });

  test('is passed over, and refilled, with noCache', async () => {
    const text = 'FROM base\nRUN date +%N > /now\n';
    const first = await solve('nocache', text);
    const second = await solve('nocache', text, { noCache: true });
    expect(outcomeOf(second, 'RUN date')).toBe('done');
    expect(second.imageId).not.toBe(first.imageId);
    expect((await solve('nocache', text)).imageId).toBe(second.imageId);
  });
});

describe('times', () => {
  test('of an image are SOURCE_DATE_EPOCH when it is given, and two empty stores make the same image', async () => {
    const text = 'FROM scratch\nCOPY busybox /a/b/\nWORKDIR /w/x\nENV a=b\n';
    const epoch = { sourceDateEpoch: 1_700_000_000, target: '' };
    const first = await solve('epoch-1', text, epoch);
    const second = await solve('epoch-2', text, epoch);
    expect(second.imageId).toBe(first.imageId);
    expect(first.imageId).toMatch(/^sha256:/);
  });
});

describe('a secret', () => {
  test('reaches the step as a file and a variable, and no file of the store', async () => {
    const canary = 'canary-5f2c9a7e41';
    const text =
      'FROM base\nRUN --mount=type=secret,id=s --mount=type=secret,id=s,env=S cat /run/secrets/s | wc -c; [ "$S" = "$(cat /run/secrets/s)" ] && echo equal\n';
    const { output } = await solve('secret', text, {
      secrets: new Map([['s', { kind: 'value', value: Buffer.from(canary) }]]),
    });
    expect(output).toContain(`${canary.length}`);
    expect(output).toContain('equal');
    expect(filesUnder(join(folder.path, 'secret')).filter((file) => readFileSync(file).includes(canary))).toEqual([]);
  });

  test('that is required and missing is named with its instruction', async () => {
    await expect(solve('missing', 'FROM base\nRUN --mount=type=secret,id=npm,required true\n')).rejects.toMatchObject({
      code: 'build-secret-missing',
      message: expect.stringContaining('"npm"'),
      source: { range: { start: { line: 5 } } },
    });
  });
});

describe('what must be allowed', () => {
  test.each([
    ['--network=host', 'network.host'],
    ['--security=insecure', 'security.insecure'],
  ])('%s is refused without --allow %s', async (flag, entitlement) => {
    await expect(solve('allow', `FROM base\nRUN ${flag} true\n`)).rejects.toMatchObject({
      code: 'build-not-allowed',
      hint: expect.stringContaining(entitlement),
    });
  });
});

function filesUnder(path: string): string[] {
  return readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}
