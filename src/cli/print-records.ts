/**
 * Lists for people and scripts: aligned columns, `--format json` (one object a line, as docker), or a Go template.
 */
import { renderTemplate } from './template.ts';

export interface Column<T> {
  readonly title: string;
  readonly value: (record: T) => string;
}

/** Columns padded to their widest value; the last one is not. */
export function renderTable<T>(records: readonly T[], columns: readonly Column<T>[]): string {
  const rows = [
    columns.map(({ title }) => title),
    ...records.map((record) => columns.map(({ value }) => value(record))),
  ];
  const widths = columns.map((_, index) => Math.max(...rows.map((row) => (row[index] ?? '').length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, index) => cell.padEnd((widths[index] ?? 0) + 3))
          .join('')
          .trimEnd()}\n`,
    )
    .join('');
}

/**
 * @param format undefined or `table`: the columns; `json`; else a template, with `table ` before it for a heading
 * @throws TsbuildError `flag-invalid` for a template that cannot be read, or that names what a record has not
 */
export function renderRecords<T extends object>(
  records: readonly T[],
  format: string | undefined,
  columns: readonly Column<T>[],
): string {
  if (format === undefined || format === 'table') return renderTable(records, columns);
  if (format === 'json') return records.map((record) => `${JSON.stringify(record)}\n`).join('');
  const isTable = format.startsWith('table ');
  const template = (isTable ? format.slice(6) : format).replaceAll('\\t', '\t').replaceAll('\\n', '\n');
  const lines = records.map((record) => renderTemplate(template, record, new Map([[record, []]])));
  if (!isTable) return lines.map((line) => `${line}\n`).join('');
  const heading = template.replace(/\{\{\s*(?:json\s+)?\.?([\w.]*)\s*\}\}/g, (_, name: string) =>
    name.replace(/(?<=[a-z])(?=[A-Z])/g, ' ').toUpperCase(),
  );
  const rows = [heading, ...lines].map((line) => line.split('\t'));
  const count = Math.max(...rows.map((row) => row.length));
  const cells = Array.from(
    { length: count },
    (_, index): Column<string[]> => ({
      title: rows[0]?.[index] ?? '',
      value: (row) => row[index] ?? '',
    }),
  );
  return renderTable(rows.slice(1), cells);
}
