/**
 * The catalogs of a cluster: committed layers in memory, one per database and one shared, and the
 * engine storages behind them.
 *
 * Each catalog table has one storage per database with a fixed id (`catalogStorage`); its tuples are
 * JSON (row-json.ts). A transaction writes catalog rows through `CatalogTransaction`: into the engine's
 * write set and into its own layer at once. Commit publishes the layer to the committed one in the
 * same synchronous step that takes the LSN, so that whoever gets the transaction's locks next sees
 * its DDL; rollback drops the layer.
 *
 * Lookups see the latest committed catalog plus own changes, whatever the isolation level, as in
 * PostgreSQL. SELECT from a catalog table goes by its snapshot: from memory when no newer change of
 * that table is known, else from the engine (`entriesAt`).
 */
import type { Lsn, RowId, StorageId, Xid } from '../../engine/ids.js';
import { FIXED_STORAGE_START } from '../../engine/ids.js';
import { DatabaseError } from '../../engine/errors.js';
import { Pending } from '../../engine/pending.js';
import type { PreparedRow, RowBlock, Snapshot, Storage, Transaction } from '../../engine/storage.js';
import type { Datum } from '../types/datum.js';
import { bornTable, catalogTableName, type CatalogTableDef, type Row } from './born-rows.js';
import { CatalogView, type CatalogHistory, type DataTypeResolver } from './catalog-view.js';
import { bornLayer, LayeredRows, Layer, TransactionLayer, type CatalogEntry } from './layers.js';
import { decodeTuple, encodeTuple, type TypeLookup } from './row-json.js';
import { FIRST_NORMAL_OID } from './relation-builder.js';

/** Storage of a catalog table; database 0 for the shared ones. */
export function catalogStorage(databaseOid: number, tableOid: number): StorageId {
  return (FIXED_STORAGE_START + databaseOid * FIRST_NORMAL_OID + tableOid) as StorageId;
}

/** The sequence behind new OIDs (no catalog table has OID 1). */
const OID_COUNTER = catalogStorage(0, 1);
const OIDS_AHEAD = 64;

interface DatabaseCatalog {
  readonly oid: number;
  readonly layer: Layer;
  readonly view: CatalogView;
}

const FILL_ROWS = 1024;
const PASTS_KEPT = 16;

function emptyBlock(): RowBlock {
  return { length: 0, rowIds: [], tuples: [], xmins: [] };
}

export class CatalogStore implements CatalogHistory {
  private readonly databases = new Map<number, DatabaseCatalog>();
  private readonly shared = new Layer();
  private versionCounter = 1;
  private committedVersion = 1;
  private nextOid = 0;
  private oidLimit = 0;
  /** LSN of the newest published change, for `Transaction.raiseFloor`. */
  private publishedLsn = 0 as Lsn;
  /** Newest change per storage: older snapshots read from the engine. */
  private readonly changedAt = new Map<StorageId, Lsn>();
  /** Catalogs as they were, by database and LSN: the last ones asked for. */
  private readonly pasts = new Map<string, CatalogView>();

  private constructor(readonly storage: Storage, private readonly resolveType: DataTypeResolver) {}

  /** Reads every database's committed catalog rows. */
  static async open(storage: Storage, resolveType: DataTypeResolver): Promise<CatalogStore> {
    const store = new CatalogStore(storage, resolveType);
    const transaction = storage.begin({ readOnly: true });
    const snapshot = transaction.takeSnapshot();
    const load = async (oid: number, layer: Layer, types: TypeLookup): Promise<void> => {
      for (const pending of store.load(transaction, snapshot, oid, layer, types)) await pending.until;
    };
    try {
      const bornTypes = new CatalogView(0, new LayeredRows(null, new Layer(), store.shared), resolveType, () => 0, null, null);
      await load(0, store.shared, (oid) => bornTypes.dataType(oid));
      for (const entry of new LayeredRows(null, new Layer(), store.shared).all('pg_database')) {
        const database = store.addDatabase(entry.values![0] as number);
        await load(database.oid, database.layer, (oid) => database.view.dataType(oid));
        database.view.forgetAll();
      }
    } finally {
      transaction.rollback();
    }
    return store;
  }

  private addDatabase(oid: number): DatabaseCatalog {
    const layer = new Layer();
    const view = new CatalogView(oid, new LayeredRows(null, layer, this.shared), this.resolveType, () => this.committedVersion, null, null, this);
    const database = { oid, layer, view };
    this.databases.set(oid, database);
    return database;
  }

  /** Reads the rows that a database has of its own (0: the shared ones) into `layer`; yields what it must wait for. */
  private *load(transaction: Transaction, snapshot: Snapshot, databaseOid: number, layer: Layer, types: TypeLookup): Generator<Pending, void, void> {
    // pg_type first: anyarray values elsewhere need it.
    const tables = [...bornLayer('pg_class').all()].filter((entry) => entry.values![16] === 'r').map((entry) => entry.values![1] as string);
    tables.sort((a, b) => Number(b === 'pg_type') - Number(a === 'pg_type'));
    for (const name of tables) {
      const { def } = bornTable(name);
      if (def.shared !== (databaseOid === 0)) continue;
      let entries = this.readEntries(transaction, snapshot, databaseOid, def, types);
      while (entries instanceof Pending) {
        yield entries;
        entries = this.readEntries(transaction, snapshot, databaseOid, def, types);
      }
      for (const entry of entries) if (entry.values || entry.identity < 0) layer.table(name).set(entry);
      if (entries.length > 0 && transaction.asOf === undefined) this.changedAt.set(catalogStorage(databaseOid, def.oid), snapshot.lsn);
    }
  }

  /**
   * The catalog of a database as it was at `lsn`. Raises 72000 when that is too long ago, 3D000 when there was no such database.
   */
  past(databaseOid: number, lsn: Lsn): CatalogView {
    const key = `${databaseOid}:${lsn}`;
    let view = this.pasts.get(key);
    if (view) return view;
    const transaction = this.storage.begin({ readOnly: true, isolation: 'repeatable read', asOf: lsn });
    try {
      view = this.readPast(transaction, databaseOid);
    } finally {
      transaction.rollback();
    }
    if (this.pasts.size >= PASTS_KEPT) this.pasts.delete(this.pasts.keys().next().value!);
    this.pasts.set(key, view);
    return view;
  }

  private readPast(transaction: Transaction, databaseOid: number): CatalogView {
    const shared = new Layer();
    const own = new Layer();
    const version = this.newVersion();
    const view = new CatalogView(databaseOid, new LayeredRows(null, own, shared), this.resolveType, () => version, null, null);
    const snapshot = transaction.takeSnapshot();
    try {
      for (const [oid, layer] of [[0, shared], [databaseOid, own]] as const)
        for (const pending of this.load(transaction, snapshot, oid, layer, (type) => view.dataType(type))) throw new Error(`reading the catalog waits for ${pending.waitEvent}`);
    } finally {
      snapshot.release();
    }
    view.forgetAll();
    if (!view.rows.one('pg_database', 'oid', databaseOid)) throw new DatabaseError('3D000', `database ${databaseOid} did not exist at that time`);
    return view;
  }

  /** Rows of a catalog table's storage as the snapshot sees them. */
  private readEntries(transaction: Transaction, snapshot: Snapshot, databaseOid: number, def: CatalogTableDef, types: TypeLookup): CatalogEntry[] | Pending {
    const entries: CatalogEntry[] = [];
    const block = emptyBlock();
    const cursor = transaction.scan(catalogStorage(databaseOid, def.oid), snapshot);
    try {
      for (;;) {
        const filled = cursor.fill(block, FILL_ROWS);
        if (filled instanceof Pending) return filled;
        if (filled === 0) return entries;
        for (let i = 0; i < filled; i++) {
          const { bornIndex, values } = decodeTuple(def, block.tuples[i]!, types);
          const rowId = block.rowIds[i]!;
          entries.push({ identity: bornIndex === undefined ? rowId : -(bornIndex + 1), rowId, xmin: block.xmins[i]!, values });
        }
      }
    } finally {
      cursor.close();
    }
  }

  private database(oid: number): DatabaseCatalog {
    return this.databases.get(oid) ?? this.addDatabase(oid);
  }

  /** The committed catalog of a database; always the latest. */
  committed(databaseOid: number): CatalogView {
    return this.database(databaseOid).view;
  }

  begin(databaseOid: number, transaction: Transaction): CatalogTransaction {
    return new CatalogTransaction(this, databaseOid, transaction);
  }

  /** A new OID, 16384 or above. Survives crashes by logging ahead. */
  allocateOid(): number {
    if (this.nextOid === 0) {
      const state = this.storage.sequences.get(OID_COUNTER);
      this.nextOid = state ? Number(state.lastValue) : FIRST_NORMAL_OID;
      this.oidLimit = this.nextOid;
    }
    if (this.nextOid >= this.oidLimit) {
      this.oidLimit = this.nextOid + OIDS_AHEAD;
      const logged = { lastValue: BigInt(this.oidLimit), isCalled: true, logCount: 0 };
      this.storage.sequences.set(OID_COUNTER, logged, { log: true });
    }
    return this.nextOid++;
  }

  /** @internal */
  newVersion(): number {
    return ++this.versionCounter;
  }

  /** @internal */
  ownView(databaseOid: number, own: TransactionLayer, version: () => number, touched: ReadonlySet<number>): CatalogView {
    const database = this.database(databaseOid);
    return new CatalogView(databaseOid, new LayeredRows(own, database.layer, this.shared), this.resolveType, version, database.view, touched, this);
  }

  /** @internal Merges a committed transaction's layer. */
  publish(databaseOid: number, own: TransactionLayer, touched: ReadonlySet<number>, lsn: Lsn): void {
    const database = this.database(databaseOid);
    for (const [name, table] of own.tables) {
      const target = (table.def.shared ? this.shared : database.layer).table(name);
      for (const entry of table.changed.values()) {
        if (entry.values || entry.identity < 0) target.set(entry);
        else target.forget(entry.identity);
      }
      if (table.changed.size > 0) this.changedAt.set(catalogStorage(table.def.shared ? 0 : databaseOid, table.def.oid), lsn);
    }
    for (const oid of touched) database.view.forgetRelation(oid);
    this.committedVersion = this.newVersion();
    if (lsn > this.publishedLsn) this.publishedLsn = lsn;
  }

  /** What a prepared transaction, which has just been committed, did to catalogs: in the same step, because its locks are gone. */
  publishWritten(databaseOid: number, rows: readonly PreparedRow[], xid: Xid, lsn: Lsn): void {
    const own = new TransactionLayer();
    const { view } = this.database(databaseOid);
    const within = new CatalogView(databaseOid, new LayeredRows(own, this.database(databaseOid).layer, this.shared), this.resolveType, () => this.versionCounter, null, null, this);
    const named = rows.map((row) => ({ row, name: catalogTableName((row.storage - FIXED_STORAGE_START) % FIRST_NORMAL_OID)! }));
    // Values of types that it made are read by these.
    named.sort((a, b) => Number(b.name === 'pg_type') - Number(a.name === 'pg_type'));
    for (const { row: { rowId, tuple }, name } of named) {
      const { bornIndex, values } = tuple ? decodeTuple(bornTable(name).def, tuple, (oid) => within.dataType(oid)) : { bornIndex: undefined, values: null };
      own.record(name, { identity: bornIndex === undefined ? rowId : -(bornIndex + 1), rowId, xmin: xid, values });
    }
    this.publish(databaseOid, own, new Set(), lsn);
    view.forgetAll();
  }

  /** @internal A database that a committed transaction made. */
  publishDatabase(oid: number, layer: Layer): void {
    const database = this.database(oid);
    for (const [name, table] of layer.tables) for (const entry of table.changed.values()) database.layer.table(name).set(entry);
    database.view.forgetAll();
  }

  /** @internal A database that a committed transaction dropped. */
  forgetDatabase(oid: number): void {
    this.databases.delete(oid);
  }

  /** @internal Committed rows that a database has of its own. */
  ownRows(oid: number): { layer: Layer; view: CatalogView } {
    return this.database(oid);
  }

  /** Brings what a transaction sees up to the catalog it is about to use: call before each statement. */
  raiseFloor(transaction: Transaction): void {
    if (this.publishedLsn > this.storage.watermarks.durable) transaction.raiseFloor(this.publishedLsn);
  }

  /**
   * Rows of a catalog table for a SELECT, as its snapshot sees them. Pending: wait and call again.
   */
  entriesAt(catalog: CatalogView, transaction: Transaction, snapshot: Snapshot, tableOid: number): Iterable<CatalogEntry> | Pending {
    const name = catalogTableName(tableOid);
    if (name === undefined) throw new Error(`relation ${tableOid} is not a catalog table`);
    const { def } = bornTable(name);
    const databaseOid = def.shared ? 0 : catalog.databaseOid;
    const changed = this.changedAt.get(catalogStorage(databaseOid, tableOid));
    if (changed === undefined || changed <= snapshot.lsn || snapshot.kind === 'latest') return catalog.scan(name);
    const entries = this.readEntries(transaction, snapshot, databaseOid, def, (oid) => catalog.dataType(oid));
    if (entries instanceof Pending) return entries;
    const overridden = new Set(entries.map((entry) => entry.identity));
    return [...bornLayer(name).all().filter((entry) => !overridden.has(entry.identity)), ...entries.filter((entry) => entry.values)];
  }
}

/** Values for columns that a writer leaves out. */
function emptyValue(type: string): Datum {
  switch (type) {
    case 'bool': return false;
    case 'name': case 'char': return '';
    case 'oid': case 'regproc': case 'int2': case 'int4': case 'int8': case 'float4': case 'float8': case 'xid': return 0;
    default: return null;
  }
}

export type CatalogValues = Readonly<Record<string, Datum>>;

/** What a transaction changed, beside rows. */
interface CatalogChanges {
  readonly touched: Set<number>;
  readonly madeDatabases: Map<number, Layer>;
  readonly droppedDatabases: Set<number>;
}

/** One transaction's window on the catalog: reads through `catalog`, writes rows, commits both together. */
export class CatalogTransaction {
  private own: TransactionLayer | null = null;
  private ownView: CatalogView | null = null;
  /** Made when something changes: most transactions change no catalog. */
  private changes: CatalogChanges | undefined;
  private version = 0;

  /** `past`: the catalog as it was, for a transaction that reads the past. */
  constructor(readonly store: CatalogStore, readonly databaseOid: number, readonly transaction: Transaction, private readonly past: CatalogView | null = null) {}

  private get changed(): CatalogChanges {
    return (this.changes ??= { touched: new Set(), madeDatabases: new Map(), droppedDatabases: new Set() });
  }

  /** The committed catalog plus own changes. Ask anew after each command. */
  get catalog(): CatalogView {
    return this.ownView ?? this.past ?? this.store.committed(this.databaseOid);
  }

  /** There are own changes: commit with `synchronous: true`. */
  get dirty(): boolean {
    return this.own !== null && this.own.mark > 0;
  }

  newOid(): number {
    return this.store.allocateOid();
  }

  private layer(): TransactionLayer {
    if (!this.own) {
      if (this.past) throw new DatabaseError('25006', 'cannot change the catalog while oxbow.as_of is set');
      this.own = new TransactionLayer();
      this.ownView = this.store.ownView(this.databaseOid, this.own, () => this.version, this.changed.touched);
    }
    this.version = this.store.newVersion();
    return this.own;
  }

  private storageOf(def: CatalogTableDef): StorageId {
    return catalogStorage(def.shared ? 0 : this.databaseOid, def.oid);
  }

  private types: TypeLookup = (oid) => this.catalog.dataType(oid);

  /** Adds a row; columns not given are 0, false, '' or NULL by their type. */
  insert(table: string, values: CatalogValues): Row {
    const { def } = bornTable(table);
    const row = def.columns.map((column) => (column.name in values ? values[column.name]! : emptyValue(column.type)));
    for (const name in values) if (!(name in def.position)) throw new Error(`${table} has no column ${name}`);
    const layer = this.layer();
    const rowId = this.transaction.insert(this.storageOf(def), encodeTuple(def, undefined, row, this.types));
    layer.record(table, { identity: rowId, rowId, xmin: this.transaction.xid, values: row });
    this.touch(table, def, row);
    return row;
  }

  /**
   * As `update`, for facts that several may state at once (a table has an index): waits for a rival that
   * changed the row, and leaves it alone when it says so already. `find` gives the row as it is now.
   */
  async state(table: string, find: () => CatalogEntry, changes: CatalogValues, wait: (pending: Pending) => Promise<void>): Promise<void> {
    const { def } = bornTable(table);
    for (;;) {
      const entry = find();
      if (Object.entries(changes).every(([name, value]) => entry.values![def.position[name]!] === value)) return;
      if (entry.rowId !== 0) {
        const snapshot = this.transaction.latestSnapshot();
        const result = this.transaction.lockRow(this.storageOf(def), entry.rowId as RowId, 'update', 'wait', snapshot);
        snapshot.release();
        if (result instanceof Pending) {
          await wait(result);
          continue;
        }
      }
      this.update(table, entry, changes);
      return;
    }
  }

  /** Replaces columns of a row. Returns the new row. */
  update(table: string, entry: CatalogEntry, changes: CatalogValues): Row {
    const { def } = bornTable(table);
    const row = [...entry.values!];
    for (const name in changes) {
      const position = def.position[name];
      if (position === undefined) throw new Error(`${table} has no column ${name}`);
      row[position] = changes[name]!;
    }
    this.write(table, def, entry, row);
    this.touch(table, def, entry.values!);
    this.touch(table, def, row);
    return row;
  }

  delete(table: string, entry: CatalogEntry): void {
    const { def } = bornTable(table);
    this.layer();
    this.touch(table, def, entry.values!);
    this.write(table, def, entry, null);
  }

  private write(table: string, def: CatalogTableDef, entry: CatalogEntry, values: Row | null): void {
    const layer = this.layer();
    const storage = this.storageOf(def);
    const bornIndex = entry.identity < 0 ? -entry.identity - 1 : undefined;
    let rowId = entry.rowId;
    if (rowId === 0) {
      rowId = this.transaction.insert(storage, encodeTuple(def, bornIndex, values, this.types));
    } else {
      this.lockRow(storage, rowId as RowId);
      if (values === null && bornIndex === undefined) this.transaction.delete(storage, rowId as RowId);
      else this.transaction.update(storage, rowId as RowId, encodeTuple(def, bornIndex, values, this.types));
    }
    layer.record(table, { identity: entry.identity, rowId, xmin: this.transaction.xid as Xid, values });
  }

  /** Catalog rows are protected by locks on the objects that they describe: a rival here is as in PostgreSQL an error, not a wait. */
  private lockRow(storage: StorageId, rowId: RowId): void {
    const snapshot = this.transaction.latestSnapshot();
    try {
      const result = this.transaction.lockRow(storage, rowId, 'update', 'skip', snapshot);
      if (result instanceof Pending || (result.kind !== 'locked' && result.kind !== 'self-modified')) {
        throw new DatabaseError('XX000', 'tuple concurrently updated');
      }
    } finally {
      snapshot.release();
    }
  }

  /** Relations to put together anew because of a changed row. */
  private touch(table: string, def: CatalogTableDef, row: Row): void {
    const add = (column: string): void => {
      const oid = row[def.position[column]!] as number;
      if (!oid) return;
      this.changed.touched.add(oid);
      this.ownView!.forgetRelation(oid);
    };
    switch (table) {
      case 'pg_class': {
        add('oid');
        for (const index of this.catalog.rows.rows('pg_index', 'indexrelid', row[0]!)) {
          this.changed.touched.add(index[1] as number);
          this.ownView!.forgetRelation(index[1] as number);
        }
        break;
      }
      case 'pg_attribute': add('attrelid'); break;
      case 'pg_attrdef': add('adrelid'); break;
      case 'pg_index': add('indexrelid'); add('indrelid'); break;
      case 'pg_constraint': add('conrelid'); add('confrelid'); break;
      case 'pg_rewrite': add('ev_class'); break;
      case 'pg_statistic': add('starelid'); break;
      case 'pg_statistic_ext': add('stxrelid'); break;
      case 'pg_statistic_ext_data': {
        const statistics = this.catalog.rows.one('pg_statistic_ext', 'oid', row[0]!);
        if (statistics) {
          this.changed.touched.add(statistics[1] as number);
          this.ownView!.forgetRelation(statistics[1] as number);
        }
        break;
      }
      case 'pg_type': add('typrelid'); break;
      default:
    }
  }


  /** Copies what a template database has beyond the born rows into a new one: catalog rows, table rows, index entries. */
  async copyDatabase(template: number, target: number, wait: (pending: Pending) => Promise<void>): Promise<void> {
    const { layer, view } = this.store.ownRows(template);
    const copy = new Layer();
    const types: TypeLookup = (oid) => view.dataType(oid);
    for (const [name, table] of layer.tables) {
      if (table.def.shared) continue;
      const position = table.def.position.relfilenode;
      for (const entry of table.changed.values()) {
        let { values } = entry;
        const storage = name === 'pg_class' && values ? (values[position!] as StorageId) : 0;
        if (storage && values) {
          const fresh = this.transaction.createStorage();
          values = values.map((value, i) => (i === position ? fresh : value));
        }
        const bornIndex = entry.identity < 0 ? -entry.identity - 1 : undefined;
        const rowId = this.transaction.insert(catalogStorage(target, table.def.oid), encodeTuple(table.def, bornIndex, values, types));
        copy.table(name).set({ identity: bornIndex === undefined ? rowId : entry.identity, rowId, xmin: this.transaction.xid, values });
      }
    }
    this.changed.madeDatabases.set(target, copy);
    await this.copyData(layer, copy, wait);
    this.layer();
  }

  private async copyData(from: Layer, to: Layer, wait: (pending: Pending) => Promise<void>): Promise<void> {
    const rowIds = new Map<number, Map<number, number>>();
    const classes = (layer: Layer): Row[] => [...(layer.tables.get('pg_class')?.changed.values() ?? [])].flatMap((entry) => (entry.values ? [entry.values] : []));
    const { position } = bornTable('pg_class').def;
    const targets = new Map(classes(to).map((row) => [row[0] as number, row]));
    const storageOf = (row: Row): StorageId => row[position.relfilenode!] as StorageId;
    const snapshot = this.transaction.latestSnapshot();
    try {
      for (const row of classes(from)) {
        const target = targets.get(row[0] as number);
        const kind = row[position.relkind!];
        if (!target || !storageOf(row)) continue;
        if (kind === 'S') {
          const state = this.store.storage.sequences.get(storageOf(row));
          if (state) this.store.storage.sequences.set(storageOf(target), state, { log: true });
        } else if (kind !== 'i') {
          const mapped = new Map<number, number>();
          rowIds.set(row[0] as number, mapped);
          const block = emptyBlock();
          const cursor = this.transaction.scan(storageOf(row), snapshot);
          for (let filled = cursor.fill(block, FILL_ROWS); filled !== 0; filled = cursor.fill(block, FILL_ROWS)) {
            if (filled instanceof Pending) { await wait(filled); continue; }
            for (let i = 0; i < filled; i++) mapped.set(block.rowIds[i]!, this.transaction.insert(storageOf(target), block.tuples[i]!.slice()));
          }
          cursor.close();
        }
      }
      for (const entry of from.tables.get('pg_index')?.changed.values() ?? []) {
        if (!entry.values) continue;
        const source = classes(from).find((row) => row[0] === entry.values![0]);
        const target = targets.get(entry.values[0] as number);
        const mapped = rowIds.get(entry.values[1] as number);
        if (!source || !target || !mapped) continue;
        const block = { length: 0, keys: [] as Uint8Array[], rowIds: [] as number[], payloads: [] as Uint8Array[] };
        const cursor = this.transaction.scanIndex(storageOf(source), snapshot, {});
        for (let filled = cursor.fill(block, FILL_ROWS); filled !== 0; filled = cursor.fill(block, FILL_ROWS)) {
          if (filled instanceof Pending) { await wait(filled); continue; }
          for (let i = 0; i < filled; i++) {
            const rowId = mapped.get(block.rowIds[i]!);
            if (rowId !== undefined) this.transaction.putIndexEntry(storageOf(target), block.keys[i]!.slice(), rowId as RowId, block.payloads[i]!.slice());
          }
        }
        cursor.close();
      }
    } finally {
      snapshot.release();
    }
  }

  /** Storages of a dropped database go when this commits. */
  dropDatabase(oid: number): void {
    const { layer } = this.store.ownRows(oid);
    for (const [name, table] of layer.tables) {
      if (table.def.shared) continue;
      this.transaction.dropStorage(catalogStorage(oid, table.def.oid));
      if (name !== 'pg_class') continue;
      for (const entry of table.changed.values()) {
        const storage = entry.values?.[table.def.position.relfilenode!] as StorageId | undefined;
        if (storage) this.transaction.dropStorage(storage);
      }
    }
    this.changed.droppedDatabases.add(oid);
  }

  /** Position to give to `rollbackTo`: take it with every savepoint. */
  get mark(): number {
    return this.own?.mark ?? 0;
  }

  /** Takes own changes back to `mark`; the engine's own savepoint undoes the rows. */
  rollbackTo(mark: number): void {
    if (!this.own || this.own.mark === mark) return;
    this.own.undoTo(mark);
    this.ownView!.forgetAll();
    this.version = this.store.newVersion();
  }

  /** Commits if that takes no waiting; else false, and `commit` does it. */
  commitNow(): boolean {
    return !this.dirty && this.transaction.commitNow();
  }

  /** Commits the engine's transaction and makes own catalog changes everybody's in the same step. */
  commit(options?: { synchronous?: boolean }): Promise<Lsn> {
    if (!this.dirty) return this.transaction.commit(options);
    const promise = this.transaction.commit({ ...options, synchronous: true });
    const publish = (lsn: Lsn): void => {
      if (!this.own) return;
      this.store.publish(this.databaseOid, this.own, this.changed.touched, lsn);
      for (const [oid, layer] of this.changed.madeDatabases) this.store.publishDatabase(oid, layer);
      for (const oid of this.changed.droppedDatabases) this.store.forgetDatabase(oid);
      this.own = null;
      this.ownView = null;
    };
    const state = this.transaction.state as string;
    if (state === 'committing' || state === 'committed') publish(this.store.storage.watermarks.assigned);
    return promise.then((lsn) => {
      publish(lsn);
      return lsn;
    });
  }
}
