/** jsonpath: lexer, parser, printer and the type. Evaluation is in sql/functions/jsonpath-evaluate.ts. */
import { DatabaseError } from '../../engine/errors.js';
import type { DataType } from './data-type.js';
import { quoteJson } from './json.js';
import { Numeric } from './numeric.js';
import { decodeUtf8, decodeUtf8Checked, encodeUtf8 } from './utf8.js';

export type Comparison = '==' | '!=' | '<' | '<=' | '>' | '>=';
export type Arithmetic = '+' | '-' | '*' | '/' | '%';

/** One step behind a primary. */
export type Accessor =
  | { readonly kind: 'key'; readonly name: string }
  | { readonly kind: 'anyKey' }
  | { readonly kind: 'anyArray' }
  | { readonly kind: 'recursive'; readonly from: number; readonly to: number }
  | { readonly kind: 'index'; readonly subscripts: readonly { readonly from: PathNode; readonly to: PathNode | null }[] }
  | { readonly kind: 'filter'; readonly predicate: PathNode }
  | { readonly kind: 'method'; readonly name: string };

export type PathNode =
  | { readonly kind: 'root' | 'current' | 'last' }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'constant'; readonly value: null | boolean | string | Numeric }
  | { readonly kind: 'chain'; readonly base: PathNode; readonly accessors: readonly Accessor[] }
  | { readonly kind: 'arithmetic'; readonly op: Arithmetic; readonly left: PathNode; readonly right: PathNode }
  | { readonly kind: 'unary'; readonly op: '+' | '-'; readonly arg: PathNode }
  | { readonly kind: 'comparison'; readonly op: Comparison; readonly left: PathNode; readonly right: PathNode }
  | { readonly kind: 'and' | 'or'; readonly left: PathNode; readonly right: PathNode }
  | { readonly kind: 'not' | 'isUnknown' | 'exists'; readonly arg: PathNode }
  | { readonly kind: 'startsWith'; readonly left: PathNode; readonly right: PathNode }
  | { readonly kind: 'likeRegex'; readonly arg: PathNode; readonly pattern: string; readonly flags: string };

export class JsonPath {
  constructor(readonly lax: boolean, readonly root: PathNode) {}
}

interface Token {
  readonly kind: 'word' | 'string' | 'number' | 'variable' | 'operator' | 'end';
  readonly text: string;
}

const OPERATORS = ['**', '&&', '||', '==', '!=', '<>', '<=', '>=', '<', '>', '!', '+', '-', '*', '/', '%', '(', ')', '[', ']', '{', '}', '.', ',', '?', '@', '$'];

function lex(text: string): Token[] {
  const tokens: Token[] = [];
  const bad = (what: string): DatabaseError => new DatabaseError('42601', what === '' ? 'syntax error at end of jsonpath input' : `syntax error at or near "${what}" of jsonpath input`);
  for (let p = 0; p < text.length;) {
    const rest = text.slice(p);
    const blank = /^(?:\s+|\/\*[\s\S]*?\*\/)/.exec(rest);
    if (blank) {
      p += blank[0].length;
      continue;
    }
    const number = /^(?:0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+|(?:\d(?:_?\d)*)?\.?\d(?:_?\d)*(?:[eE][+-]?\d+)?|\d+\.(?![\w.*"$(]))/.exec(rest);
    if (number && /^(\d|\.\d)/.test(rest)) {
      tokens.push({ kind: 'number', text: number[0] });
      p += number[0].length;
      if (/^[A-Za-z_]/.test(text.slice(p))) throw new DatabaseError('42601', `trailing junk after numeric literal at or near "${number[0]}${text[p]}" of jsonpath input`);
      continue;
    }
    const quoted = /^(\$?)"((?:[^"\\]|\\[\s\S])*)"/.exec(rest);
    if (quoted) {
      tokens.push({ kind: quoted[1] ? 'variable' : 'string', text: unescape(quoted[2]!) });
      p += quoted[0].length;
      continue;
    }
    if (rest.startsWith('"')) throw new DatabaseError('42601', `unterminated quoted string at end of jsonpath input`);
    const word = /^(\$?)((?:[A-Za-z_\u0080-\uffff]|\\[\s\S])(?:[\w$\u0080-\uffff]|\\[\s\S])*)/.exec(rest);
    if (word) {
      tokens.push({ kind: word[1] ? 'variable' : 'word', text: unescape(word[2]!) });
      p += word[0].length;
      continue;
    }
    const operator = OPERATORS.find((op) => rest.startsWith(op));
    if (operator === undefined) throw bad(rest[0]!);
    tokens.push({ kind: 'operator', text: operator });
    p += operator.length;
  }
  tokens.push({ kind: 'end', text: '' });
  return tokens;
}

function unescape(text: string): string {
  return text.replace(/\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([\s\S]))/g, (_all, braced?: string, four?: string, two?: string, one?: string) => {
    const hex = braced ?? four ?? two;
    if (hex !== undefined) return String.fromCodePoint(parseInt(hex, 16));
    return { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }[one!] ?? one!;
  });
}

const METHODS = new Set(['type', 'size', 'abs', 'floor', 'ceiling', 'double', 'keyvalue', 'datetime']);

class Parser {
  private position = 0;
  private readonly tokens: Token[];
  constructor(text: string) {
    this.tokens = lex(text);
  }

  private get token(): Token {
    return this.tokens[this.position]!;
  }
  private failure(): DatabaseError {
    return new DatabaseError('42601', this.token.kind === 'end' ? 'syntax error at end of jsonpath input' : `syntax error at or near "${this.token.text}" of jsonpath input`);
  }
  private isOperator(text: string): boolean {
    return this.token.kind === 'operator' && this.token.text === text;
  }
  private isWord(text: string): boolean {
    return this.token.kind === 'word' && this.token.text.toLowerCase() === text;
  }
  private accept(text: string): boolean {
    if (!this.isOperator(text)) return false;
    this.position++;
    return true;
  }
  private expect(text: string): void {
    if (!this.accept(text)) throw this.failure();
  }

  parse(): JsonPath {
    let lax = true;
    if (this.isWord('strict') || this.isWord('lax')) {
      lax = this.isWord('lax');
      this.position++;
    }
    const root = this.or();
    if (this.token.kind !== 'end') throw this.failure();
    return new JsonPath(lax, root);
  }

  private or(): PathNode {
    let left = this.and();
    while (this.accept('||')) left = { kind: 'or', left, right: this.and() };
    return left;
  }
  private and(): PathNode {
    let left = this.comparison();
    while (this.accept('&&')) left = { kind: 'and', left, right: this.comparison() };
    return left;
  }

  private comparison(): PathNode {
    if (this.accept('!')) {
      if (this.isWord('exists')) return { kind: 'not', arg: this.comparison() };
      this.expect('(');
      const arg = this.or();
      this.expect(')');
      return { kind: 'not', arg };
    }
    if (this.isWord('exists')) {
      this.position++;
      this.expect('(');
      const arg = this.or();
      this.expect(')');
      return { kind: 'exists', arg };
    }
    const left = this.additive();
    for (const op of ['==', '!=', '<>', '<=', '>=', '<', '>'] as const) {
      if (this.accept(op)) return { kind: 'comparison', op: op === '<>' ? '!=' : op, left, right: this.additive() };
    }
    if (this.isWord('starts')) {
      this.position++;
      if (!this.isWord('with')) throw this.failure();
      this.position++;
      const { token } = this;
      if (token.kind !== 'string' && token.kind !== 'variable') throw this.failure();
      this.position++;
      return { kind: 'startsWith', left, right: token.kind === 'string' ? { kind: 'constant', value: token.text } : { kind: 'variable', name: token.text } };
    }
    if (this.isWord('like_regex')) {
      this.position++;
      const pattern = this.string();
      let flags = '';
      if (this.isWord('flag')) {
        this.position++;
        flags = this.string();
        const bad = /[^ismxq]/.exec(flags);
        if (bad) throw new DatabaseError('42601', 'invalid input syntax for type jsonpath', { detail: `Unrecognized flag character "${bad[0]}" in LIKE_REGEX predicate.` });
      }
      return { kind: 'likeRegex', arg: left, pattern, flags };
    }
    if (this.isWord('is')) {
      this.position++;
      if (!this.isWord('unknown')) throw this.failure();
      this.position++;
      return { kind: 'isUnknown', arg: left };
    }
    return left;
  }

  private string(): string {
    if (this.token.kind !== 'string') throw this.failure();
    return this.tokens[this.position++]!.text;
  }

  private additive(): PathNode {
    let left = this.multiplicative();
    for (;;) {
      if (this.accept('+')) left = { kind: 'arithmetic', op: '+', left, right: this.multiplicative() };
      else if (this.accept('-')) left = { kind: 'arithmetic', op: '-', left, right: this.multiplicative() };
      else return left;
    }
  }
  private multiplicative(): PathNode {
    let left = this.unary();
    for (;;) {
      const op = (['*', '/', '%'] as const).find((candidate) => this.isOperator(candidate));
      if (!op) return left;
      this.position++;
      left = { kind: 'arithmetic', op, left, right: this.unary() };
    }
  }
  private unary(): PathNode {
    for (const op of ['+', '-'] as const) {
      if (this.accept(op)) {
        const arg = this.unary();
        if (arg.kind === 'constant' && arg.value instanceof Numeric) return op === '-' ? { kind: 'constant', value: arg.value.negate() } : arg;
        return { kind: 'unary', op, arg };
      }
    }
    return this.postfix();
  }

  private primary(): PathNode {
    const { token } = this;
    this.position++;
    switch (token.kind) {
      case 'string': return { kind: 'constant', value: token.text };
      case 'variable': return { kind: 'variable', name: token.text };
      case 'number': {
        const value = /^0[xob]/i.test(token.text) ? Numeric.fromBig(BigInt(token.text), 0) : Numeric.parse(token.text.replace(/\.$/, ''));
        if (value) return { kind: 'constant', value };
        break;
      }
      case 'word':
        switch (token.text) {
          case 'null': return { kind: 'constant', value: null };
          case 'true': return { kind: 'constant', value: true };
          case 'false': return { kind: 'constant', value: false };
          case 'last': return { kind: 'last' };
          default:
        }
        break;
      case 'operator':
        if (token.text === '$') return { kind: 'root' };
        if (token.text === '@') return { kind: 'current' };
        if (token.text === '(') {
          const inner = this.or();
          this.expect(')');
          return inner;
        }
        break;
      default:
    }
    this.position--;
    throw this.failure();
  }

  private postfix(): PathNode {
    const base = this.primary();
    const accessors: Accessor[] = [];
    for (;;) {
      if (this.accept('.')) accessors.push(this.member());
      else if (this.accept('[')) {
        if (this.accept('*')) accessors.push({ kind: 'anyArray' });
        else {
          const subscripts: { from: PathNode; to: PathNode | null }[] = [];
          do {
            const from = this.additive();
            let to: PathNode | null = null;
            if (this.isWord('to')) {
              this.position++;
              to = this.additive();
            }
            subscripts.push({ from, to });
          } while (this.accept(','));
          accessors.push({ kind: 'index', subscripts });
        }
        this.expect(']');
      } else if (this.accept('?')) {
        this.expect('(');
        accessors.push({ kind: 'filter', predicate: this.or() });
        this.expect(')');
      } else break;
    }
    return accessors.length === 0 ? base : { kind: 'chain', base, accessors };
  }

  private member(): Accessor {
    if (this.accept('*')) return { kind: 'anyKey' };
    if (this.accept('**')) {
      if (!this.accept('{')) return { kind: 'recursive', from: 0, to: Infinity };
      const level = (): number => {
        if (this.isWord('last')) {
          this.position++;
          return Infinity;
        }
        if (this.token.kind !== 'number') throw this.failure();
        return Number(this.tokens[this.position++]!.text);
      };
      const from = level();
      let to = from;
      if (this.isWord('to')) {
        this.position++;
        to = level();
      }
      this.expect('}');
      return { kind: 'recursive', from, to };
    }
    const { token } = this;
    if (token.kind !== 'word' && token.kind !== 'string') throw this.failure();
    this.position++;
    if (token.kind === 'word' && this.isOperator('(') && METHODS.has(token.text)) {
      this.expect('(');
      if (token.text === 'datetime' && this.token.kind === 'string') this.position++;
      this.expect(')');
      return { kind: 'method', name: token.text };
    }
    return { kind: 'key', name: token.text };
  }
}

export function parseJsonPath(text: string): JsonPath {
  if (text.trim() === '') throw new DatabaseError('22P02', `invalid input syntax for type jsonpath: "${text}"`);
  return new Parser(text).parse();
}

// ---- printing ------------------------------------------------------------------------------------

function priority(node: PathNode): number {
  switch (node.kind) {
    case 'or': return 0;
    case 'and': return 1;
    case 'comparison': case 'startsWith': return 2;
    case 'arithmetic': return node.op === '+' || node.op === '-' ? 3 : 4;
    case 'unary': return 5;
    default: return 6;
  }
}

function printAccessor(accessor: Accessor): string {
  switch (accessor.kind) {
    case 'key': return `.${quoteJson(accessor.name)}`;
    case 'anyKey': return '.*';
    case 'anyArray': return '[*]';
    case 'recursive': {
      if (accessor.from === 0 && accessor.to === Infinity) return '.**';
      const level = (value: number): string => (value === Infinity ? 'last' : String(value));
      return accessor.from === accessor.to ? `.**{${level(accessor.from)}}` : `.**{${level(accessor.from)} to ${level(accessor.to)}}`;
    }
    case 'index': return `[${accessor.subscripts.map(({ from, to }) => print(from, false) + (to ? ` to ${print(to, false)}` : '')).join(',')}]`;
    case 'filter': return `?(${print(accessor.predicate, false)})`;
    case 'method': return `.${accessor.name}()`;
  }
}

function print(node: PathNode, brackets: boolean): string {
  const wrap = (text: string): string => (brackets ? `(${text})` : text);
  const side = (child: PathNode): string => print(child, priority(child) <= priority(node));
  switch (node.kind) {
    case 'root': return '$';
    case 'current': return '@';
    case 'last': return 'last';
    case 'variable': return `$${quoteJson(node.name)}`;
    case 'constant': return typeof node.value === 'string' ? quoteJson(node.value) : String(node.value);
    case 'chain': {
      const simple = node.base.kind === 'root' || node.base.kind === 'current' || node.base.kind === 'variable' || node.base.kind === 'last' || (node.base.kind === 'constant' && !(node.base.value instanceof Numeric));
      return (simple ? print(node.base, false) : `(${print(node.base, false)})`) + node.accessors.map(printAccessor).join('');
    }
    case 'arithmetic': case 'comparison': return wrap(`${side(node.left)} ${node.op} ${side(node.right)}`);
    case 'and': return wrap(`${side(node.left)} && ${side(node.right)}`);
    case 'or': return wrap(`${side(node.left)} || ${side(node.right)}`);
    case 'unary': return wrap(`${node.op}${side(node.arg)}`);
    case 'not': return `!(${print(node.arg, false)})`;
    case 'isUnknown': return `(${print(node.arg, false)}) is unknown`;
    case 'exists': return `exists (${print(node.arg, false)})`;
    case 'startsWith': return wrap(`${side(node.left)} starts with ${side(node.right)}`);
    case 'likeRegex': return wrap(`${side(node.arg)} like_regex ${quoteJson(node.pattern)}${node.flags ? ` flag ${quoteJson(node.flags)}` : ''}`);
  }
}

export function printJsonPath(path: JsonPath): string {
  return (path.lax ? '' : 'strict ') + print(path.root, true);
}

export const jsonpathType: DataType = {
  name: 'jsonpath',
  vector: 'any',
  input: parseJsonPath,
  output: (value) => printJsonPath(value as JsonPath),
  receive(bytes) {
    if (bytes[0] !== 1) throw new DatabaseError('XX000', `unsupported jsonpath version number: ${bytes[0] ?? 0}`);
    return parseJsonPath(decodeUtf8Checked(bytes.subarray(1)));
  },
  send(value) {
    const text = encodeUtf8(printJsonPath(value as JsonPath));
    const out = new Uint8Array(text.length + 1);
    out[0] = 1;
    out.set(text, 1);
    return out;
  },
  row: { width: 0, encode: (value: JsonPath) => printJsonPath(value), decode: (bytes) => parseJsonPath(decodeUtf8(bytes)) },
};
