/** Checks an image against what a case says by itself, where no other builder can be asked. */
import { isDeepStrictEqual } from 'node:util';
import type { BuildFixture } from './build-fixtures.ts';
import type { ReadImage } from './image-files.ts';
import type { FlatTree } from './tree-compare.ts';

/** Every expectation that does not hold, as readable lines; [] when all hold or none is stated. */
export function expectationDifferences(
  { expected }: BuildFixture,
  { image, tree }: { readonly image: ReadImage; readonly tree: FlatTree },
  stderr: string,
): string[] {
  if (expected === undefined) return [];
  const lines: string[] = [];
  const compare = (what: string, actual: unknown, wanted: unknown) => {
    if (isDeepStrictEqual(actual ?? null, wanted)) return;
    lines.push(`${what} is ${JSON.stringify(actual)}, expected ${JSON.stringify(wanted)}`);
  };
  for (const [member, wanted] of Object.entries(expected.config ?? {})) {
    compare(`config.${member}`, image.config.config?.[member], wanted);
  }
  for (const [path, wanted] of Object.entries(expected.tree ?? {})) {
    const node = tree.get(path);
    if (wanted === null || node === undefined) compare(`/${path}`, node, wanted);
    else
      for (const [member, value] of Object.entries(wanted))
        compare(`/${path}: ${member}`, node[member as 'type'], value);
  }
  if (expected.history !== undefined) {
    const all = (image.config.history ?? []).map((line) => `${line.empty_layer ? '(empty) ' : ''}${line.created_by}`);
    compare('history', all.slice(-expected.history.length), expected.history);
  }
  for (const text of expected.stderr ?? [])
    if (!stderr.includes(text)) lines.push(`stderr lacks ${JSON.stringify(text)}`);
  return lines;
}
