import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const architecture = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8');
const rooms = roomsOf(architecture);
const modules = filesUnder(join(root, 'src')).filter((file) => file.endsWith('.ts'));
const imports = modules.flatMap(importsOf);

describe('the rooms', () => {
  test('the table in ARCHITECTURE.md was read, and so were the modules', () => {
    expect(rooms.size).toBeGreaterThanOrEqual(8);
    expect(modules.length).toBeGreaterThan(20);
    expect(imports.length).toBeGreaterThan(50);
  });

  test('import only from the rooms the table allows', () => {
    const offences = imports
      .filter(({ from, to }) => {
        const [source, target] = [roomOf(from), roomOf(to)];
        return source !== target && !rooms.get(source)?.has(target);
      })
      .map(({ from, to }) => `${from} imports ${to}`);
    expect(offences).toEqual([]);
  });

  test('are entered through their index.ts only', () => {
    const offences = imports
      .filter(({ from, to }) => roomOf(from) !== roomOf(to) && !/^src\/[a-z]+\/index\.ts$/.test(to))
      .map(({ from, to }) => `${from} imports ${to}`);
    expect(offences).toEqual([]);
  });

  test('have no import cycles', () => {
    expect(cyclesIn(imports)).toEqual([]);
  });

  test('that are pure import nothing that does I/O', () => {
    const pure = ['src/image/', 'src/builder/dockerfile/', 'src/builder/plan/'];
    const allowed = /^(node:crypto|node:path\/posix|node:util|[^.n][^:]*)$/;
    const offences = modules
      .filter((file) => pure.some((room) => relative(root, file).startsWith(room)))
      .flatMap((file) =>
        bareImportsOf(file)
          .filter((name) => !allowed.test(name))
          .map((name) => `${relative(root, file)} imports ${name}`),
      );
    expect(offences).toEqual([]);
  });

  test('other than cli and action leave the process alone', () => {
    const forbidden = /\bprocess\.(env|argv|stdout|stderr|stdin|exit|chdir)\b/;
    const offences = modules
      .map((file) => relative(root, file))
      .filter((file) => !/^src\/(cli|action)\//.test(file))
      .filter((file) => forbidden.test(withoutComments(readFileSync(join(root, file), 'utf8'))));
    expect(offences).toEqual([]);
  });
});

describe('the documents', () => {
  test('ARCHITECTURE.md names only paths that exist and stays within 250 lines', () => {
    const named = [...architecture.matchAll(/`((?:src|test|fixtures|docs|bench|scripts|examples|\.ci)\/[\w./-]*)`/g)];
    expect(named.length).toBeGreaterThan(10);
    expect(named.map((match) => match[1] ?? '').filter((path) => !existsSync(join(root, path)))).toEqual([]);
    expect(architecture.split('\n').length).toBeLessThanOrEqual(250);
  });

  test('docs/errors.md explains every error code, and no other', () => {
    const codes = [...readFileSync(join(root, 'src/core/error-codes.ts'), 'utf8').matchAll(/\| '([a-z0-9-]+)'/g)];
    const entries = [...readFileSync(join(root, 'docs/errors.md'), 'utf8').matchAll(/^### `([a-z0-9-]+)`/gm)];
    expect(codes.length).toBeGreaterThan(5);
    expect(entries.map((match) => match[1]).sort()).toEqual(codes.map((match) => match[1]).sort());
  });
});

function roomsOf(text: string): Map<string, Set<string>> {
  const rows = [...text.matchAll(/^\| `src\/([a-z]+)\/` *\|.*\| ([^|]*?) *\|$/gm)];
  const names = rows.map((row) => row[1] ?? '');
  return new Map(
    rows.map((row) => {
      const cell = row[2] ?? '';
      return [
        row[1] ?? '',
        new Set(cell.trim() === 'all' ? names : names.filter((name) => new RegExp(`\\b${name}\\b`).test(cell))),
      ];
    }),
  );
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? filesUnder(join(folder, entry.name)) : [join(folder, entry.name)],
  );
}

function withoutComments(code: string): string {
  return code.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
}

function specifiersOf(file: string): string[] {
  const code = withoutComments(readFileSync(file, 'utf8'));
  return [...code.matchAll(/(?:^\s*(?:import|export)\b[^'";]*?from\s*|^\s*import\s*|\bimport\()'([^']+)'/gm)].map(
    (match) => match[1] ?? '',
  );
}

function importsOf(file: string): { from: string; to: string }[] {
  return specifiersOf(file)
    .filter((name) => name.startsWith('.'))
    .map((name) => ({ from: relative(root, file), to: relative(root, join(dirname(file), name)) }));
}

function bareImportsOf(file: string): string[] {
  return specifiersOf(file).filter((name) => !name.startsWith('.'));
}

function roomOf(path: string): string {
  return path.split('/')[1] ?? '';
}

function cyclesIn(edges: readonly { from: string; to: string }[]): string[] {
  const targets = new Map<string, string[]>();
  for (const { from, to } of edges) targets.set(from, [...(targets.get(from) ?? []), to]);
  const state = new Map<string, 'open' | 'done'>();
  const found: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === 'done') return;
    if (state.get(file) === 'open') {
      found.push([...path.slice(path.indexOf(file)), file].join(' -> '));
      return;
    }
    state.set(file, 'open');
    for (const target of targets.get(file) ?? []) visit(target, [...path, file]);
    state.set(file, 'done');
  };
  for (const file of targets.keys()) visit(file, []);
  return found;
}
