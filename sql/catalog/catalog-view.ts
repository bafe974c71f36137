/**
 * `Catalog` over layered rows: what one reader sees, as objects. Committed views live as long as the
 * server and follow the commits; a transaction with own DDL has a view of its own above.
 * Objects are made on first use and kept per row (rows are immutable, so nothing needs invalidation),
 * relations per view, because they are put together from many rows.
 */
import type { Pending } from '../../engine/pending.js';
import type { Snapshot, Transaction } from '../../engine/storage.js';
import type { ArrayValue, Datum } from '../types/datum.js';
import type { DataType } from '../types/data-type.js';
import { bornTable, catalogTableName, type Row } from './born-rows.js';
import type {
  Catalog, Constraint, Index, Oid, PgAggregate, PgAmop, PgCast, PgCollation, PgDatabase, PgNamespace, PgOpclass, PgOperator, PgProc, PgRole,
  PgType, Relation,
} from './catalog.js';
import type { CatalogEntry, LayeredRows } from './layers.js';
import { buildConstraint, buildIndex, buildRelation } from './relation-builder.js';

/** Behaviour of types; sql/types provides it. Derived types (arrays, enums, ...) look their parts up in the catalog given. */
export type DataTypeResolver = (type: PgType, catalog: Catalog) => DataType;

/** OID of pg_class itself, as pg_depend's classid. */
const PG_CLASS = 1259;

const objects = new WeakMap<Row, object>();

function plain(value: Datum): unknown {
  return value !== null && typeof value === 'object' && 'elements' in value ? (value as ArrayValue).elements : value;
}

/** A row as an object with its columns as properties, arrays as JS arrays. One object per row. */
export function rowObject<T extends object>(table: string, row: Row): T {
  let object = objects.get(row);
  if (!object) {
    const made: Record<string, unknown> = {};
    bornTable(table).def.columns.forEach((column, i) => { made[column.name] = plain(row[i]!); });
    if (table === 'pg_proc') made.proargdefaults = expressionList(made.proargdefaults as string | null);
    objects.set(row, (object = made));
  }
  return object as T;
}

/** Expression lists (proargdefaults, indexprs) are stored as a JSON array of SQL texts. */
export function expressionList(stored: string | null): string[] | null {
  return stored === null ? null : (JSON.parse(stored) as string[]);
}

/** Who can read catalog rows as of an older snapshot. */
export interface CatalogHistory {
  entriesAt(view: CatalogView, transaction: Transaction, snapshot: Snapshot, tableOid: Oid): Iterable<CatalogEntry> | Pending;
}

export class CatalogView implements Catalog {
  private readonly relationCache = new Map<Oid, Relation | null>();
  private readonly typeCache = new Map<Oid, { row: PgType; type: DataType }>();

  constructor(
    readonly databaseOid: Oid,
    readonly rows: LayeredRows,
    private readonly resolveType: DataTypeResolver,
    private readonly currentVersion: () => number,
    /** The committed view below a transaction's, for relations that it did not touch. */
    private readonly below: CatalogView | null,
    private readonly touched: ReadonlySet<Oid> | null,
    private readonly history: CatalogHistory | null = null,
  ) {}

  /** Rows of a catalog table as a snapshot sees them. */
  entriesAt(transaction: Transaction, snapshot: Snapshot, tableOid: Oid): Iterable<CatalogEntry> | Pending {
    return this.history ? this.history.entriesAt(this, transaction, snapshot, tableOid) : this.scan(catalogTableName(tableOid)!);
  }

  get version(): number {
    return this.currentVersion();
  }

  /** Relations whose rows changed are put together anew on the next look-up. */
  forgetRelation(oid: Oid): void {
    this.relationCache.delete(oid);
  }

  forgetAll(): void {
    this.relationCache.clear();
    this.typeCache.clear();
  }

  private one<T extends object>(table: string, index: string, ...key: Datum[]): T | undefined {
    const row = this.rows.one(table, index, ...key);
    return row && rowObject<T>(table, row);
  }

  private many<T extends object>(table: string, index: string, ...key: Datum[]): T[] {
    return this.rows.rows(table, index, ...key).map((row) => rowObject<T>(table, row));
  }

  /** Rows of a catalog table as a SELECT sees them. */
  scan(table: string): Iterable<CatalogEntry> {
    return this.rows.all(table);
  }

  namespace(oid: Oid): PgNamespace | undefined { return this.one('pg_namespace', 'oid', oid); }
  namespaceNamed(name: string): PgNamespace | undefined { return this.one('pg_namespace', 'nspname', name); }

  relation(oid: Oid): Relation | undefined {
    if (this.below && !this.touched!.has(oid)) return this.below.relation(oid);
    let relation = this.relationCache.get(oid);
    if (relation === undefined) this.relationCache.set(oid, (relation = buildRelation(this, oid) ?? null));
    return relation ?? undefined;
  }

  relationNamed(namespace: Oid, name: string): Relation | undefined {
    const oid = this.relationOid(namespace, name);
    return oid === undefined ? undefined : this.relation(oid);
  }

  /** OID of a pg_class row by name, without building the relation. */
  relationOid(namespace: Oid, name: string): Oid | undefined {
    for (const row of this.rows.rows('pg_class', 'relname', name)) if (row[2] === namespace) return row[0] as Oid;
    return undefined;
  }

  *relations(): Generator<Relation> {
    for (const entry of this.rows.all('pg_class')) {
      const relation = this.relation(entry.values![0] as Oid);
      if (relation) yield relation;
    }
  }

  index(oid: Oid): Index | undefined {
    const row = this.rows.one('pg_index', 'indexrelid', oid);
    return row && buildIndex(this, row);
  }

  type(oid: Oid): PgType | undefined { return this.one('pg_type', 'oid', oid); }
  typeNamed(namespace: Oid, name: string): PgType | undefined {
    return this.many<PgType>('pg_type', 'typname', name).find((type) => type.typnamespace === namespace);
  }

  dataType(oid: Oid): DataType {
    const row = this.type(oid);
    if (!row) throw new Error(`cache lookup failed for type ${oid}`);
    const cached = this.typeCache.get(oid);
    if (cached?.row === row && row.typtype !== 'e' && row.typtype !== 'c') return cached.type;
    const type = this.resolveType(row, this);
    this.typeCache.set(oid, { row, type });
    return type;
  }

  proc(oid: Oid): PgProc | undefined { return this.one('pg_proc', 'oid', oid); }
  procsNamed(name: string): readonly PgProc[] { return this.many('pg_proc', 'proname', name); }
  aggregate(proc: Oid): PgAggregate | undefined { return this.one('pg_aggregate', 'aggfnoid', proc); }

  operator(oid: Oid): PgOperator | undefined { return this.withNames(this.one('pg_operator', 'oid', oid)); }
  operatorsNamed(name: string): readonly PgOperator[] { return this.many<PgOperator>('pg_operator', 'oprname', name).map((op) => this.withNames(op)!); }

  private readonly namedOperators = new WeakMap<object, PgOperator>();
  /** oprrest and oprjoin by name instead of OID. */
  private withNames(row: PgOperator | undefined): PgOperator | undefined {
    if (!row) return undefined;
    let named = this.namedOperators.get(row);
    if (!named) {
      const name = (oid: unknown): string => (oid ? (this.proc(oid as Oid)?.proname ?? '') : '');
      this.namedOperators.set(row, (named = { ...row, oprrest: name(row.oprrest), oprjoin: name(row.oprjoin) }));
    }
    return named;
  }

  cast(source: Oid, target: Oid): PgCast | undefined { return this.one('pg_cast', 'castsource,casttarget', source, target); }

  opclass(oid: Oid): PgOpclass | undefined { return this.one('pg_opclass', 'oid', oid); }
  defaultOpclass(accessMethod: Oid, type: Oid): PgOpclass | undefined {
    return this.many<PgOpclass>('pg_opclass', 'opcintype', type).find((opclass) => opclass.opcmethod === accessMethod && opclass.opcdefault);
  }
  opclassNamed(accessMethod: Oid, name: string): readonly PgOpclass[] {
    return this.many<PgOpclass>('pg_opclass', 'opcname', name).filter((opclass) => opclass.opcmethod === accessMethod);
  }
  amopsOfOperator(operator: Oid): readonly PgAmop[] { return this.many('pg_amop', 'amopopr', operator); }
  amop(family: Oid, left: Oid, right: Oid, strategy: number): PgAmop | undefined {
    return this.many<PgAmop>('pg_amop', 'amopfamily', family).find((amop) =>
      amop.amoplefttype === left && amop.amoprighttype === right && amop.amopstrategy === strategy && amop.amoppurpose === 's');
  }
  accessMethodNamed(name: string): { oid: Oid; amname: string } | undefined { return this.one('pg_am', 'amname', name); }

  collation(oid: Oid): PgCollation | undefined { return this.one('pg_collation', 'oid', oid); }
  collationNamed(namespace: Oid, name: string): PgCollation | undefined {
    return this.many<PgCollation>('pg_collation', 'collname', name).find((collation) => collation.collnamespace === namespace);
  }

  role(oid: Oid): PgRole | undefined { return this.one('pg_authid', 'oid', oid); }
  roleNamed(name: string): PgRole | undefined { return this.one('pg_authid', 'rolname', name); }
  database(oid: Oid): PgDatabase | undefined { return this.one('pg_database', 'oid', oid); }
  databaseNamed(name: string): PgDatabase | undefined { return this.one('pg_database', 'datname', name); }

  constraint(oid: Oid): Constraint | undefined {
    const row = this.rows.one('pg_constraint', 'oid', oid);
    return row && buildConstraint(row);
  }

  viewOfRule(rule: Oid): Relation | undefined {
    const row = this.rows.one('pg_rewrite', 'oid', rule);
    return row && this.relation(row[bornTable('pg_rewrite').def.position.ev_class] as Oid);
  }

  constraintsNamed(name: string): readonly Constraint[] {
    return this.rows.rows('pg_constraint', 'conname', name).map((row) => buildConstraint(row));
  }

  isMemberOf(member: Oid, role: Oid): boolean {
    const seen = new Set<Oid>([member]);
    for (const current of seen) {
      if (current === role) return true;
      for (const row of this.rows.rows('pg_auth_members', 'member', current)) seen.add(row[1] as Oid);
    }
    return false;
  }

  comment(classOid: Oid, objectOid: Oid, subId: number): string | undefined {
    for (const row of this.rows.rows('pg_description', 'objoid,classoid', objectOid, classOid)) if (row[2] === subId) return row[3] as string;
    if (subId === 0) return this.rows.one('pg_shdescription', 'objoid,classoid', objectOid, classOid)?.[2] as string | undefined;
    return undefined;
  }

  identitySequence(relation: Oid, attnum: number): Oid {
    const dependent = this.rows.rows('pg_depend', 'refclassid,refobjid', PG_CLASS, relation)
      .find((row) => row[0] === PG_CLASS && row[5] === attnum && row[6] === 'i');
    return (dependent?.[1] as Oid | undefined) ?? 0;
  }

  domainChecks(type: Oid): readonly { name: string; text: string }[] {
    return this.rows.rows('pg_constraint', 'contypid', type)
      .map((row) => ({ name: row[1] as string, text: row[25] as string })).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  enumLabels(type: Oid): readonly { oid: Oid; label: string; sortOrder: number }[] {
    return this.rows.rows('pg_enum', 'enumtypid', type)
      .map((row) => ({ oid: row[0] as Oid, sortOrder: row[2] as number, label: row[3] as string }))
      .sort((a, b) => a.sortOrder - b.sortOrder);
  }
}
