/**
 * Catalog rows in memory, in layers:
 *
 *     a transaction's own changes     TransactionLayer: insert order, undo journal for savepoints
 *     committed changes               one layer per database, one for the shared catalogs
 *     born rows                       born-rows.ts, never changed
 *
 * A row has an identity for life: -(n+1) for the n-th born row of its table, even after it was
 * changed, else its row id in the engine. A layer maps identities to entries, deleted ones having
 * no values; the topmost layer that knows an identity decides. Every layer keeps the same hash
 * indexes, so a look-up costs one probe per layer.
 */
import type { Datum } from '../types/datum.js';
import { bornTable, type CatalogTableDef, type Row } from './born-rows.js';

export interface CatalogEntry {
  readonly identity: number;
  /** Row id in the engine; 0 while the born row is as it was. */
  readonly rowId: number;
  readonly xmin: number;
  /** null: deleted. */
  readonly values: Row | null;
}

/** Columns that are looked up by value. Every table with an oid column also has ['oid']. */
const INDEXES: Readonly<Record<string, readonly (readonly string[])[]>> = {
  pg_class: [['relname'], ['relnamespace']],
  pg_attribute: [['attrelid']],
  pg_type: [['typname'], ['typrelid'], ['typnamespace'], ['typarray'], ['typelem']],
  pg_proc: [['proname'], ['pronamespace']],
  pg_operator: [['oprname']],
  pg_cast: [['castsource', 'casttarget']],
  pg_aggregate: [['aggfnoid']],
  pg_opclass: [['opcname'], ['opcintype']],
  pg_amop: [['amopopr'], ['amopfamily']],
  pg_amproc: [['amprocfamily']],
  pg_am: [['amname']],
  pg_namespace: [['nspname']],
  pg_collation: [['collname']],
  pg_index: [['indexrelid'], ['indrelid']],
  pg_constraint: [['conname'], ['conrelid'], ['confrelid'], ['contypid'], ['conindid'], ['connamespace']],
  pg_attrdef: [['adrelid']],
  pg_depend: [['classid', 'objid'], ['refclassid', 'refobjid']],
  pg_shdepend: [['dbid', 'classid', 'objid'], ['refclassid', 'refobjid']],
  pg_description: [['objoid', 'classoid']],
  pg_shdescription: [['objoid', 'classoid']],
  pg_enum: [['enumtypid']],
  pg_range: [['rngtypid'], ['rngmultitypid'], ['rngsubtype']],
  pg_rewrite: [['ev_class']],
  pg_authid: [['rolname']],
  pg_auth_members: [['roleid'], ['member']],
  pg_database: [['datname']],
  pg_tablespace: [['spcname']],
  pg_sequence: [['seqrelid']],
  pg_statistic: [['starelid']],
  pg_statistic_ext: [['stxrelid'], ['stxnamespace']],
  pg_statistic_ext_data: [['stxoid']],
  pg_inherits: [['inhrelid'], ['inhparent']],
  pg_trigger: [['tgrelid']],
  pg_language: [['lanname']],
  pg_init_privs: [['objoid', 'classoid']],
  pg_db_role_setting: [['setdatabase', 'setrole']],
  pg_extension: [['extname']],
};

export type IndexKey = string | number;

interface IndexDef { readonly name: string; readonly positions: readonly number[] }

const indexDefs = new Map<string, readonly IndexDef[]>();

function indexesOf(def: CatalogTableDef): readonly IndexDef[] {
  let found = indexDefs.get(def.name);
  if (!found) {
    const lists = [...(def.columns[0]!.name === 'oid' ? [['oid']] : []), ...(INDEXES[def.name] ?? [])];
    found = lists.map((columns) => ({ name: columns.join(','), positions: columns.map((column) => def.position[column]!) }));
    indexDefs.set(def.name, found);
  }
  return found;
}

export function indexKey(values: readonly Datum[]): IndexKey {
  return values.length === 1 ? (values[0] as IndexKey) : values.join('\u0000');
}

function keyOf(index: IndexDef, row: Row): IndexKey {
  return index.positions.length === 1 ? (row[index.positions[0]!] as IndexKey) : index.positions.map((p) => row[p]).join('\u0000');
}

type HashIndex = Map<IndexKey, number[]>;

function addToIndex(index: HashIndex, key: IndexKey, identity: number): void {
  const list = index.get(key);
  if (list) list.push(identity);
  else index.set(key, [identity]);
}

/** The born rows of one table with their indexes (built once per process). */
class BornLayer {
  private readonly entries: CatalogEntry[];
  private readonly indexes = new Map<string, HashIndex>();
  readonly def: CatalogTableDef;

  constructor(name: string) {
    const { def, rows } = bornTable(name);
    this.def = def;
    this.entries = rows.map((values, i) => ({ identity: -(i + 1), rowId: 0, xmin: 1, values }));
  }

  get(identity: number): CatalogEntry | undefined {
    return identity < 0 ? this.entries[-identity - 1] : undefined;
  }

  all(): readonly CatalogEntry[] {
    return this.entries;
  }

  find(indexName: string, key: IndexKey): readonly number[] {
    let index = this.indexes.get(indexName);
    if (!index) {
      const def = indexesOf(this.def).find((candidate) => candidate.name === indexName);
      if (!def) throw new Error(`catalog ${this.def.name} has no index on ${indexName}`);
      index = new Map();
      for (const entry of this.entries) addToIndex(index, keyOf(def, entry.values!), entry.identity);
      this.indexes.set(indexName, index);
    }
    return index.get(key) ?? [];
  }
}

const bornLayers = new Map<string, BornLayer>();

export function bornLayer(name: string): BornLayer {
  let layer = bornLayers.get(name);
  if (!layer) bornLayers.set(name, (layer = new BornLayer(name)));
  return layer;
}

/** Changed rows of one table in one layer. */
export class TableLayer {
  readonly changed = new Map<number, CatalogEntry>();
  private readonly indexes: readonly { def: IndexDef; map: HashIndex }[];

  constructor(readonly def: CatalogTableDef) {
    this.indexes = indexesOf(def).map((index) => ({ def: index, map: new Map() }));
  }

  set(entry: CatalogEntry): CatalogEntry | undefined {
    const before = this.changed.get(entry.identity);
    if (before?.values) this.unindex(before);
    this.changed.set(entry.identity, entry);
    if (entry.values) for (const index of this.indexes) addToIndex(index.map, keyOf(index.def, entry.values), entry.identity);
    return before;
  }

  /** Takes the layer's word on an identity back (undo, rows that are gone for good). */
  forget(identity: number): void {
    const before = this.changed.get(identity);
    if (before?.values) this.unindex(before);
    this.changed.delete(identity);
  }

  private unindex(entry: CatalogEntry): void {
    for (const index of this.indexes) {
      const key = keyOf(index.def, entry.values!);
      const list = index.map.get(key);
      if (!list) continue;
      const at = list.indexOf(entry.identity);
      if (at >= 0) list.splice(at, 1);
      if (list.length === 0) index.map.delete(key);
    }
  }

  find(indexName: string, key: IndexKey): readonly number[] {
    for (const index of this.indexes) if (index.def.name === indexName) return index.map.get(key) ?? [];
    throw new Error(`catalog ${this.def.name} has no index on ${indexName}`);
  }
}

export class Layer {
  readonly tables = new Map<string, TableLayer>();

  table(name: string): TableLayer {
    let table = this.tables.get(name);
    if (!table) this.tables.set(name, (table = new TableLayer(bornTable(name).def)));
    return table;
  }
}

/** Own changes of one transaction, with what is needed to take them back to a savepoint. */
export class TransactionLayer extends Layer {
  private readonly journal: { table: TableLayer; identity: number; before: CatalogEntry | undefined }[] = [];

  record(name: string, entry: CatalogEntry): void {
    const table = this.table(name);
    this.journal.push({ table, identity: entry.identity, before: table.set(entry) });
  }

  get mark(): number {
    return this.journal.length;
  }

  undoTo(mark: number): void {
    while (this.journal.length > mark) {
      const { table, identity, before } = this.journal.pop()!;
      table.forget(identity);
      if (before) table.set(before);
    }
  }
}

/** Layers stacked: what one reader sees. `layers` from the top; shared tables look only at those that hold them. */
export class LayeredRows {
  constructor(private readonly own: Layer | null, private readonly database: Layer, private readonly shared: Layer) {}

  private committed(def: CatalogTableDef): TableLayer | undefined {
    return (def.shared ? this.shared : this.database).tables.get(def.name);
  }

  /** Entries where the indexed columns have these values. `index` is their names joined by ','. */
  find(table: string, index: string, ...key: Datum[]): CatalogEntry[] {
    const value = indexKey(key);
    const born = bornLayer(table);
    const own = this.own?.tables.get(table);
    const committed = this.committed(born.def);
    const found: CatalogEntry[] = [];
    for (const identity of born.find(index, value)) {
      if (!committed?.changed.has(identity) && !own?.changed.has(identity)) found.push(born.get(identity)!);
    }
    if (committed) {
      for (const identity of committed.find(index, value)) if (!own?.changed.has(identity)) found.push(committed.changed.get(identity)!);
    }
    if (own) for (const identity of own.find(index, value)) found.push(own.changed.get(identity)!);
    return found;
  }

  rows(table: string, index: string, ...key: Datum[]): Row[] {
    return this.find(table, index, ...key).map((entry) => entry.values!);
  }

  one(table: string, index: string, ...key: Datum[]): Row | undefined {
    return this.find(table, index, ...key)[0]?.values ?? undefined;
  }

  *all(table: string): Generator<CatalogEntry> {
    const born = bornLayer(table);
    const own = this.own?.tables.get(table);
    const committed = this.committed(born.def);
    for (const entry of born.all()) {
      if (!committed?.changed.has(entry.identity) && !own?.changed.has(entry.identity)) yield entry;
    }
    if (committed) for (const entry of committed.changed.values()) if (entry.values && !own?.changed.has(entry.identity)) yield entry;
    if (own) for (const entry of own.changed.values()) if (entry.values) yield entry;
  }
}
