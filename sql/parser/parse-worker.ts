/**
 * Parses long texts on a thread of its own and hands the tree over in portions, each when it is
 * asked for: a tree of 100,000 rows arriving at once would stop the asking thread for a second.
 */
import { DatabaseError } from '../../engine/errors.js';
import { workerContext } from '../../engine/runtime-node.js';
import type { FromParser, LongText, ParsedInWorker, StatementInWorker, ToParser } from './parse-protocol.js';
import { loadParser, parse, parserReady } from './parse.js';

/** Rows of VALUES in a portion, and about how much text. */
const PORTION_ROWS = 200;
const PORTION_TEXT = 64 << 10;
/** Longer string constants travel as bytes of their own. */
const LONG_TEXT = 1 << 20;

const context = workerContext<null, ToParser, FromParser>();
/** Rows not asked for yet, by request and statement. */
const waiting = new Map<number, unknown[][]>();
const encoder = new TextEncoder();

type Tree = { [key: string]: unknown };

function serve(message: ToParser): void {
  if (message.kind === 'parse') {
    try {
      context.post({ kind: 'parsed', id: message.id, parsed: prepare(message.id, message.sql) });
    } catch (error) {
      const { sqlstate, message: text, position, hint }: DatabaseError = error instanceof DatabaseError ? error : new DatabaseError('XX000', String(error));
      context.post({ kind: 'error', id: message.id, sqlstate, message: text, position, hint });
    }
    return;
  }
  const lists = waiting.get(message.id);
  const rows = lists?.[message.statement]?.splice(0, message.rows) ?? [];
  if (lists && lists.every((list) => list.length === 0)) waiting.delete(message.id);
  context.post({ kind: 'rows', id: message.id, rows, texts: takeLongTexts(rows) });
}

function prepare(id: number, sql: string): ParsedInWorker {
  const { statements } = parse(sql);
  const lists: unknown[][] = [];
  const out: StatementInWorker[] = statements.map(({ node, location, text }, i) => {
    const select = valuesOf(node as unknown as Tree);
    const rows = select ? (select.valuesLists as unknown[]) : [];
    lists[i] = [];
    if (rows.length <= PORTION_ROWS) return { node, location, textLength: text.length, rows: 0, portion: 0, plain: false };
    lists[i] = rows;
    select!.valuesLists = [];
    const portion = Math.max(1, Math.min(PORTION_ROWS, Math.floor((PORTION_TEXT * rows.length) / text.length)));
    return { node, location, textLength: text.length, rows: rows.length, portion, plain: rows.every(isPlain) };
  });
  if (lists.some((list) => list.length > 0)) waiting.set(id, lists);
  return { statements: out, texts: takeLongTexts(out) };
}

/** The VALUES of an INSERT. */
function valuesOf(node: Tree): Tree | undefined {
  const insert = node.InsertStmt as Tree | undefined;
  const select = (insert?.selectStmt as Tree | undefined)?.SelectStmt as Tree | undefined;
  return select && Array.isArray(select.valuesLists) ? select : undefined;
}

/** Only constants, casts, operators and DEFAULT: what a row says does not depend on what the rows before did. */
function isPlain(node: unknown): boolean {
  if (Array.isArray(node)) return node.every(isPlain);
  if (typeof node !== 'object' || node === null) return true;
  for (const [key, value] of Object.entries(node)) if (key === 'SubLink' || key === 'FuncCall' || key === 'ParamRef' || !isPlain(value)) return false;
  return true;
}

/** Takes long strings out of a tree: they would be copied again and again on the way. */
function takeLongTexts(tree: unknown): LongText[] {
  const texts: LongText[] = [];
  const path: (string | number)[] = [];
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return;
    for (const [key, value] of Object.entries(node)) {
      path.push(key);
      if (typeof value === 'string' && value.length > LONG_TEXT) {
        texts.push({ path: [...path], bytes: encoder.encode(value) });
        (node as { [key: string]: unknown })[key] = '';
      } else visit(value);
      path.pop();
    }
  };
  visit(tree);
  return texts;
}

await loadParser();
context.onMessage((message) => void Promise.resolve(parserReady()).then(() => serve(message)));
context.post({ kind: 'ready' });
