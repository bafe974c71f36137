/** COPY FROM STDIN: rows from the client's stream into a table. */
import { DatabaseError } from '../../engine/errors.js';
import type { Pending } from '../../engine/pending.js';
import { Pending as PendingClass } from '../../engine/pending.js';
import type { Attribute, Relation } from '../catalog/catalog.js';
import { columnDefault } from '../analyzer/dml.js';
import { makeEnvironment } from '../analyzer/analyze.js';
import { ParseState } from '../analyzer/parse-state.js';
import { compileExpression, type RowExpression } from '../executor/compile-expression.js';
import { ConstraintEvents, newWriter } from '../executor/constraints/row-writer.js';
import { relationChecks } from '../executor/relation-checks.js';
import type { EvalContext } from '../functions/context.js';
import { SourceText } from '../parser/parse.js';
import type { Datum } from '../types/datum.js';
import type { CopyInStream } from '../session/sink.js';
import { BinaryParser } from './binary-tuples.js';
import { csvFields, CsvParser } from './csv-records.js';
import type { CopyOptions } from './options.js';
import { LineSplitter, splitTextLine, type CopyField } from './text-lines.js';

export interface CopyInHost {
  readonly context: EvalContext;
  wait(pending: Pending): Promise<void>;
  /** Throws when cancelled; gives others a turn now and then. */
  breathe(): Promise<void> | undefined;
}

/** Loads all rows; answers how many. `where` filters them. */
export async function copyIn(relation: Relation, columns: readonly Attribute[], options: CopyOptions, where: RowExpression | null, stream: CopyInStream, host: CopyInHost): Promise<number> {
  const loader = new RowLoader(relation, columns, options, where, host);
  const reader = options.format === 'binary' ? binaryReader(loader) : options.format === 'csv' ? csvReader(loader, columns, options) : textReader(loader, columns, options);
  for (;;) {
    const chunk = await stream.next();
    if (chunk === null) break;
    await reader.push(chunk);
  }
  await reader.finish();
  return loader.count;
}

interface Reader {
  push(chunk: Uint8Array): Promise<void>;
  finish(): Promise<void>;
}

function textReader(loader: RowLoader, columns: readonly Attribute[], options: CopyOptions): Reader {
  const splitter = new LineSplitter();
  let headerSeen = options.header === 'none';
  const take = async (lines: readonly string[]): Promise<void> => {
    for (const line of lines) {
      loader.line++;
      loader.lineText = line;
      const fields = loader.located(() => splitTextLine(line, options));
      if (!headerSeen) {
        headerSeen = true;
        if (options.header === 'match') checkHeader(fields, columns);
        continue;
      }
      const wait = loader.addText(fields);
      if (wait) await wait;
    }
  };
  return { push: (chunk) => take(loader.located(() => splitter.push(chunk))), finish: () => take(splitter.finish()) };
}

function csvReader(loader: RowLoader, columns: readonly Attribute[], options: CopyOptions): Reader {
  const parser = new CsvParser(options);
  const names = columns.map((column) => column.attname);
  let headerSeen = options.header === 'none';
  const take = async (records: ReturnType<CsvParser['push']>): Promise<void> => {
    for (const record of records) {
      loader.line++;
      loader.lineText = record.map((field) => field.text).join(options.delimiter);
      if (!headerSeen) {
        headerSeen = true;
        if (options.header === 'match') checkHeader(record.map((field) => field.text), columns);
        continue;
      }
      const wait = loader.addText(csvFields(record, names, options));
      if (wait) await wait;
    }
  };
  return { push: (chunk) => take(parser.push(chunk)), finish: () => take(loader.located(() => parser.finish())) };
}

function binaryReader(loader: RowLoader): Reader {
  const parser = new BinaryParser();
  return {
    push: async (chunk) => {
      for (const tuple of loader.located(() => parser.push(chunk))) {
        loader.line++;
        const wait = loader.addBinary(tuple);
        if (wait) await wait;
      }
    },
    finish: async () => parser.finish(),
  };
}

function checkHeader(fields: readonly CopyField[], columns: readonly Attribute[]): void {
  if (fields.length !== columns.length) throw new DatabaseError('22P04', `wrong number of fields in header line: got ${fields.length}, expected ${columns.length}`);
  columns.forEach((column, i) => {
    if (fields[i] === null || fields[i] === undefined) throw new DatabaseError('22P04', `column name mismatch in header line field ${i + 1}: got null value ("\\N"), expected "${column.attname}"`);
    if (fields[i] !== column.attname) throw new DatabaseError('22P04', `column name mismatch in header line field ${i + 1}: got "${fields[i]}", expected "${column.attname}"`);
  });
}

type Input = (text: string) => Datum;

class RowLoader {
  count = 0;
  line = 0;
  lineText = '';
  readonly #inputs: readonly Input[];
  readonly #defaults: readonly (RowExpression | null)[];
  readonly #checks;
  readonly #writer;
  readonly #events: ConstraintEvents;
  readonly #width: number;
  readonly #omitted: readonly number[];

  constructor(private readonly relation: Relation, private readonly columns: readonly Attribute[], private readonly options: CopyOptions, private readonly where: RowExpression | null, private readonly host: CopyInHost) {
    const { context } = host;
    this.#inputs = columns.map((column) => {
      const type = context.catalog.dataType(column.atttypid);
      return (text) => type.input(text, column.atttypmod, context);
    });
    const state = new ParseState(makeEnvironment({ catalog: context.catalog, context, source: new SourceText('') }), null);
    this.#defaults = relation.attributes.map((attribute) => {
      if (attribute.attisdropped || attribute.attgenerated !== '') return null;
      const expr = columnDefault(state, relation, attribute);
      return expr ? compileExpression(expr, context.catalog) : null;
    });
    this.#omitted = relation.attributes.filter((attribute) => !attribute.attisdropped && !columns.includes(attribute)).map((attribute) => attribute.attnum - 1);
    this.#width = relation.attributes.length;
    this.#checks = relationChecks(relation, context.catalog, context);
    this.#writer = newWriter(relation, context.transaction, context.catalog, context);
    this.#events = new ConstraintEvents(relation, context.transaction);
  }

  /** Adds "COPY t, line n" to what goes wrong in `body`. */
  located<T>(body: () => T, column?: string, value?: string | null): T {
    try {
      return body();
    } catch (error) {
      if (error instanceof DatabaseError && error.where === undefined) {
        const at = `COPY ${this.relation.relname}, line ${Math.max(1, this.line)}`;
        if (column !== undefined) error.where = `${at}, column ${column}: ${value === null || value === undefined ? 'null input' : `"${shorten(value)}"`}`;
        else error.where = this.options.format === 'binary' ? at : `${at}: "${shorten(this.lineText)}"`;
      }
      throw error;
    }
  }

  addText(fields: readonly CopyField[]): Promise<void> | undefined {
    const { columns } = this;
    if (fields.length > columns.length) this.located(() => { throw new DatabaseError('22P04', 'extra data after last expected column'); });
    if (fields.length < columns.length) this.located(() => { throw new DatabaseError('22P04', `missing data for column "${columns[fields.length].attname}"`); });
    const row = new Array<Datum>(this.#width).fill(null);
    for (let i = 0; i < columns.length; i++) {
      const field = fields[i];
      const { attnum, attname } = columns[i];
      if (field === null) row[attnum - 1] = null;
      else if (field === undefined) row[attnum - 1] = this.#default(attnum - 1);
      else {
        try {
          row[attnum - 1] = this.#inputs[i](field);
        } catch (error) {
          this.located(() => { throw error; }, attname, field);
        }
      }
    }
    return this.#add(row);
  }

  addBinary(fields: readonly (Buffer | null)[]): Promise<void> | undefined {
    const { columns } = this;
    if (fields.length !== columns.length) this.located(() => { throw new DatabaseError('22P04', `row field count is ${fields.length}, expected ${columns.length}`); });
    const { context } = this.host;
    const row = new Array<Datum>(this.#width).fill(null);
    columns.forEach((column, i) => {
      const bytes = fields[i];
      if (bytes === null) return;
      row[column.attnum - 1] = this.located(() => context.catalog.dataType(column.atttypid).receive(bytes, column.atttypmod, context), column.attname);
    });
    return this.#add(row);
  }

  #default(index: number): Datum {
    return this.#defaults[index]?.([], this.host.context) ?? null;
  }

  #add(row: Datum[]): Promise<void> | undefined {
    for (const index of this.#omitted) row[index] = this.#default(index);
    return this.located(() => {
      const { context } = this.host;
      if (this.where && this.where(row, context) !== true) return undefined;
      this.#checks.apply(row, context.catalog, context);
      const inserted = this.#writer.insert(row);
      if (inserted instanceof PendingClass) return this.#addLater(row, inserted);
      this.#events.inserted(inserted, row);
      this.count++;
      return (this.count & 255) === 0 ? this.host.breathe() : undefined;
    });
  }

  async #addLater(row: Datum[], first: Pending): Promise<void> {
    let pending: Pending = first;
    for (;;) {
      await this.host.wait(pending);
      const inserted = this.located(() => this.#writer.insert(row));
      if (inserted instanceof PendingClass) {
        pending = inserted;
        continue;
      }
      this.#events.inserted(inserted, row);
      this.count++;
      return;
    }
  }
}

/** Error contexts show at most 100 characters. */
function shorten(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}
