/**
 * Runs steps on one rung for the tests: bundled, then started as root, as an ordinary user or with few capabilities.
 * One JSON request a line on stdin, one answer a line on stdout. It makes its own trees, so that owners are right in
 * whatever user namespace it is in.
 */
import { execFileSync } from 'node:child_process';
import {
  type Dirent,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { type EventSink, isTsbuildError, TsbuildError } from '../../../src/core/index.ts';
import { hostFacts } from '../../../src/sandbox/host-facts.ts';
import {
  createSandbox,
  probeRungs,
  type RootFs,
  type Rung,
  type RunHold,
  reexecInUserNamespace,
  type StepMount,
  type StepSpec,
  wantsUserNamespace,
} from '../../../src/sandbox/index.ts';
import { NamespaceSandbox } from '../../../src/sandbox/namespace-sandbox.ts';
import { makeBaseRoot } from './base-root.ts';
import type { Answer, Request, StepRequest, TestMount } from './protocol.ts';

const [isolation, folder, probed] = process.argv.slice(2) as [Exclude<Rung, 'none'>, string, 'probed' | 'unprobed'];

if (wantsUserNamespace(isolation, process.env)) {
  const { argv, execPath, execArgv } = process;
  process.exit(await reexecInUserNamespace({ argv: [execPath, ...execArgv, ...argv.slice(1)], env: process.env }));
}
await serve();

async function serve(): Promise<void> {
  const notices: string[] = [];
  const events: EventSink = (event) => {
    if (event.kind === 'notice') notices.push(event.message);
  };
  // A helper that needs libraries cannot be the program a probe runs.
  const sandbox =
    probed === 'probed'
      ? await createSandbox({ isolation, events })
      : new NamespaceSandbox({ rung: isolation, singleId: hostFacts().singleId, events });
  const base = makeBaseRoot(join(folder, 'base'));
  const aborts = new Map<number, AbortController>();
  let count = 0;
  for await (const line of createInterface({ input: process.stdin })) {
    const request = JSON.parse(line) as Request;
    if (request.op === 'abort') aborts.get(request.id)?.abort();
    else if (request.op === 'probe') answer({ id: request.id, reports: await probeRungs() });
    else if (request.op === 'run') {
      const place = join(folder, `step-${count++}`);
      const controller = new AbortController();
      aborts.set(request.id, controller);
      void run(request, place, controller.signal).then(answer);
    }
  }
  await sandbox.close();

  async function run(request: Extract<Request, { op: 'run' }>, place: string, signal: AbortSignal): Promise<Answer> {
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    const { step, lowers: extra, files, lowerCount } = request;
    mkdirSync(place);
    const rootfs = makeRootFs(place, base, extra, files, lowerCount);
    const before = rootfs.kind === 'directory' ? inventory(rootfs.path) : undefined;
    const spec: StepSpec = {
      args: ['/bin/sh', '-c', request.script ?? 'true'],
      env: ['PATH=/bin:/usr/bin'],
      cwd: '/',
      user: '',
      hostname: 'buildhost',
      network: 'host',
      security: 'sandbox',
      extraHosts: [],
      limits: {},
      ...step,
      rootfs,
      mounts: (request.mounts ?? []).map((mount) => stepMount(mount, place, base)),
    };
    const common = () => ({
      id: request.id,
      stdout: Buffer.concat(out).toString(),
      stderr: Buffer.concat(err).toString(),
      left: rootfs.kind === 'directory' ? changedSince(before ?? new Map(), rootfs.path) : upperContents(rootfs.upper),
      notices,
      place,
    });
    try {
      const result = await sandbox.run(spec, {
        signal,
        ...(request.held && { held: heldRun(request.held, request.id, () => out.length === 0) }),
        onOutput: (stream, chunk) => {
          (stream === 'stdout' ? out : err).push(Buffer.from(chunk));
          if (request.watch) answer({ id: request.id, output: Buffer.from(chunk).toString(), place });
        },
      });
      return { ...common(), result };
    } catch (error) {
      if (!isTsbuildError(error)) return { ...common(), error: { code: 'thrown', message: String(error) } };
      return { ...common(), error: { code: error.code, message: error.message, hint: error.hint } };
    }
  }
}

/** @param isQuiet whether its program has said nothing */
function heldRun(how: NonNullable<StepRequest['held']>, id: number, isQuiet: () => boolean): RunHold {
  let onRootOpen = (): void => {};
  const needed = new Promise<void>((resolve, reject) => {
    const decide = () => {
      if (how === 'needed' && isQuiet()) resolve();
      else reject(new TsbuildError({ code: 'cancelled', message: isQuiet() ? 'it is not needed' : 'it has begun' }));
    };
    onRootOpen = () => {
      if (how === 'open') answer({ id, output: 'open' });
      else setTimeout(decide, 30);
    };
  });
  return { rooted: Promise.resolve(), needed, onBegun: () => {}, onRootOpen };
}

function answer(value: Answer): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

function makeRootFs(
  place: string,
  base: string,
  extra: Readonly<Record<string, string>> | undefined,
  files: readonly (readonly [string, string])[] | undefined,
  lowerCount = 1,
): RootFs {
  const top = join(place, 'lower');
  mkdirSync(top);
  for (const [path, content] of [...Object.entries(extra ?? {}), ...(files ?? [])]) {
    mkdirSync(join(top, path, '..'), { recursive: true });
    if (content === 'whiteout') execFileSync('mknod', [join(top, path), 'c', '0', '0']);
    else if (content.startsWith('->')) symlinkSync(content.slice(2), join(top, path));
    else if (content === 'fifo') execFileSync('mkfifo', [join(top, path)]);
    else writeFileSync(join(top, path), content);
  }
  if (isolation === 'chroot') {
    const path = join(place, 'root');
    execFileSync('cp', ['-a', base, path]);
    // A link hides a directory beneath, as in an overlay.
    for (const [name, content] of files ?? [])
      if (content.startsWith('->')) rmSync(join(path, name), { recursive: true, force: true });
    execFileSync('cp', ['-a', '--remove-destination', `${top}/.`, path]);
    return { kind: 'directory', path };
  }
  const lowers = [top];
  for (let i = 0; i < lowerCount - 1; i++) {
    const lower = join(place, i.toString(16).padStart(64, 'a'));
    mkdirSync(lower);
    writeFileSync(join(lower, `layer-${i}`), String(i));
    lowers.push(lower);
  }
  const [upper, work] = [join(place, 'upper'), join(place, 'work')];
  mkdirSync(upper);
  mkdirSync(work);
  return { kind: 'overlay', lowers: [...lowers, base], upper, work };
}

/** Mounts as the tests write them: `host` names a folder made beside the step. */
function stepMount(mount: TestMount, place: string, base: string): StepMount {
  if (mount.kind === 'secret') return { ...mount, content: Buffer.from(mount.content) };
  if (mount.kind !== 'bind') return mount;
  const { host, files, ...rest } = mount;
  if (host === 'base') return { ...rest, root: { kind: 'overlay', lowers: [base], upper: '', work: '' } };
  const root = resolve(place, host);
  mkdirSync(root, { recursive: true });
  for (const [name, content] of Object.entries(files ?? {})) {
    mkdirSync(join(root, name, '..'), { recursive: true });
    if (content.startsWith('->')) symlinkSync(content.slice(2), join(root, name));
    else writeFileSync(join(root, name), content);
  }
  return { ...rest, root };
}

/** What the step left in its upper directory: `path` or `path -> target`, whiteouts as `path (whiteout)`. */
function upperContents(upper: string): string[] {
  if (!existsSync(upper)) return [];
  const found: string[] = [];
  visit(upper, (name, entry) => {
    const full = join(upper, name);
    if (entry.isDirectory()) found.push(`${name}/`);
    else if (entry.isSymbolicLink()) found.push(`${name} -> ${readlinkSync(full)}`);
    else found.push(entry.isCharacterDevice() ? `${name} (whiteout)` : name);
  });
  return found.sort();
}

/** The same of a root written in place: what differs from `before`, and the directories above it. */
function changedSince(before: ReadonlyMap<string, string>, root: string): string[] {
  const after = inventory(root);
  const found = new Set<string>();
  for (const [name, state] of after) if (before.get(name) !== state) found.add(name);
  for (const name of before.keys()) if (!after.has(name)) found.add(`${name} (whiteout)`);
  for (const name of [...found]) for (let up = dirname(name); up !== '.'; up = dirname(up)) found.add(`${up}/`);
  return [...found].sort();
}

/** Kind, mode, owner, size, time and link text by path; directories end in a slash. */
function inventory(root: string): Map<string, string> {
  const found = new Map<string, string>();
  visit(root, (name, entry) => {
    const full = join(root, name);
    const { mode, uid, gid, size, mtimeNs } = lstatSync(full, { bigint: true });
    const text = entry.isSymbolicLink() ? readlinkSync(full) : '';
    const bytes = entry.isDirectory() ? 0n : size;
    found.set(entry.isDirectory() ? `${name}/` : name, [mode, uid, gid, bytes, mtimeNs, text].join(' '));
  });
  return found;
}

function visit(root: string, see: (name: string, entry: Dirent) => void, path = ''): void {
  for (const entry of readdirSync(join(root, path), { withFileTypes: true })) {
    const name = join(path, entry.name);
    see(name, entry);
    if (entry.isDirectory()) visit(root, see, name);
  }
}
