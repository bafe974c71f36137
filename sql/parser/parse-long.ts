/**
 * Texts too long to be parsed between two turns of the event loop: a thread parses them, and the
 * rows of long VALUES lists come over in portions. The thread is started with the first such text and
 * ends when there was none for a while.
 */
import type { Node } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import { compiledModule } from '../../engine/runtime-node.js';
import type { Runtime, Thread } from '../../engine/runtime.js';
import { turn } from '../../engine/turns.js';
import { TextAssembler } from '../types/large-text.js';
import { decodeUtf8 } from '../types/utf8.js';
import type { FromParser, LongText, ToParser } from './parse-protocol.js';
import { SourceText, type ParsedText, type RawStatement } from './parse.js';

/** Longer texts (UTF-16 units) go to the thread. */
export const LONG_SQL = 256 << 10;
const IDLE_MS = 20_000;
const SLICE = 1 << 20;

/** An INSERT whose rows are still with the parser's thread. */
export interface ValuesInPortions {
  readonly plain: boolean;
  /** The statement's node with the next rows in it; null: no more. */
  next(): Promise<Node | null>;
  /** The statement's node with all rows that are left. */
  rest(): Promise<Node>;
}

export interface ParsedLongText extends ParsedText {
  /** By statement. */
  readonly portions: readonly (ValuesInPortions | null)[];
}


export class LongTextParser {
  private thread: Thread | null = null;
  private nextId = 1;
  private readonly answers = new Map<number, { resolve(message: FromParser): void; reject(error: unknown): void }>();
  private stopIdle: (() => void) | null = null;

  constructor(private readonly runtime: Runtime) {}

  async parse(sql: string): Promise<ParsedLongText> {
    if (sql.includes('\0')) throw new DatabaseError('22021', 'invalid byte sequence for encoding "UTF8": 0x00');
    const id = this.nextId++;
    const answer = await this.ask(id, { kind: 'parse', id, sql });
    if (answer.kind !== 'parsed') throw new DatabaseError('XX000', 'unexpected answer of the parser');
    const { parsed } = answer;
    await putBack(parsed.statements, parsed.texts);
    const source = new SourceText(sql);
    const statements = parsed.statements.map((statement): RawStatement => ({
      node: statement.node, location: statement.location, text: source.slice(statement.location, statement.location + 4 * statement.textLength + 1000).trim().slice(0, statement.textLength),
    }));
    return { source, statements, portions: parsed.statements.map((statement, i) => (statement.rows > 0 ? this.portions(id, i, statement) : null)) };
  }

  private portions(id: number, statement: number, { node, rows, portion, plain }: { node: Node; rows: number; portion: number; plain: boolean }): ValuesInPortions {
    let left = rows;
    const take = async (count: number): Promise<unknown[]> => {
      const answer = await this.ask(id, { kind: 'rows', id, statement, rows: count });
      if (answer.kind !== 'rows') throw new DatabaseError('XX000', 'unexpected answer of the parser');
      await putBack(answer.rows, answer.texts);
      left -= answer.rows.length;
      return [...answer.rows];
    };
    return {
      plain,
      next: async () => (left > 0 ? withRows(node, await take(Math.min(left, portion))) : null),
      rest: async () => {
        const all: unknown[] = [];
        while (left > 0) {
          for (const row of await take(portion)) all.push(row);
          await turn();
        }
        return withRows(node, all);
      },
    };
  }

  private ask(id: number, message: ToParser): Promise<FromParser> {
    const thread = this.running();
    return new Promise((resolve, reject) => {
      this.answers.set(id, { resolve, reject });
      thread.post(message);
    });
  }

  private running(): Thread {
    this.stopIdle?.();
    this.stopIdle = this.runtime.clock.after(IDLE_MS, () => this.stop());
    if (this.thread) return this.thread;
    const thread = this.runtime.threads.start(compiledModule('sql/parser/parse-worker.js', import.meta.url), null);
    this.thread = thread;
    thread.onMessage((message) => {
      const answer = message as FromParser;
      if (answer.kind === 'ready') return;
      const waiting = this.answers.get(answer.id);
      this.answers.delete(answer.id);
      if (answer.kind === 'error') waiting?.reject(new DatabaseError(answer.sqlstate, answer.message, { position: answer.position, hint: answer.hint }));
      else waiting?.resolve(answer);
    });
    thread.onExit(() => {
      if (this.thread === thread) this.thread = null;
      for (const { reject } of this.answers.values()) reject(new DatabaseError('54001', 'stack depth limit exceeded', { hint: 'The parser ended over this statement.' }));
      this.answers.clear();
    });
    return thread;
  }

  /** Ends the thread unless somebody waits for it. */
  private stop(): void {
    if (this.answers.size > 0) {
      this.stopIdle = this.runtime.clock.after(IDLE_MS, () => this.stop());
      return;
    }
    const { thread } = this;
    this.thread = null;
    void thread?.terminate();
  }
}

/** Puts long constants back into the tree, decoded in slices. */
async function putBack(tree: unknown, texts: readonly LongText[]): Promise<void> {
  for (const { path, bytes } of texts) {
    const assembler = new TextAssembler(decodeUtf8);
    for (let at = 0; at < bytes.length; at += SLICE) {
      assembler.add(bytes.subarray(at, at + SLICE));
      await turn();
    }
    let node = tree as { [key: string | number]: unknown };
    // The tree is what the worker walked, where statements stand in a list.
    for (const key of path.slice(0, -1)) node = node[key] as typeof node;
    node[path.at(-1)!] = assembler.finish();
  }
}

function withRows(node: Node, rows: readonly unknown[]): Node {
  const { InsertStmt: insert } = node as unknown as { InsertStmt: { selectStmt: { SelectStmt: object } } };
  return { InsertStmt: { ...insert, selectStmt: { SelectStmt: { ...insert.selectStmt.SelectStmt, valuesLists: rows } } } } as unknown as Node;
}
