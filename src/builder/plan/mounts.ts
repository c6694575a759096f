/** `RUN --mount=…` with its variables put in, checked as BuildKit checks it (instructions/commands_runmount.go). */
import { posix } from 'node:path';
import type { MountFlag, RunInstruction, Word } from '../dockerfile/index.ts';
import type { StageState } from './stage-state.ts';
import type { PlannedMount, TreeSource } from './types.ts';

type Fields = ReadonlyMap<string, string | undefined>;

const aliases: Readonly<Record<string, string>> = {
  src: 'source',
  dst: 'target',
  destination: 'target',
  ro: 'readonly',
  rw: 'readwrite',
};

export function planMount(
  state: StageState,
  run: RunInstruction,
  flag: MountFlag,
  expand: (word: Word) => string,
): PlannedMount {
  const fields = readFields(flag, expand);
  const fail = (message: string, hint: string) =>
    state.fail(flag.range, { code: 'plan-value-invalid', message: `--mount=${flag.raw}: ${message}`, hint });

  const number = (key: string, radix: 8 | 10): number | undefined => {
    const text = fields.get(key);
    if (text === undefined) return undefined;
    if (!(radix === 8 ? /^0?o?[0-7]{1,7}$/ : /^\d{1,10}$/).test(text)) {
      throw fail(
        `${JSON.stringify(text)} is not a ${key}`,
        radix === 8 ? 'Write an octal mode such as 0400.' : 'Write a number.',
      );
    }
    return Number.parseInt(text.replace('o', ''), radix);
  };
  const flagValue = (key: string): boolean | undefined => {
    if (!fields.has(key)) return undefined;
    const text = fields.get(key);
    if (text === undefined || /^(1|t|true)$/i.test(text)) return true;
    if (/^(0|f|false)$/i.test(text)) return false;
    throw fail(`${JSON.stringify(text)} is not true or false`, `Write ${key}=true or ${key}=false.`);
  };
  const target = (required: boolean): string => {
    const text = fields.get('target') ?? '';
    if (text === '' && required) throw fail('it has no target', 'Add target=/path.');
    const path = posix.resolve('/', state.workdir, text);
    if (path === '/') throw fail('the target cannot be /', 'Mount onto a directory below the root.');
    return path;
  };
  const owner = (mode: number) => ({
    mode: number('mode', 8) ?? mode,
    uid: number('uid', 10) ?? 0,
    gid: number('gid', 10) ?? 0,
  });
  const readOnly = (byDefault: boolean): boolean =>
    flagValue('readonly') ?? negate(flagValue('readwrite')) ?? byDefault;
  const source = (otherwise: TreeSource): TreeSource => {
    const from = fields.get('from');
    return from === undefined || from === '' ? otherwise : state.setting.source(from, run);
  };
  const sourcePath = posix.resolve('/', fields.get('source') ?? '');

  switch (flag.type) {
    case 'bind':
      return {
        kind: 'bind',
        source: source({ kind: 'context' }),
        sourcePath,
        target: target(true),
        readOnly: readOnly(true),
      };
    case 'cache': {
      const path = target(true);
      const sharing = fields.get('sharing')?.toLowerCase() ?? 'shared';
      if (sharing !== 'shared' && sharing !== 'private' && sharing !== 'locked') {
        throw fail(`${JSON.stringify(sharing)} is not a way of sharing`, 'Write sharing=shared, private or locked.');
      }
      const [mode, uid, gid] = [number('mode', 8), number('uid', 10), number('gid', 10)];
      const namespace = state.setting.options.buildArgs.BUILDKIT_CACHE_MOUNT_NS ?? '';
      return {
        kind: 'cache',
        id: `${namespace}/${fields.get('id') || posix.normalize(fields.get('target') ?? '')}`,
        sharing,
        source: source({ kind: 'empty' }),
        sourcePath,
        target: path,
        readOnly: readOnly(false),
        ...(mode !== undefined && { mode }),
        ...(uid !== undefined && { uid }),
        ...(gid !== undefined && { gid }),
      };
    }
    case 'tmpfs': {
      const text = fields.get('size');
      const size = text === undefined ? undefined : parseSize(text);
      if (Number.isNaN(size))
        throw fail(`${JSON.stringify(text)} is not a size`, 'Write bytes or a number with k, m or g.');
      return { kind: 'tmpfs', target: target(true), ...(size !== undefined && { size }) };
    }
    case 'secret': {
      const given = fields.get('target');
      if (fields.get('id') && fields.get('source')) throw fail('it has both id and source', 'Write only id.');
      const id = fields.get('id') || fields.get('source') || posix.basename(given ?? '');
      if (id === '') throw fail('it has neither id nor target', 'Add id=name.');
      const env = fields.has('env') ? fields.get('env') || id : undefined;
      const file =
        given || env === undefined
          ? resolveTarget(given, `/run/secrets/${posix.basename(id)}`, state.workdir)
          : undefined;
      return {
        kind: 'secret',
        id,
        ...(file !== undefined && { target: file }),
        ...(env !== undefined && { env }),
        required: flagValue('required') ?? false,
        ...owner(0o400),
      };
    }
    case 'ssh': {
      const given = fields.get('target');
      return {
        kind: 'ssh',
        id: fields.get('id') || 'default',
        ...(given && { target: target(true) }),
        required: flagValue('required') ?? false,
        ...owner(0o600),
      };
    }
  }
}

function readFields(flag: MountFlag, expand: (word: Word) => string): Fields {
  return new Map(
    flag.fields.map(({ key, value }) => {
      const name = aliases[key.toLowerCase()] ?? key.toLowerCase();
      // `from` names a stage: it is resolved before any variable is known.
      const text = value === undefined || name === 'from' ? value : expand({ raw: value, range: flag.range });
      return [name, text];
    }),
  );
}

function resolveTarget(given: string | undefined, otherwise: string, workdir: string): string {
  return given ? posix.resolve('/', workdir, given) : otherwise;
}

function negate(value: boolean | undefined): boolean | undefined {
  return value === undefined ? undefined : !value;
}

/** Bytes from `64m`, `1g`, `512`; NaN when it is none (docker/go-units RAMInBytes). */
function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)i?b?$/i.exec(text.trim());
  if (!match) return Number.NaN;
  const power = ['', 'k', 'm', 'g', 't', 'p'].indexOf((match[2] ?? '').toLowerCase());
  return Math.floor(Number(match[1]) * 1024 ** power);
}
