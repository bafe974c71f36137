/** COPY FROM STDIN: rows from the client's stream into a table. */
import { isUtf8 } from 'node:buffer';
import { DatabaseError } from '../../engine/errors.js';
import type { BulkLoader } from '../../engine/storage.js';
import type { GatheredEntries, Taken } from '../access/gathered-entries.js';
import type { TupleEncoder } from '../access/tuple-encoder.js';
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
import { textRowEncoder, type TextRowEncoder } from './text-row-encoder.js';

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
    await loader.guarded(() => reader.push(chunk));
  }
  await loader.guarded(() => reader.finish());
  await loader.finish();
  return loader.count;
}

interface Reader {
  push(chunk: Uint8Array): Promise<void>;
  finish(): Promise<void>;
}

function textReader(loader: RowLoader, columns: readonly Attribute[], options: CopyOptions): Reader {
  const splitter = new LineSplitter();
  const bytes = loader.bytesWay();
  let headerSeen = options.header === 'none';
  const take = async (): Promise<void> => {
    const whole = bytes !== null && isUtf8(splitter.data);
    while (splitter.next()) {
      loader.line++;
      let wait: Promise<void> | undefined;
      if (whole && headerSeen && loader.takesBytes && bytes.encode(splitter.data, splitter.start, splitter.end)) wait = loader.addEncoded(bytes.row);
      else {
        loader.lineText = null;
        const line = (loader.lineText = loader.located(() => splitter.text()));
        const fields = loader.located(() => splitTextLine(line, options));
        if (!headerSeen) {
          headerSeen = true;
          if (options.header === 'match') checkHeader(fields, columns);
          continue;
        }
        wait = loader.addText(fields);
      }
      if (wait) await wait;
    }
  };
  return {
    push: (chunk) => {
      splitter.push(chunk);
      return take();
    },
    finish: () => {
      splitter.finish();
      return take();
    },
  };
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

/** From so many rows on they go past the write set. */
const BULK_FROM = 1024;

class RowLoader {
  count = 0;
  line = 0;
  /** As error contexts show it; null while it is not known. */
  lineText: string | null = '';
  readonly #inputs: readonly Input[];
  /** Checks of a domain, over the row; null for other types. */
  readonly #domains: readonly (RowExpression | null)[];
  readonly #defaults: readonly (RowExpression | null)[];
  readonly #checks;
  readonly #writer;
  readonly #events: ConstraintEvents;
  /** Once there are many rows: past the write set. */
  #bulk: BulkLoader | undefined;
  #gathered: GatheredEntries | undefined;
  /** Rows may come as bytes: from the first on, or once they go past the write set. */
  takesBytes: boolean;
  /** Row ids from which on a row's line is its id and so much more. */
  readonly #lines: { readonly from: number; readonly more: number }[] = [];
  readonly #width: number;
  readonly #omitted: readonly number[];

  constructor(private readonly relation: Relation, private readonly columns: readonly Attribute[], private readonly options: CopyOptions, private readonly where: RowExpression | null, private readonly host: CopyInHost) {
    const { context } = host;
    this.#inputs = columns.map((column) => {
      const type = context.catalog.dataType(column.atttypid);
      return (text) => type.input(text, column.atttypmod, context);
    });
    this.#domains = columns.map(({ atttypid, attnum, attcollation }) => {
      const type = context.catalog.type(atttypid);
      if (type?.typtype !== 'd') return null;
      const base = { typmod: -1, collation: attcollation, location: -1 };
      return compileExpression({ kind: 'CoerceToDomain', type: atttypid, ...base, form: 'implicit cast', arg: { kind: 'Var', type: type.typbasetype, ...base, varno: 1, attno: attnum, levelsUp: 0 } }, context.catalog);
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
    this.takesBytes = this.#writer.plain;
  }

  /** Adds "COPY t, line n" to what goes wrong in `body`. */
  located<T>(body: () => T, column?: string, value?: string | null): T {
    try {
      return body();
    } catch (error) {
      if (error instanceof DatabaseError && error.where === undefined) {
        const at = `COPY ${this.relation.relname}, line ${Math.max(1, this.line)}`;
        if (column !== undefined) error.where = `${at}, column ${column}: ${value === null || value === undefined ? 'null input' : `"${shorten(value)}"`}`;
        else error.where = this.options.format === 'binary' || this.lineText === null ? at : `${at}: "${shorten(this.lineText)}"`;
      }
      throw error;
    }
  }

  addText(fields: readonly CopyField[]): Promise<void> | undefined {
    const { columns } = this;
    if (fields.length > columns.length) this.located(() => { throw new DatabaseError('22P04', 'extra data after last expected column'); });
    const row = new Array<Datum>(this.#width).fill(null);
    for (let i = 0; i < columns.length; i++) {
      // Only after what is wrong with the fields before it.
      if (i === fields.length) this.located(() => { throw new DatabaseError('22P04', `missing data for column "${columns[i].attname}"`); });
      const field = fields[i];
      const { attnum, attname } = columns[i];
      const domain = this.#domains[i];
      if (field === undefined) row[attnum - 1] = this.#default(attnum - 1);
      else if (field !== null || domain) {
        try {
          row[attnum - 1] = field === null ? null : this.#inputs[i](field);
          domain?.(row, this.host.context);
        } catch (error) {
          this.located(() => { throw error; }, attname, field);
        }
      }
    }
    return this.#add(row);
  }

  /** Rows straight from bytes, where nothing needs their values; null where something does. */
  bytesWay(): TextRowEncoder | null {
    const { relation, columns, options, where } = this;
    if (where || !this.#writer.takesBytes || this.#domains.some((domain) => domain !== null) || this.#checks.readsRow || this.#events.any || options.defaultText !== null) return null;
    if (this.#omitted.some((index) => this.#defaults[index] !== null)) return null;
    return textRowEncoder(relation, columns, this.#writer.access.codec, options, this.host.context);
  }

  addEncoded(row: TupleEncoder): Promise<void> | undefined {
    if (!this.#bulk) this.host.context.transaction.insert(this.relation.storage, row.buffer.slice(0, row.length));
    else if (this.#gathered) this.#noteLine(this.located(() => this.#writer.insertEncoded(row)));
    else this.#bulk.insert(this.relation.storage, row.buffer, row.length);
    return this.#added();
  }

  #noteLine(rowId: number): void {
    const more = this.line - rowId;
    if (this.#lines.at(-1)?.more !== more) this.#lines.push({ from: rowId, more });
  }

  #added(): Promise<void> | undefined {
    if ((++this.count & 63) !== 0) return undefined;
    if (!this.#bulk) {
      if (this.count >= BULK_FROM) this.#beginBulk();
      return this.host.breathe();
    }
    if (this.#gathered?.full) return this.#gathered.relieve().then((taken) => this.#refuse(taken));
    const pending = this.#bulk.pending();
    return pending ? this.host.wait(pending) : this.host.breathe();
  }

  #beginBulk(): void {
    this.#bulk = this.#writer.loadInBulk();
    if (!this.#bulk || this.#writer.plain) return;
    this.#gathered = this.#writer.gatherInBulk({ wait: (pending) => this.host.wait(pending), breathe: () => this.host.breathe() });
    this.takesBytes = this.#gathered !== undefined && this.#writer.takesBytes;
  }

  /** The rows are where the rest of the statement and of the transaction finds them. */
  async finish(): Promise<void> {
    if (this.#gathered) this.#refuse(await this.#gathered.flush());
    else await this.#bulk?.finish();
  }

  /** Raises what is wrong with a row's key, at its line. */
  #refuse(taken: Taken | undefined): void {
    if (!taken) return;
    let more = 0;
    for (const { from, more: next } of this.#lines) if (from <= taken.rowId) more = next;
    this.line = taken.rowId + more;
    this.lineText = null;
    this.located(() => { throw taken.error; });
  }

  /** Rows are taken in `body`. When one is refused, a former one whose key repeats, which would show only at the end, comes first. */
  async guarded(body: () => Promise<void>): Promise<void> {
    try {
      await body();
    } catch (error) {
      if (this.#gathered && error instanceof DatabaseError && error.where !== undefined && error.sqlstate.startsWith('2') && error.sqlstate !== '23505') this.#refuse(await this.#gathered.check());
      throw error;
    }
  }

  addBinary(fields: readonly (Buffer | null)[]): Promise<void> | undefined {
    const { columns } = this;
    if (fields.length !== columns.length) this.located(() => { throw new DatabaseError('22P04', `row field count is ${fields.length}, expected ${columns.length}`); });
    const { context } = this.host;
    const row = new Array<Datum>(this.#width).fill(null);
    columns.forEach((column, i) => {
      const bytes = fields[i];
      const domain = this.#domains[i];
      if (bytes === null && !domain) return;
      this.located(() => {
        row[column.attnum - 1] = bytes === null ? null : context.catalog.dataType(column.atttypid).receive(bytes, column.atttypmod, context);
        domain?.(row, context);
      }, column.attname);
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
      if (this.#gathered) this.#noteLine(inserted);
      this.#events.inserted(inserted, row);
      return this.#added();
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
      if (this.#gathered) this.#noteLine(inserted);
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
