import { describe, expect, test } from 'vitest';
import { renderRecords } from '../../src/cli/print-records.ts';
import { renderTemplate } from '../../src/cli/template.ts';

const value = {
  Name: 'App',
  Config: { Labels: { 'a.b': 'c' }, Cmd: ['sh', '-c'], Empty: [] },
  Layers: [{ Id: 1 }, { Id: 2 }],
};

describe('a template', () => {
  test.each([
    ['{{.Name}}', 'App'],
    ['{{ .Name }} and {{.Missing}}.', 'App and .'],
    ['{{json .Config.Cmd}}', '["sh","-c"]'],
    ['{{.Config.Cmd}}', '["sh","-c"]'],
    ['{{index .Config.Labels "a.b"}}', 'c'],
    ['{{index .Config.Cmd 1}}', '-c'],
    ['{{len .Layers}}', '2'],
    ['{{join .Config.Cmd " "}}', 'sh -c'],
    ['{{.Name | lower}} {{upper .Name}}', 'app APP'],
    ['{{range .Layers}}<{{.Id}}>{{end}}', '<1><2>'],
    ['{{range .Config.Empty}}x{{else}}none{{end}}', 'none'],
    ['{{if .Name}}yes{{else}}no{{end}}{{if .Missing}}yes{{end}}', 'yes'],
    ['{{with .Config}}{{json .Cmd}} {{$.Name}}{{end}}', '["sh","-c"] App'],
    ['a {{- .Name -}} b', 'aAppb'],
    ['{{"}}"}}', '}}'],
    ['{{json .}}', JSON.stringify(value)],
  ])('%s', (template, expected) => {
    expect(renderTemplate(template, value)).toBe(expected);
  });

  test.each(['{{.Name', '{{range .Layers}}', '{{end}}', '{{frobnicate .Name}}', '{{(index .a)}}', '{{name}}'])(
    '%s is refused',
    (template) => {
      expect(() => renderTemplate(template, value)).toThrow(/^--format /);
    },
  );

  test('that names what a known object cannot have is refused with what it can', () => {
    const known = new Map<unknown, readonly string[]>([
      [value, ['Author']],
      [value.Config, ['Env']],
    ]);
    const render = (template: string) => renderTemplate(template, value, known);
    expect(render('{{.Author}}{{.Name}}{{.Config.Env}}{{.Config.Labels.missing}}')).toBe('App');
    expect(() => render('{{.Nmae}}')).toThrow(/^--format "{{.Nmae}}": there is no Nmae \(did you mean Name\?\)$/);
    for (const template of ['{{.Config.Typo}}', '{{with .Config}}{{.Typo}}{{end}}', '{{if $.Config.Typo}}{{end}}']) {
      expect(() => render(template), template).toThrow('there is no Typo; there is Cmd, Empty, Env, Labels');
    }
  });

  test('does not reach into the prototype', () => {
    expect(renderTemplate('{{.constructor}}{{.__proto__}}{{.Name.length}}', value)).toBe('');
  });
});

describe('records', () => {
  const records = [
    { Name: 'a', Size: '1kB' },
    { Name: 'longer', Size: '20MB' },
  ];
  const columns = [
    { title: 'NAME', value: (record: (typeof records)[number]) => record.Name },
    { title: 'SIZE', value: (record: (typeof records)[number]) => record.Size },
  ];

  test('are aligned without trailing blanks', () => {
    expect(renderRecords(records, undefined, columns)).toBe('NAME     SIZE\na        1kB\nlonger   20MB\n');
  });

  test('are printed as JSON, by a template, or as a table of it', () => {
    expect(renderRecords(records, 'json', columns)).toBe(
      '{"Name":"a","Size":"1kB"}\n{"Name":"longer","Size":"20MB"}\n',
    );
    expect(renderRecords(records, '{{.Size}} {{.Name}}', columns)).toBe('1kB a\n20MB longer\n');
    expect(() => renderRecords(records, '{{.Nam}}', columns)).toThrow('there is no Nam (did you mean Name?)');
    expect(renderRecords(records, 'table {{.Size}}\\t{{.Name}}', columns)).toBe(
      'SIZE   NAME\n1kB    a\n20MB   longer\n',
    );
  });
});
