/**
 * The only door to pg-query-emscripten (PostgreSQL 16's grammar in WebAssembly).
 *
 * Four traps of the library are closed here:
 *  - ALLOC_STACK = 0 right after an instance is made, or 64 KB of SQL in total corrupt its memory;
 *  - any exception that is not a parse error means a poisoned instance (stack overflow by deep
 *    nesting): it is thrown away, the spare takes over, the statement gets 54001;
 *  - negative integer constants come out as 0 (`"ival":{}`): they are read from the text again;
 *  - locations in the tree are bytes of UTF-8, error positions characters: `SourceText` converts.
 */
import type { Node } from '@pgsql/types';
import PgQuery, { type PgQueryModule } from 'pg-query-emscripten/pg_query_wasm.js';
import { DatabaseError } from '../../engine/errors.js';

export interface RawStatement {
  readonly node: Node;
  /** Byte offset of the statement in the whole text, and its text without the separators. */
  readonly location: number;
  readonly text: string;
}

export interface ParsedText {
  readonly source: SourceText;
  readonly statements: readonly RawStatement[];
}

/** A statement text that can turn the parser's byte offsets into PostgreSQL's character positions. */
export class SourceText {
  readonly #ascii: boolean;
  #bytes: Buffer | null = null;

  constructor(readonly text: string) {
    this.#ascii = isAscii(text);
  }

  /** 1-based position in characters for a 0-based byte offset; undefined when it is unknown (-1). */
  position(byteOffset: number): number | undefined {
    if (byteOffset < 0) return undefined;
    if (this.#ascii) return byteOffset + 1;
    let characters = 0;
    const bytes = this.#encoded();
    for (let i = 0; i < byteOffset && i < bytes.length; i++) if ((bytes[i] & 0xc0) !== 0x80) characters++;
    return characters + 1;
  }

  /** Text between two byte offsets. */
  slice(from: number, to: number): string {
    return this.#ascii ? this.text.slice(from, to) : this.#encoded().toString('utf8', from, to);
  }

  get byteLength(): number {
    return this.#ascii ? this.text.length : this.#encoded().length;
  }

  #encoded(): Buffer {
    return (this.#bytes ??= Buffer.from(this.text, 'utf8'));
  }
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return false;
  return true;
}

/** Messages of the scanner and grammar that carry a SQLSTATE other than 42601. */
const OTHER_SQLSTATES: readonly (readonly [RegExp, string])[] = [
  [/not (yet )?(implemented|supported)/, '0A000'],
  [/^invalid Unicode (escape|surrogate)/, '22025'],
  [/^frame (start|end)/, '42P20'],
  [/invalid byte sequence/, '22021'],
  [/^(multiple|conflicting) .* options?|^conflicting or redundant/, '42601'],
];

let current: PgQueryModule | null = null;
let spare: Promise<PgQueryModule> | null = null;

async function makeInstance(): Promise<PgQueryModule> {
  const instance = await new PgQuery();
  instance.ALLOC_STACK = 0;
  return instance;
}

/** Loads the grammar; await once before the first parse(). */
export async function loadParser(): Promise<void> {
  if (current) return;
  current = await makeInstance();
  spare = makeInstance();
  void spare.then((instance) => (ready = instance));
}

let ready: PgQueryModule | null = null;

/** After a poisoned instance: the spare takes over at once and a new spare is made in the background. */
function replaceInstance(): void {
  current = ready;
  ready = null;
  spare = makeInstance();
  void spare.then((instance) => {
    if (current === null) {
      current = instance;
      void makeInstance().then((next) => (ready = next));
    } else ready = instance;
  });
}

/** The wait until an instance is there again, after several poisoned ones in a row; undefined when there is one. */
export function parserReady(): Promise<void> | undefined {
  return current === null ? whenReady() : undefined;
}

async function whenReady(): Promise<void> {
  while (current === null) await (spare ?? loadParser());
}

/**
 * Parses a text of any number of statements. Raises 42601 with the position, or 54001 when the
 * grammar's stack overflows.
 */
export function parse(sql: string): ParsedText {
  const source = new SourceText(sql);
  if (current === null) throw new DatabaseError('57P03', 'the parser is starting up');
  const nul = sql.indexOf('\0');
  if (nul >= 0) throw new DatabaseError('22021', 'invalid byte sequence for encoding "UTF8": 0x00');
  let answer: ReturnType<PgQueryModule['parse']>;
  try {
    answer = current.parse(sql);
  } catch (fault) {
    replaceInstance();
    throw new DatabaseError('54001', 'stack depth limit exceeded', {
      hint: 'The statement nests deeper than the parser can follow.',
      cause: fault,
    });
  }
  if (answer.error) {
    const { message, cursorpos } = answer.error;
    const sqlstate = OTHER_SQLSTATES.find(([pattern]) => pattern.test(message))?.[1] ?? '42601';
    throw new DatabaseError(sqlstate, message, { position: cursorpos > 0 ? cursorpos : undefined });
  }
  const statements: RawStatement[] = [];
  for (const raw of answer.parse_tree.stmts ?? []) {
    if (!raw.stmt) continue;
    const start = raw.stmt_location ?? 0;
    const end = raw.stmt_len ? start + raw.stmt_len : source.byteLength;
    if (MAYBE_NEGATIVE.test(sql)) restoreNegatives(raw.stmt, source);
    statements.push({ node: raw.stmt as Node, location: start, text: source.slice(start, end).trim() });
  }
  return { source, statements };
}

/** A minus with a digit after it, maybe with space or a comment between. */
const MAYBE_NEGATIVE = /-(?:\s|\/\*)*(?:--[^\n]*\n\s*)*\d/;
const NEGATIVE_CONSTANT = /^-(?:\s+|--[^\n]*\n|\/\*[\s\S]*?\*\/)*(\d[\d_]*|0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+)/;
const NEGATIVE_OPTION = /^\s*\w+(?:\s+(?:by|with|to))?\s*=?\s*-\s*(\d[\d_]*)/i;

/** Puts back the integers below zero that the library's JSON leaves out. */
function restoreNegatives(node: unknown, source: SourceText): void {
  if (Array.isArray(node)) {
    for (const item of node) restoreNegatives(item, source);
    return;
  }
  if (typeof node !== 'object' || node === null) return;
  const { ival, defname, arg, location = 0 } = node as { ival?: { ival?: number }; defname?: string; arg?: { Integer?: { ival?: number } }; location?: number };
  if (typeof ival === 'object' && ival.ival === undefined) {
    const match = NEGATIVE_CONSTANT.exec(source.slice(location, location + 200));
    if (match) ival.ival = -Number(match[1].replaceAll('_', ''));
    return;
  }
  if (defname !== undefined && arg?.Integer && arg.Integer.ival === undefined) {
    const match = NEGATIVE_OPTION.exec(source.slice(location, location + 200));
    if (match) arg.Integer.ival = -Number(match[1].replaceAll('_', ''));
    return;
  }
  for (const child of Object.values(node)) restoreNegatives(child, source);
}

/** Parses one expression, e.g. a column default kept as text. */
export function parseExpression(text: string): Node {
  const { statements } = parse(`SELECT ${text}`);
  const select = statements[0].node as { SelectStmt: { targetList?: Node[] } };
  const target = select.SelectStmt.targetList?.[0] as { ResTarget: { val: Node } } | undefined;
  if (statements.length !== 1 || !target) throw new DatabaseError('42601', `syntax error in expression "${text}"`);
  return target.ResTarget.val;
}

/** The tag of an AST node: the one key of its wrapper object. */
export function nodeTag(node: Node): string {
  for (const tag in node) return tag;
  throw new DatabaseError('XX000', 'empty parse node');
}
