/**
 * Checks relations by what the catalog says of them: each row decodes, keeps its NOT NULL and CHECK
 * constraints and finds its foreign keys' rows; each index has exactly the entries that follow from the rows
 * (both ways), and a unique one no key twice.
 *
 * Rows and entries are those of one snapshot, read through the engine, so it runs beside writers and on the
 * frozen state of a directory alike. First sums over (key, row, payload) are compared; only when they differ are
 * the entries looked at one by one, to name them.
 */
import { DatabaseError } from '../../engine/errors.js';
import { compareBytes } from '../../engine/keycode.js';
import type { RowId } from '../../engine/ids.js';
import { addHash, hashRow } from '../../engine/mvcc/row-format.js';
import { Pending } from '../../engine/pending.js';
import type { IndexBlock, RowBlock, Snapshot, Transaction } from '../../engine/storage.js';
import { hex } from '../../engine/verify/findings.js';
import type { Findings } from '../../engine/verify/findings.js';
import { indexAccess, type IndexAccess, type RowEvaluator } from '../access/index-access.js';
import { tableAccess, type TableAccess } from '../access/table-access.js';
import type { Catalog, Constraint, Relation } from '../catalog/catalog.js';
import { rowCompilerOf } from '../executor/row-compiler.js';
import type { EvalContext } from '../functions/context.js';
import type { Datum } from '../types/datum.js';
import { foreignKeyCheck, type ForeignKeyCheck } from './foreign-key-check.js';

const BATCH = 64;
/** Rows and entries named of one index; the rest is counted. */
const NAMED = 20;

export interface CheckContext {
  readonly catalog: Catalog;
  readonly transaction: Transaction;
  readonly snapshot: Snapshot;
  readonly eval: EvalContext;
  readonly findings: Findings;
  /** After each batch. */
  turn(): Promise<void> | undefined;
  resumed(): void;
}

/** Sum over entries, in any order. */
class EntrySum {
  count = 0;
  readonly hash = new Uint32Array(4);
  private readonly one = new Uint32Array(4);
  private scratch = new Uint8Array(4096);

  add(key: Uint8Array, rowId: RowId, payload: Uint8Array): void {
    const length = key.length + payload.length + 4;
    if (length > this.scratch.length) this.scratch = new Uint8Array(length * 2);
    new DataView(this.scratch.buffer).setUint32(0, key.length);
    this.scratch.set(key, 4);
    this.scratch.set(payload, 4 + key.length);
    hashRow(this.one, rowId, this.scratch.subarray(0, length));
    addHash(this.hash, this.one, 1);
    this.count++;
  }

  equals(other: EntrySum): boolean {
    return this.count === other.count && this.hash.every((word, i) => word === other.hash[i]);
  }
}

interface IndexState {
  readonly access: IndexAccess;
  readonly expected: EntrySum;
  /** An expression of it failed on a row: its entries cannot be told. */
  broken: boolean;
}

interface Check {
  readonly name: string;
  readonly test: RowEvaluator;
}

export class RelationCheck {
  rows = 0;
  private readonly access: TableAccess;
  private readonly indexes: IndexState[];
  private readonly checks: Check[];
  private readonly foreignKeys: ForeignKeyCheck[];
  private readonly columns: readonly number[];
  private named = 0;

  constructor(private readonly relation: Relation, private readonly context: CheckContext) {
    const { catalog } = context;
    const compile = rowCompilerOf(catalog, context.eval);
    this.access = tableAccess(relation, catalog);
    this.indexes = relation.indexes.filter((index) => index.ready).map((index) => ({ access: indexAccess(index, catalog, compile), expected: new EntrySum(), broken: false }));
    this.checks = relation.constraints
      .filter((constraint) => constraint.contype === 'c' && constraint.convalidated && constraint.expressionText !== null)
      .map((constraint) => {
        let compiled: RowEvaluator | undefined;
        const text = constraint.expressionText!;
        return { name: constraint.conname, test: (row) => (compiled ??= compile(relation.oid, text))(row) };
      });
    this.foreignKeys = relation.constraints.filter((constraint) => constraint.contype === 'f' && constraint.convalidated).flatMap((constraint) => this.foreignKey(constraint));
    this.columns = relation.attributes.filter((attribute) => !attribute.attisdropped).map((attribute) => attribute.attnum);
  }

  private foreignKey(constraint: Constraint): ForeignKeyCheck[] {
    const check = foreignKeyCheck(constraint, this.context);
    return check ? [check] : [];
  }

  async run(): Promise<void> {
    await this.readRows();
    for (const index of this.indexes) if (!index.broken) await this.compareIndex(index);
  }

  private async over(pending: Pending): Promise<void> {
    await pending.until;
    this.context.resumed();
  }

  private damage(message: string, rowId?: RowId): void {
    if (++this.named > NAMED) return;
    this.context.findings.add({ part: 'relation', storage: this.relation.storage, message: rowId === undefined ? message : `row ${ctid(rowId)}: ${message}` });
  }

  private async readRows(): Promise<void> {
    const { transaction, snapshot } = this.context;
    // A row whose bytes are damaged ends a scan: row by row up to it, and on behind it.
    let from = 0;
    for (let batch = BATCH; ; ) {
      try {
        await this.scanFrom(transaction, snapshot, from, batch, (rowId) => (from = rowId + 1));
        return;
      } catch (error) {
        if (!(error instanceof DatabaseError) || error.sqlstate !== 'XX001') throw error;
        if (batch > 1) {
          batch = 1;
          continue;
        }
        this.damage(`${error.message} ${error.detail ?? ''}`);
        if (this.named > NAMED) return;
        from = Math.max(from, rowIdIn(error.detail) ?? from) + 1;
        batch = BATCH;
      }
    }
  }

  private async scanFrom(transaction: Transaction, snapshot: Snapshot, from: number, batch: number, passed: (rowId: number) => void): Promise<void> {
    const cursor = transaction.scan(this.relation.storage, snapshot, { from: from as RowId });
    this.access.codec.large ??= transaction.largeValues;
    const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
    try {
      for (;;) {
        const filled = cursor.fill(block, batch);
        if (filled instanceof Pending) {
          await this.over(filled);
          continue;
        }
        if (filled === 0) return;
        for (let i = 0; i < filled; i++) {
          const tuple = block.tuples[i]!;
          const rowId = block.rowIds[i]! as RowId;
          passed(rowId - 1);
          for (let wait = this.access.load(this.columns, [tuple], 1); wait; wait = this.access.load(this.columns, [tuple], 1)) await this.over(wait);
          this.takeRow(rowId, this.access.codec.readAll(tuple));
          this.access.codec.release([tuple], 1);
          passed(rowId);
        }
        const wait = this.context.turn();
        if (wait) await wait;
      }
    } finally {
      cursor.close();
    }
  }

  private takeRow(rowId: RowId, values: readonly Datum[]): void {
    this.rows++;
    for (const attribute of this.relation.attributes)
      if (attribute.attnotnull && !attribute.attisdropped && values[attribute.attnum - 1] === null) this.damage(`column "${attribute.attname}" is null and must not be`, rowId);
    for (const check of this.checks) {
      const holds = this.evaluate(() => check.test(values), `constraint "${check.name}"`, rowId);
      if (holds === false) this.damage(`violates check constraint "${check.name}"`, rowId);
    }
    for (const key of this.foreignKeys) {
      const problem = key.problem(values);
      if (problem) this.damage(problem, rowId);
    }
    for (const index of this.indexes) {
      if (index.broken) continue;
      try {
        const entry = entryOf(index.access, values, this.relation.relname);
        if (entry) index.expected.add(entry.key, rowId, entry.payload);
      } catch (error) {
        index.broken = true;
        this.damage(`index "${index.access.index.name}" cannot be computed: ${(error as Error).message}`, rowId);
      }
    }
  }

  private evaluate(action: () => Datum, what: string, rowId: RowId): Datum {
    try {
      return action();
    } catch (error) {
      this.damage(`${what} cannot be evaluated: ${(error as Error).message}`, rowId);
      return null;
    }
  }

  // ---- indexes

  private indexDamage(access: IndexAccess, message: string): void {
    this.context.findings.add({ part: 'relation', storage: access.index.storage, message });
  }

  private async compareIndex({ access, expected }: IndexState): Promise<void> {
    const { index } = access;
    const found = new EntrySum();
    let duplicates = 0;
    let previous: { key: Uint8Array; rowId: RowId } | undefined;
    const whole = await this.readEntries(access, (key, rowId, payload) => {
      found.add(key, rowId, payload);
      if (previous) {
        const order = compareBytes(previous.key, key);
        if (order > 0) this.indexDamage(access, `its entries are not in order at row ${ctid(rowId)}`);
        else if (order === 0 && index.unique && this.mustBeUnique(access, rowId) && duplicates++ < NAMED)
          this.indexDamage(access, `rows ${ctid(previous.rowId)} and ${ctid(rowId)} have the same key, which is unique`);
      }
      previous = { key: key.slice(), rowId };
    });
    if (whole && found.equals(expected)) return;
    await this.nameDifferences(access, found.count, expected.count);
  }

  /** False when damage ended the walk. */
  private async readEntries(access: IndexAccess, visit: (key: Uint8Array, rowId: RowId, payload: Uint8Array) => void): Promise<boolean> {
    const { transaction, snapshot } = this.context;
    const cursor = transaction.scanIndex(access.index.storage, snapshot, {});
    const block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };
    try {
      for (;;) {
        const filled = cursor.fill(block, BATCH);
        if (filled instanceof Pending) {
          await this.over(filled);
          continue;
        }
        if (filled === 0) return true;
        for (let i = 0; i < filled; i++) visit(block.keys[i]!, block.rowIds[i]! as RowId, block.payloads[i]!);
        const wait = this.context.turn();
        if (wait) await wait;
      }
    } catch (error) {
      if (!(error instanceof DatabaseError) || error.sqlstate !== 'XX001') throw error;
      this.indexDamage(access, `${error.message} ${error.detail ?? ''}`);
      return false;
    } finally {
      cursor.close();
    }
  }

  private rowOf(rowId: RowId): readonly Datum[] | undefined {
    const { transaction, snapshot } = this.context;
    try {
      const version = transaction.get(this.relation.storage, rowId, snapshot);
      return version && !(version instanceof Pending) ? this.access.codec.readAll(version.tuple) : undefined;
    } catch {
      // Named where rows are read.
      return undefined;
    }
  }

  private mustBeUnique(access: IndexAccess, rowId: RowId): boolean {
    const values = this.rowOf(rowId);
    return values !== undefined && (access.index.nullsNotDistinct || !access.keyValues(values).includes(null));
  }

  private async nameDifferences(access: IndexAccess, found: number, expected: number): Promise<void> {
    const { transaction, snapshot } = this.context;
    let named = 0;
    const name = (message: string): void => {
      if (named++ < NAMED) this.indexDamage(access, message);
    };
    await this.readEntries(access, (key, rowId, payload) => {
      const values = this.rowOf(rowId);
      const entry = values && entryOf(access, values, this.relation.relname);
      if (!values) name(`an entry leads to row ${ctid(rowId)}, which is not there (key ${hex(key)})`);
      else if (!entry || compareBytes(entry.key, key) !== 0 || compareBytes(entry.payload, payload) !== 0) name(`the entry of row ${ctid(rowId)} is not what the row says (key ${hex(key)})`);
    });
    const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
    const cursor = transaction.scan(this.relation.storage, snapshot);
    const entries: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };
    try {
      while ((cursor.fill(block, BATCH) as number) > 0 && named < NAMED) {
        for (let i = 0; i < block.length; i++) {
          const rowId = block.rowIds[i]!;
          const entry = entryOf(access, this.access.codec.readAll(block.tuples[i]!), this.relation.relname);
          if (!entry) continue;
          const lookup = transaction.scanIndex(access.index.storage, snapshot, { lower: entry.key, lowerInclusive: true, upper: entry.key, upperInclusive: true });
          let there = false;
          while (!there && (lookup.fill(entries, BATCH) as number) > 0) there = entries.rowIds.slice(0, entries.length).includes(rowId);
          lookup.close();
          if (!there) name(`row ${ctid(rowId as RowId)} has no entry (key ${hex(entry.key)})`);
        }
        const wait = this.context.turn();
        if (wait) await wait;
      }
    } catch (error) {
      if (!(error instanceof DatabaseError) || error.sqlstate !== 'XX001') throw error;
    } finally {
      cursor.close();
    }
    if (named === 0) this.indexDamage(access, `it has ${found} entries where the rows come to ${expected}`);
    else if (named > NAMED) this.indexDamage(access, `${named - NAMED} more of its entries are wrong`);
  }
}

function entryOf(access: IndexAccess, values: readonly Datum[], relationName: string): { key: Uint8Array; payload: Uint8Array } | null {
  if (!access.covers(values)) return null;
  const keyValues = access.keyValues(values);
  return { key: access.key(keyValues, relationName), payload: access.payloadOf(values, keyValues) };
}

/** The row that a checksum error's detail names: "Key <storage, row id in hex>". */
function rowIdIn(detail: string | undefined): number | undefined {
  const key = /^Key [0-9a-f]{12}([0-9a-f]{12})/.exec(detail ?? '')?.[1];
  return key === undefined ? undefined : parseInt(key, 16);
}

/** As SELECT ctid shows it. */
function ctid(rowId: RowId): string {
  return `(${Math.floor(rowId / 65536)},${rowId % 65536})`;
}
