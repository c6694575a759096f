/**
 * The part of Go's text/template that people use with docker's `--format`: fields, `json`, `index`, `len`, `join`, `lower`,
 * `upper`, `range`, `if`, `else`, `with` and variables' dot. Values are plain JSON.
 */
import { nearest, suggestion, TsbuildError } from '../core/index.ts';

type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly words: readonly string[] }
  | {
      readonly kind: 'range' | 'if' | 'with';
      readonly words: readonly string[];
      readonly body: readonly Node[];
      readonly otherwise: readonly Node[];
    };

/**
 * @param optional objects of the value that have only these members besides their own: another name is a typing mistake,
 *   as it is for docker. What is in no such object and not there prints as nothing.
 * @throws TsbuildError `flag-invalid`
 */
export function renderTemplate(
  template: string,
  value: unknown,
  optional: ReadonlyMap<unknown, readonly string[]> = new Map(),
): string {
  const tokens = tokenize(template);
  const { nodes, rest } = parseNodes(tokens, 0, template);
  if (rest !== tokens.length) throw invalid(template, 'an {{end}} or {{else}} has no beginning');
  return evaluate(nodes, value, { root: value, template, optional });
}

interface Scope {
  readonly root: unknown;
  readonly template: string;
  readonly optional: ReadonlyMap<unknown, readonly string[]>;
}

type Token = { readonly kind: 'text' | 'action'; readonly text: string };

function tokenize(template: string): Token[] {
  const tokens: Token[] = [];
  let text = '';
  let trimNext = false;
  for (const part of template.split(/(\{\{(?:"(?:[^"\\]|\\.)*"|[^}"]|\}(?!\}))*\}\})/)) {
    const action = /^\{\{(-\s)?([\s\S]*?)(\s-)?\}\}$/.exec(part);
    if (!action) {
      text += trimNext ? part.trimStart() : part;
      if (part !== '') trimNext = false;
      continue;
    }
    tokens.push({ kind: 'text', text: action[1] === undefined ? text : text.trimEnd() });
    text = '';
    tokens.push({ kind: 'action', text: (action[2] ?? '').trim() });
    trimNext = action[3] !== undefined;
  }
  if (text.includes('{{')) throw invalid(template, 'a {{ is not closed');
  return [...tokens, { kind: 'text', text }];
}

function parseNodes(tokens: readonly Token[], from: number, template: string): { nodes: Node[]; rest: number } {
  const nodes: Node[] = [];
  let at = from;
  while (at < tokens.length) {
    const token = tokens[at];
    if (!token) break;
    if (token.kind === 'text') {
      nodes.push({ kind: 'text', text: token.text });
      at += 1;
      continue;
    }
    const [head = '', ...words] = wordsOf(token.text, template);
    if (head === 'end' || head === 'else') break;
    if (head === 'range' || head === 'if' || head === 'with') {
      const body = parseNodes(tokens, at + 1, template);
      let otherwise: { nodes: Node[]; rest: number } = { nodes: [], rest: body.rest };
      if (tokens[body.rest]?.text === 'else') otherwise = parseNodes(tokens, body.rest + 1, template);
      if (tokens[otherwise.rest]?.text !== 'end') throw invalid(template, `{{${head}}} has no {{end}}`);
      nodes.push({ kind: head, words, body: body.nodes, otherwise: otherwise.nodes });
      at = otherwise.rest + 1;
      continue;
    }
    nodes.push({ kind: 'value', words: [head, ...words] });
    at += 1;
  }
  return { nodes, rest: at };
}

function evaluate(nodes: readonly Node[], dot: unknown, scope: Scope): string {
  return nodes
    .map((node) => {
      if (node.kind === 'text') return node.text;
      const value = call(node.words, dot, scope);
      if (node.kind === 'value') return print(value);
      const items = node.kind === 'range' ? itemsOf(value) : isEmpty(value) ? [] : [node.kind === 'with' ? value : dot];
      if (items.length === 0) return evaluate(node.otherwise, dot, scope);
      return items.map((item) => evaluate(node.body, item, scope)).join('');
    })
    .join('');
}

function call(words: readonly string[], dot: unknown, scope: Scope): unknown {
  const pipe = words.indexOf('|');
  if (pipe >= 0) {
    const left = call(words.slice(0, pipe), dot, scope);
    return apply(words.slice(pipe + 1), [left], dot, scope);
  }
  return apply(words, [], dot, scope);
}

function apply(words: readonly string[], piped: readonly unknown[], dot: unknown, scope: Scope): unknown {
  const pipe = words.indexOf('|');
  if (pipe >= 0) {
    const left = apply(words.slice(0, pipe), piped, dot, scope);
    return apply(words.slice(pipe + 1), [left], dot, scope);
  }
  const [head = '', ...rest] = words;
  const operands = [...rest.map((word) => operand(word, dot, scope)), ...piped];
  const [first, second] = operands;
  switch (head) {
    case 'json':
      return JSON.stringify(first);
    case 'len':
      return itemsOf(first).length || (typeof first === 'string' ? first.length : 0);
    case 'lower':
      return print(first).toLowerCase();
    case 'upper':
      return print(first).toUpperCase();
    case 'join':
      return itemsOf(first).map(print).join(print(second));
    case 'index':
      return operands.slice(1).reduce((value, key) => member(value, print(key)), first);
    case 'println':
      return `${operands.map(print).join(' ')}\n`;
    default:
      if (rest.length > 0 || piped.length > 0)
        throw invalid(scope.template, `there is no function ${JSON.stringify(head)}`);
      return operand(head, dot, scope);
  }
}

function operand(word: string, dot: unknown, scope: Scope): unknown {
  if (word.startsWith('"')) return JSON.parse(word) as unknown;
  if (/^-?\d+$/.test(word)) return Number(word);
  const path = /^(\$?)((?:\.\w+)*|\.)$/.exec(word);
  if (!path || word === '') throw invalid(scope.template, `${JSON.stringify(word)} is not understood`);
  const names = (path[2] ?? '').split('.').filter(Boolean);
  return names.reduce((value, name) => field(value, name, scope), path[1] === '$' ? scope.root : dot);
}

function wordsOf(action: string, template: string): string[] {
  const words = action.match(/"(?:[^"\\]|\\.)*"|\||[^\s|"()]+|[()]/g) ?? [];
  if (words.some((word) => word === '(' || word === ')')) throw invalid(template, 'brackets are not supported');
  return words;
}

function field(value: unknown, name: string, { template, optional }: Scope): unknown {
  const others = optional.get(value);
  if (others === undefined || Object.hasOwn(value as object, name)) return member(value, name);
  if (others.includes(name)) return undefined;
  const known = [...new Set([...Object.keys(value as object), ...others])];
  const near = nearest(name, known);
  throw invalid(
    template,
    `there is no ${name}${near === undefined ? `; there is ${known.toSorted().join(', ')}` : suggestion(near)}`,
  );
}

function member(value: unknown, name: string): unknown {
  if (value === null || typeof value !== 'object') return undefined;
  if (Array.isArray(value)) return value[Number(name)];
  return Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
}

function itemsOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return value !== null && typeof value === 'object' ? Object.values(value) : [];
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === '') return true;
  return typeof value === 'object' && itemsOf(value).length === 0;
}

function print(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function invalid(template: string, why: string): TsbuildError {
  return new TsbuildError({
    code: 'flag-invalid',
    message: `--format ${JSON.stringify(template)}: ${why}`,
    hint: 'Write json, or fields such as {{.ID}} {{.Size}}; see docs/cli.md.',
  });
}
