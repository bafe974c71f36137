/**
 * The catalog as the analyzer, the planner and functions read it: one consistent version, looked
 * up in memory (never by queries). Row shapes carry PostgreSQL's column names; only what the
 * readers need is typed here, SELECT from the catalog tables shows all columns.
 */
import type { StorageId } from '../../engine/ids.js';
import type { Datum } from '../types/datum.js';
import type { DataType } from '../types/data-type.js';

export type Oid = number;

export interface PgNamespace { readonly oid: Oid; readonly nspname: string; readonly nspowner: Oid }

export interface PgType {
  readonly oid: Oid;
  readonly typname: string;
  readonly typnamespace: Oid;
  readonly typlen: number;
  readonly typbyval: boolean;
  /** b base, c composite, d domain, e enum, p pseudo, r range, m multirange */
  readonly typtype: 'b' | 'c' | 'd' | 'e' | 'p' | 'r' | 'm';
  readonly typcategory: string;
  readonly typispreferred: boolean;
  readonly typisdefined: boolean;
  readonly typdelim: string;
  readonly typrelid: Oid;
  readonly typelem: Oid;
  readonly typarray: Oid;
  readonly typbasetype: Oid;
  readonly typtypmod: number;
  readonly typnotnull: boolean;
  readonly typndims: number;
  readonly typcollation: Oid;
  readonly typdefault: string | null;
  readonly typsubscript: Oid;
}

export interface PgProc {
  readonly oid: Oid;
  readonly proname: string;
  readonly pronamespace: Oid;
  readonly prolang: Oid;
  /** f function, p procedure, a aggregate, w window */
  readonly prokind: 'f' | 'p' | 'a' | 'w';
  readonly provariadic: Oid;
  readonly proisstrict: boolean;
  readonly proretset: boolean;
  readonly provolatile: 'i' | 's' | 'v';
  readonly pronargs: number;
  readonly pronargdefaults: number;
  readonly prorettype: Oid;
  readonly proargtypes: readonly Oid[];
  readonly proallargtypes: readonly Oid[] | null;
  readonly proargmodes: readonly string[] | null;
  readonly proargnames: readonly string[] | null;
  /** SQL text of the defaults of the last pronargdefaults arguments. */
  readonly proargdefaults: readonly string[] | null;
  readonly prosrc: string;
}

export interface PgOperator {
  readonly oid: Oid;
  readonly oprname: string;
  readonly oprnamespace: Oid;
  readonly oprkind: 'b' | 'l';
  readonly oprcanmerge: boolean;
  readonly oprcanhash: boolean;
  readonly oprleft: Oid;
  readonly oprright: Oid;
  readonly oprresult: Oid;
  readonly oprcom: Oid;
  readonly oprnegate: Oid;
  readonly oprcode: Oid;
  readonly oprrest: string;
  readonly oprjoin: string;
}

export interface PgCast {
  readonly oid: Oid;
  readonly castsource: Oid;
  readonly casttarget: Oid;
  readonly castfunc: Oid;
  /** i implicit, a assignment, e explicit */
  readonly castcontext: 'i' | 'a' | 'e';
  /** f function, i inout, b binary-coercible */
  readonly castmethod: 'f' | 'i' | 'b';
}

export interface PgAggregate {
  readonly aggfnoid: Oid;
  /** n normal, o ordered-set, h hypothetical-set */
  readonly aggkind: 'n' | 'o' | 'h';
  readonly aggnumdirectargs: number;
  readonly aggsortop: Oid;
}

export interface PgOpclass {
  readonly oid: Oid;
  readonly opcmethod: Oid;
  readonly opcname: string;
  readonly opcnamespace: Oid;
  readonly opcfamily: Oid;
  readonly opcintype: Oid;
  readonly opcdefault: boolean;
  readonly opckeytype: Oid;
}

export interface PgAmop {
  readonly amopfamily: Oid;
  readonly amoplefttype: Oid;
  readonly amoprighttype: Oid;
  readonly amopstrategy: number;
  readonly amoppurpose: 's' | 'o';
  readonly amopopr: Oid;
  readonly amopmethod: Oid;
}

export interface PgCollation { readonly oid: Oid; readonly collname: string; readonly collnamespace: Oid; readonly collprovider: string; readonly collisdeterministic: boolean }

export interface PgRole {
  readonly oid: Oid;
  readonly rolname: string;
  readonly rolsuper: boolean;
  readonly rolinherit: boolean;
  readonly rolcreaterole: boolean;
  readonly rolcreatedb: boolean;
  readonly rolcanlogin: boolean;
  readonly rolreplication: boolean;
  readonly rolbypassrls: boolean;
  readonly rolconnlimit: number;
  readonly rolpassword: string | null;
  readonly rolvaliduntil: number | bigint | null;
}

export interface PgDatabase { readonly oid: Oid; readonly datname: string; readonly datdba: Oid; readonly encoding: number; readonly datallowconn: boolean; readonly datistemplate: boolean; readonly datconnlimit: number }

/** One column of a relation: pg_attribute with what follows from it. */
export interface Attribute {
  readonly attname: string;
  /** 1-based; negative for system columns. */
  readonly attnum: number;
  readonly atttypid: Oid;
  readonly atttypmod: number;
  readonly attcollation: Oid;
  /** pg_type.typlen; of a dropped column the width of the place that it keeps in stored rows (-1: variable). */
  readonly attlen: number;
  readonly attnotnull: boolean;
  readonly atthasdef: boolean;
  readonly attisdropped: boolean;
  /** '' none, a ALWAYS, d BY DEFAULT */
  readonly attidentity: '' | 'a' | 'd';
  /** '' none, s stored */
  readonly attgenerated: '' | 's';
  readonly attndims: number;
  /** SQL text of the default or generation expression; null without one. */
  readonly defaultText: string | null;
  /** Value for rows stored before ADD COLUMN; undefined when there is none. */
  readonly missingValue: Datum | undefined;
}

/** One key column of an index. */
export interface IndexColumn {
  /** Attribute number in the table, 0 for an expression. */
  readonly attnum: number;
  /** SQL text of the expression when attnum is 0. */
  readonly expressionText: string | null;
  readonly typeOid: Oid;
  readonly collation: Oid;
  readonly opclass: Oid;
  readonly descending: boolean;
  readonly nullsFirst: boolean;
}

/** pg_index with its pg_class row. */
export interface Index {
  readonly oid: Oid;
  readonly name: string;
  readonly namespace: Oid;
  readonly storage: StorageId;
  readonly tableOid: Oid;
  readonly accessMethod: Oid;
  readonly unique: boolean;
  readonly primary: boolean;
  readonly exclusion: boolean;
  readonly nullsNotDistinct: boolean;
  /** Deferrable constraint: uniqueness is checked at the end of the statement or transaction. */
  readonly immediate: boolean;
  readonly valid: boolean;
  readonly ready: boolean;
  readonly keyColumns: readonly IndexColumn[];
  /** INCLUDE columns: attribute numbers. */
  readonly includeColumns: readonly number[];
  /** SQL text of the partial index predicate. */
  readonly predicateText: string | null;
  /** WITH (...), as pg_class.reloptions has them. */
  readonly options: readonly string[];
}

export interface Constraint {
  readonly oid: Oid;
  readonly conname: string;
  readonly connamespace: Oid;
  /** c check, f foreign key, p primary key, u unique, x exclusion, n not null */
  readonly contype: 'c' | 'f' | 'p' | 'u' | 'x' | 'n';
  readonly condeferrable: boolean;
  readonly condeferred: boolean;
  readonly convalidated: boolean;
  readonly conrelid: Oid;
  readonly contypid: Oid;
  readonly conindid: Oid;
  readonly confrelid: Oid;
  /** a no action, r restrict, c cascade, n set null, d set default */
  readonly confupdtype: string;
  readonly confdeltype: string;
  readonly confmatchtype: string;
  readonly conkey: readonly number[];
  readonly confkey: readonly number[];
  /** ON DELETE SET NULL (columns) */
  readonly confdelsetcols: readonly number[] | null;
  /** SQL text of a check expression. */
  readonly expressionText: string | null;
  readonly connoinherit: boolean;
}

export interface ColumnStatistics {
  readonly nullFraction: number;
  readonly averageWidth: number;
  /** >0 a count, <0 minus a fraction of the rows, 0 unknown. */
  readonly distinct: number;
  readonly mostCommonValues: readonly Datum[];
  readonly mostCommonFrequencies: readonly number[];
  readonly histogram: readonly Datum[];
  readonly correlation: number | null;
}

/** A statistics object with what ANALYZE found. Columns are attribute numbers; -1, -2, ... are its expressions. */
export interface ExtendedStatistics {
  readonly oid: Oid;
  readonly columns: readonly number[];
  /** SQL texts. */
  readonly expressions: readonly string[];
  readonly distinct: readonly { readonly columns: readonly number[]; readonly count: number }[];
  /** How far the last column follows from the others. */
  readonly dependencies: readonly { readonly columns: readonly number[]; readonly degree: number }[];
  /** Most common combinations, values in the order of columns and expressions. */
  readonly common: readonly { readonly values: readonly (string | null)[]; readonly frequency: number; readonly baseFrequency: number }[];
  /** Of each expression by itself. */
  readonly expressionStatistics: readonly (ColumnStatistics | undefined)[];
}

/** pg_class with attributes, indexes and constraints: everything a plan needs. Immutable; a change makes a new one. */
export interface Relation {
  readonly oid: Oid;
  readonly relname: string;
  readonly relnamespace: Oid;
  readonly relowner: Oid;
  /** pg_type OID of its row type; 0 for indexes and sequences */
  readonly reltype: Oid;
  /** r table, i index, S sequence, v view, m matview, c composite type, t toast, p partitioned */
  readonly relkind: 'r' | 'i' | 'S' | 'v' | 'm' | 'c' | 't' | 'p' | 'I' | 'f';
  readonly relpersistence: 'p' | 'u' | 't';
  readonly relam: Oid;
  /** Physical storage; 0 for views. */
  readonly storage: StorageId;
  readonly reltuples: number;
  readonly relpages: number;
  /** aclitem[] as text items, null for the default. */
  readonly relacl: readonly string[] | null;
  /** By attnum - 1, dropped ones included. */
  readonly attributes: readonly Attribute[];
  readonly indexes: readonly Index[];
  readonly constraints: readonly Constraint[];
  /** Foreign keys of other tables that point here. */
  readonly referencedBy: readonly Constraint[];
  /** SELECT text of a view. */
  readonly viewText: string | null;
  /** A catalog table served from born rows and overrides rather than plain storage; see sql/catalog. */
  readonly isCatalog: boolean;
  statistics(attnum: number): ColumnStatistics | undefined;
  /** In the order of their OIDs; those that ANALYZE has not seen have nothing in them. */
  extendedStatistics(): readonly ExtendedStatistics[];
}

export interface Catalog {
  /** Grows with every committed or own DDL; plans record what they used. */
  readonly version: number;
  readonly databaseOid: Oid;

  namespace(oid: Oid): PgNamespace | undefined;
  namespaceNamed(name: string): PgNamespace | undefined;

  relation(oid: Oid): Relation | undefined;
  relationNamed(namespace: Oid, name: string): Relation | undefined;
  relations(): Iterable<Relation>;
  index(oid: Oid): Index | undefined;

  type(oid: Oid): PgType | undefined;
  typeNamed(namespace: Oid, name: string): PgType | undefined;
  /** Behaviour of the type: born ones from sql/types, derived for arrays, domains, enums, composites. */
  dataType(oid: Oid): DataType;

  proc(oid: Oid): PgProc | undefined;
  /** All functions, procedures, aggregates and window functions of that name, any namespace. */
  procsNamed(name: string): readonly PgProc[];
  aggregate(proc: Oid): PgAggregate | undefined;

  operator(oid: Oid): PgOperator | undefined;
  operatorsNamed(name: string): readonly PgOperator[];

  cast(source: Oid, target: Oid): PgCast | undefined;

  opclass(oid: Oid): PgOpclass | undefined;
  defaultOpclass(accessMethod: Oid, type: Oid): PgOpclass | undefined;
  opclassNamed(accessMethod: Oid, name: string): readonly PgOpclass[];
  /** Entries of pg_amop for an operator: which families and strategies it belongs to. */
  amopsOfOperator(operator: Oid): readonly PgAmop[];
  /** The operator of a family for (left, right, strategy). */
  amop(family: Oid, left: Oid, right: Oid, strategy: number): PgAmop | undefined;
  accessMethodNamed(name: string): { oid: Oid; amname: string } | undefined;

  collation(oid: Oid): PgCollation | undefined;
  collationNamed(namespace: Oid, name: string): PgCollation | undefined;

  role(oid: Oid): PgRole | undefined;
  roleNamed(name: string): PgRole | undefined;
  database(oid: Oid): PgDatabase | undefined;
  databaseNamed(name: string): PgDatabase | undefined;

  constraint(oid: Oid): Constraint | undefined;
  /** The view that a pg_rewrite row belongs to. */
  viewOfRule(rule: Oid): Relation | undefined;
  constraintsNamed(name: string): readonly Constraint[];
  /** Is `member` the role itself, or a direct or indirect member of it? */
  isMemberOf(member: Oid, role: Oid): boolean;
  /** pg_description / pg_shdescription. */
  comment(classOid: Oid, objectOid: Oid, subId: number): string | undefined;
  /** The sequence an identity column depends on (pg_depend, internal); 0 without one. */
  identitySequence(relation: Oid, attnum: number): Oid;
  /** CHECK constraints of a domain itself, by name. */
  domainChecks(type: Oid): readonly { name: string; text: string }[];
  /** Labels of an enum type in order. */
  enumLabels(type: Oid): readonly { oid: Oid; label: string; sortOrder: number }[];
}

export const PG_CATALOG_NAMESPACE = 11;
export const PUBLIC_NAMESPACE = 2200;
export const BTREE_AM = 403;
export const HASH_AM = 405;
