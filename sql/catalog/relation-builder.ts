/** Puts a `Relation` together from pg_class, pg_attribute, pg_attrdef, pg_index, pg_constraint, pg_rewrite and pg_statistic. */
import type { StorageId } from '../../engine/ids.js';
import type { ArrayValue, Datum, RecordValue } from '../types/datum.js';
import { readCommon, readDependencies, readDistinct } from '../types/statistics.js';
import { bornTable, systemViewText, type Row } from './born-rows.js';
import type { Attribute, ColumnStatistics, Constraint, ExtendedStatistics, Index, IndexColumn, Oid, Relation } from './catalog.js';
import { expressionList, rowObject, type CatalogView } from './catalog-view.js';

/** OIDs below this are born with the cluster (FirstNormalObjectId). */
export const FIRST_NORMAL_OID = 16384;

interface ClassRow {
  oid: Oid; relname: string; relnamespace: Oid; reltype: Oid; relowner: Oid; relam: Oid; relfilenode: number; relpages: number; reltuples: number;
  relpersistence: 'p' | 'u' | 't'; relkind: Relation['relkind']; relacl: string[] | null; reloptions: string[] | null;
}

interface AttributeRow {
  attname: string; attnum: number; atttypid: Oid; atttypmod: number; attcollation: Oid; attlen: number; attnotnull: boolean; atthasdef: boolean; atthasmissing: boolean;
  attisdropped: boolean; attidentity: '' | 'a' | 'd'; attgenerated: '' | 's'; attndims: number; attmissingval: Datum[] | null;
}

export function buildRelation(view: CatalogView, oid: Oid): Relation | undefined {
  const row = view.rows.one('pg_class', 'oid', oid);
  if (!row) return undefined;
  const pgClass = rowObject<ClassRow>('pg_class', row);
  // Sequences too are served from elsewhere than plain storage.
  const isCatalog = (oid < FIRST_NORMAL_OID && pgClass.relkind === 'r') || pgClass.relkind === 'S';
  return new RelationObject(view, pgClass, isCatalog);
}

/** Parts are made on first use: most look-ups want only a few of them. */
class RelationObject implements Relation {
  readonly oid: Oid;
  readonly relname: string;
  readonly relnamespace: Oid;
  readonly relowner: Oid;
  readonly reltype: Oid;
  readonly relkind: Relation['relkind'];
  readonly relpersistence: 'p' | 'u' | 't';
  readonly relam: Oid;
  readonly storage: StorageId;
  readonly reltuples: number;
  readonly relpages: number;
  readonly relacl: readonly string[] | null;
  readonly attributes: readonly Attribute[];
  readonly indexes: readonly Index[];
  readonly constraints: readonly Constraint[];
  readonly referencedBy: readonly Constraint[];
  readonly viewText: string | null;
  private readonly statisticsRows: readonly Row[];
  private readonly extendedRows: readonly { readonly row: Row; readonly data: Row | undefined }[];
  private extended: readonly ExtendedStatistics[] | null = null;
  private readonly statisticsCache = new Map<number, ColumnStatistics | undefined>();

  constructor(view: CatalogView, row: ClassRow, readonly isCatalog: boolean) {
    this.oid = row.oid;
    this.relname = row.relname;
    this.relnamespace = row.relnamespace;
    this.relowner = row.relowner;
    this.reltype = row.reltype;
    this.relkind = row.relkind;
    this.relpersistence = row.relpersistence;
    this.relam = row.relam;
    this.storage = row.relfilenode as StorageId;
    this.reltuples = row.reltuples;
    this.relpages = row.relpages;
    this.relacl = row.relacl;
    this.attributes = buildAttributes(view, row.oid);
    // Catalog tables are scanned in memory; their indexes have no storage and are for display only.
    this.indexes = isCatalog || (row.relkind !== 'r' && row.relkind !== 'm' && row.relkind !== 'p')
      ? [] : view.rows.rows('pg_index', 'indrelid', row.oid).map((index) => buildIndex(view, index)).sort((a, b) => a.oid - b.oid);
    this.constraints = view.rows.rows('pg_constraint', 'conrelid', row.oid).map(buildConstraint);
    this.referencedBy = view.rows.rows('pg_constraint', 'confrelid', row.oid).map(buildConstraint).filter((constraint) => constraint.contype === 'f');
    this.viewText = row.relkind === 'v' || row.relkind === 'm' ? viewText(view, row.oid) : null;
    this.statisticsRows = view.rows.rows('pg_statistic', 'starelid', row.oid);
    this.extendedRows = isCatalog ? [] : view.rows.rows('pg_statistic_ext', 'stxrelid', row.oid).map((one) => ({ row: one, data: view.rows.rows('pg_statistic_ext_data', 'stxoid', one[0]!)[0] }));
  }

  extendedStatistics(): readonly ExtendedStatistics[] {
    return (this.extended ??= this.extendedRows.map(({ row, data }) => buildExtendedStatistics(row, data)).sort((a, b) => a.oid - b.oid));
  }

  statistics(attnum: number): ColumnStatistics | undefined {
    if (this.statisticsRows.length === 0) return undefined;
    if (!this.statisticsCache.has(attnum)) {
      const row = this.statisticsRows.find((candidate) => candidate[1] === attnum);
      this.statisticsCache.set(attnum, row && buildStatistics(row));
    }
    return this.statisticsCache.get(attnum);
  }
}

function viewText(view: CatalogView, oid: Oid): string | null {
  const rule = view.rows.rows('pg_rewrite', 'ev_class', oid).find((row) => row[1] === '_RETURN');
  const position = bornTable('pg_rewrite').def.position;
  return (rule?.[position.ev_action!] as string | null | undefined) ?? systemViewText(oid) ?? null;
}

function buildAttributes(view: CatalogView, oid: Oid): Attribute[] {
  const rows = view.rows.rows('pg_attribute', 'attrelid', oid).map((row) => rowObject<AttributeRow>('pg_attribute', row));
  const defaults = new Map<number, string>();
  for (const row of view.rows.rows('pg_attrdef', 'adrelid', oid)) defaults.set(row[2] as number, row[3] as string);
  const attributes: Attribute[] = [];
  for (const row of rows) {
    if (row.attnum <= 0) continue;
    attributes[row.attnum - 1] = {
      attname: row.attname, attnum: row.attnum, atttypid: row.atttypid, atttypmod: row.atttypmod, attcollation: row.attcollation,
      attlen: row.attlen,
      attnotnull: row.attnotnull, atthasdef: row.atthasdef, attisdropped: row.attisdropped, attidentity: row.attidentity,
      attgenerated: row.attgenerated, attndims: row.attndims, defaultText: defaults.get(row.attnum) ?? null,
      missingValue: row.atthasmissing && row.attmissingval ? row.attmissingval[0] : undefined,
    };
  }
  return attributes;
}

interface IndexRow {
  indexrelid: Oid; indrelid: Oid; indnkeyatts: number; indisunique: boolean; indnullsnotdistinct: boolean; indisprimary: boolean; indisexclusion: boolean;
  indimmediate: boolean; indisvalid: boolean; indisready: boolean; indkey: number[]; indcollation: Oid[]; indclass: Oid[]; indoption: number[];
  indexprs: string | null; indpred: string | null;
}

export function buildIndex(view: CatalogView, row: Row): Index {
  const index = rowObject<IndexRow>('pg_index', row);
  const pgClass = rowObject<ClassRow>('pg_class', view.rows.one('pg_class', 'oid', index.indexrelid)!);
  const types = new Map<number, Oid>();
  for (const attribute of view.rows.rows('pg_attribute', 'attrelid', index.indexrelid)) types.set(attribute[4] as number, attribute[2] as Oid);
  const expressions = index.indexrelid < FIRST_NORMAL_OID ? null : expressionList(index.indexprs);
  let nextExpression = 0;
  const keyColumns: IndexColumn[] = index.indkey.slice(0, index.indnkeyatts).map((attnum, i) => ({
    attnum,
    expressionText: attnum === 0 ? (expressions?.[nextExpression++] ?? null) : null,
    typeOid: types.get(i + 1) ?? 0,
    collation: index.indcollation[i]!,
    opclass: index.indclass[i]!,
    descending: (index.indoption[i]! & 1) !== 0,
    nullsFirst: (index.indoption[i]! & 2) !== 0,
  }));
  return {
    oid: index.indexrelid, name: pgClass.relname, namespace: pgClass.relnamespace, storage: pgClass.relfilenode as StorageId, tableOid: index.indrelid,
    accessMethod: pgClass.relam, unique: index.indisunique, primary: index.indisprimary, exclusion: index.indisexclusion,
    nullsNotDistinct: index.indnullsnotdistinct, immediate: index.indimmediate, valid: index.indisvalid, ready: index.indisready,
    keyColumns, includeColumns: index.indkey.slice(index.indnkeyatts), predicateText: index.indpred, options: (pgClass.reloptions as readonly string[] | null) ?? [],
  };
}

interface ConstraintRow extends Omit<Constraint, 'expressionText' | 'conkey' | 'confkey'> { conkey: number[] | null; confkey: number[] | null; conbin: string | null }

export function buildConstraint(row: Row): Constraint {
  const constraint = rowObject<ConstraintRow>('pg_constraint', row);
  return { ...constraint, conkey: constraint.conkey ?? [], confkey: constraint.confkey ?? [], expressionText: constraint.conbin } as Constraint;
}

function buildExtendedStatistics(row: Row, data: Row | undefined): ExtendedStatistics {
  const at = bornTable('pg_statistic_ext').def.position;
  const of = bornTable('pg_statistic_ext_data').def.position;
  const text = (column: string): string | null => (data?.[of[column]!] as string | null | undefined) ?? null;
  const [distinct, dependencies, common] = [text('stxdndistinct'), text('stxddependencies'), text('stxdmcv')];
  const expressions = data?.[of.stxdexpr!] as ArrayValue | null | undefined;
  return {
    oid: row[0] as Oid, columns: (row[at.stxkeys!] as ArrayValue).elements as number[], expressions: row[at.stxexprs!] === null ? [] : JSON.parse(row[at.stxexprs!] as string) as string[],
    distinct: distinct === null ? [] : readDistinct(distinct), dependencies: dependencies === null ? [] : readDependencies(dependencies), common: common === null ? [] : readCommon(common),
    expressionStatistics: (expressions?.elements ?? []).map((one) => (one === null ? undefined : buildStatistics((one as RecordValue).values))),
  };
}

const KIND_MCV = 1;
const KIND_HISTOGRAM = 2;
const KIND_CORRELATION = 3;

function buildStatistics(row: Row): ColumnStatistics {
  const at = bornTable('pg_statistic').def.position;
  let values: readonly Datum[] = [];
  let frequencies: readonly number[] = [];
  let histogram: readonly Datum[] = [];
  let correlation: number | null = null;
  for (let slot = 1; slot <= 5; slot++) {
    const kind = row[at[`stakind${slot}`]!];
    const numbers = (row[at[`stanumbers${slot}`]!] as ArrayValue | null)?.elements ?? [];
    const slotValues = (row[at[`stavalues${slot}`]!] as ArrayValue | null)?.elements ?? [];
    if (kind === KIND_MCV) { values = slotValues; frequencies = numbers as number[]; }
    if (kind === KIND_HISTOGRAM) histogram = slotValues;
    if (kind === KIND_CORRELATION) correlation = (numbers[0] as number | undefined) ?? null;
  }
  return {
    nullFraction: row[at.stanullfrac!] as number, averageWidth: row[at.stawidth!] as number, distinct: row[at.stadistinct!] as number,
    mostCommonValues: values, mostCommonFrequencies: frequencies, histogram, correlation,
  };
}
