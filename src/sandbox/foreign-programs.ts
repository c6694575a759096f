/**
 * Whether this machine runs programs of another architecture, by its processor or an emulator registered with the kernel
 * (binfmt_misc). What is registered can be read where binfmt_misc is mounted; elsewhere (in most containers) trying tells.
 * Invariant: nothing is registered or changed here.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readText } from './host-facts.ts';

export type ProgramSupport =
  /** The processor's own, or an emulator the kernel holds open. */
  | { readonly kind: 'runs' }
  /** An emulator that the kernel looks for at `path` in the step's root; on the host it is `file`. */
  | { readonly kind: 'needs-interpreter'; readonly path: string; readonly file: string }
  | { readonly kind: 'missing' };

interface Machine {
  /** e_ident's class (2: 64 bits) and byte order (1: little-endian), and e_machine (elf(5)). */
  readonly elf: readonly [bits: 1 | 2, order: 1 | 2, machine: number];
  /** e_flags: the version of the calling convention. */
  readonly flags?: number;
  /** Machine code that ends a process with 0, in hex. */
  readonly exit?: string;
}

/** By OCI's name. */
const machines: Readonly<Record<string, Machine>> = {
  '386': { elf: [1, 1, 3], exit: '31db31c040cd80' },
  amd64: { elf: [2, 1, 62], exit: '31ffb83c0000000f05' },
  arm: { elf: [1, 1, 40], exit: '0000a0e30170a0e3000000ef' },
  arm64: { elf: [2, 1, 183], exit: '000080d2a80b80d2010000d4' },
  loong64: { elf: [2, 1, 258] },
  mips64le: { elf: [2, 1, 8] },
  mipsle: { elf: [1, 1, 8] },
  ppc64le: { elf: [2, 1, 21], flags: 2, exit: '010000380000603802000044' },
  riscv64: { elf: [2, 1, 243], exit: '130500009308d00573000000' },
  s390x: { elf: [2, 2, 22], exit: 'a72900000a01' },
};

/** All that are known here. */
export const architectures: readonly string[] = Object.keys(machines);

const registrations = '/proc/sys/fs/binfmt_misc';

/** @param host the architecture of this machine */
export function programSupport(architecture: string, host: string): ProgramSupport {
  if (architecture === host || (host === 'amd64' && architecture === '386')) return { kind: 'runs' };
  const machine = machines[architecture];
  if (!machine) return { kind: 'missing' };
  for (const text of registered()) {
    const interpreter = interpreterFor(programHeader(machine), text);
    if (!interpreter) continue;
    const { path, held } = interpreter;
    if (held) return { kind: 'runs' };
    const file = realFile(path);
    if (file !== undefined) return { kind: 'needs-interpreter', path, file };
  }
  return runsHere(architecture) ? { kind: 'runs' } : { kind: 'missing' };
}

/** Packages register a link to the program. */
function realFile(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

function registered(): readonly string[] {
  try {
    return readdirSync(registrations).map((name) => readText(join(registrations, name)));
  } catch {
    return [];
  }
}

/** The interpreter of one registration (admin-guide/binfmt-misc.rst) when a program with this header is its. */
function interpreterFor(
  header: Buffer,
  registration: string,
): { readonly path: string; readonly held: boolean } | undefined {
  const field = (name: string) => new RegExp(`^${name}:? (.*)$`, 'm').exec(registration)?.[1] ?? '';
  const path = field('interpreter');
  const magic = Buffer.from(field('magic'), 'hex');
  if (!registration.startsWith('enabled\n') || path === '' || magic.length === 0) return undefined;
  const mask = Buffer.from(field('mask'), 'hex');
  const offset = Number(field('offset'));
  const fits = magic.every((byte, at) => {
    const bits = mask[at] ?? 0xff;
    return ((header[offset + at] ?? 0) & bits) === (byte & bits);
  });
  return fits ? { path, held: field('flags').includes('F') } : undefined;
}

/** Without binfmt_misc in sight, an emulator that runs a program out here is taken for one the kernel holds open. */
function runsHere(architecture: string): boolean {
  const program = smallProgramFor(architecture);
  if (!program) return false;
  const folder = mkdtempSync(join(tmpdir(), 'tsbuild-program-'));
  try {
    const file = join(folder, 'program');
    writeFileSync(file, program, { mode: 0o755 });
    return spawnSync(file, { stdio: 'ignore', timeout: 10_000 }).status === 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The file header of a static program: what registrations look at. */
function programHeader({ elf: [bits, order, machine] }: Machine): Buffer {
  const header = Buffer.alloc(bits === 2 ? 64 : 52);
  header.set([0x7f, 0x45, 0x4c, 0x46, bits, order, 1]);
  const half = (value: number, at: number) =>
    order === 1 ? header.writeUInt16LE(value, at) : header.writeUInt16BE(value, at);
  half(2, 16);
  half(machine, 18);
  return header;
}

/** A static program that ends with 0; undefined where none is known. */
export function smallProgramFor(architecture: string): Buffer | undefined {
  const machine = machines[architecture];
  return machine?.exit === undefined ? undefined : smallProgram(machine, Buffer.from(machine.exit, 'hex'));
}

/** One loadable segment that holds the whole file and begins to run behind the headers. */
function smallProgram(machine: Machine, code: Buffer): Buffer {
  const [bits, order] = machine.elf;
  const header = programHeader(machine);
  const segment = Buffer.alloc(bits === 2 ? 56 : 32);
  const base = 0x400000;
  const start = header.length + segment.length;
  const word = (data: Buffer, value: number, at: number) =>
    order === 1 ? data.writeUInt32LE(value, at) : data.writeUInt32BE(value, at);
  const half = (data: Buffer, value: number, at: number) =>
    order === 1 ? data.writeUInt16LE(value, at) : data.writeUInt16BE(value, at);
  /** As wide as an address of the machine. */
  const wide = (data: Buffer, value: number, at: number) =>
    bits === 1 ? word(data, value, at) : word(data, value, order === 1 ? at : at + 4);
  const size = bits === 2 ? 8 : 4;
  word(header, 1, 20);
  wide(header, base + start, 24);
  wide(header, header.length, 24 + size);
  word(header, machine.flags ?? 0, 24 + 3 * size);
  for (const [index, value] of [header.length, segment.length, 1].entries())
    half(header, value, 28 + 3 * size + 2 * index);
  // p_type, and p_flags (read and execute), which stand apart in 32 bits.
  word(segment, 1, 0);
  word(segment, 5, bits === 2 ? 4 : 24);
  const first = bits === 2 ? 8 : 4;
  const whole = start + code.length;
  for (const [index, value] of [0, base, base, whole, whole].entries()) wide(segment, value, first + size * index);
  wide(segment, 0x1000, bits === 2 ? 48 : 28);
  return Buffer.concat([header, segment, code]);
}
