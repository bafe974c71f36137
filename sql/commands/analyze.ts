/**
 * ANALYZE: reads a table (a sample of rows when it is large) and writes pg_statistic: null fraction,
 * width, distinct count, most common values, histogram, correlation, after analyze.c's rules.
 */
import type { RowBlock } from '../../engine/storage.js';
import type { Catalog, Relation } from '../catalog/catalog.js';
import { BTREE_AM } from '../catalog/catalog.js';
import { arrayOf } from '../catalog/born-rows.js';
import { columnStore } from '../columnar/relation-columns.js';
import { MIN_ROWS } from '../columnar/stage.js';
import { tableAccess } from '../access/table-access.js';
import type { Datum } from '../types/datum.js';
import type { DataType } from '../types/data-type.js';
import { encodeDatum } from '../catalog/row-json.js';
import { settle, type CommandContext } from './command.js';
import { defaultOpclass } from './define-index.js';
import { keptStatistics, storeExtendedStatistics } from './extended-statistics.js';
import { updateClass } from './relation-rows.js';
import { sortSteps } from '../executor/sliced-sort.js';
import { eventLoopTurn } from './row-scan.js';

const DEFAULT_TARGET = 100;
const ROWS_PER_TARGET = 300;
const BYTES_PER_PAGE = 8192;
/** Looked at between turns for others. */
const VALUES_PER_TURN = 1024;


/** Statistics of all columns (or those named) of one table. */
export async function analyzeRelation(context: CommandContext, relation: Relation, columns: readonly number[] | null): Promise<void> {
  const target = Number(context.eval.settings.get('default_statistics_target') ?? DEFAULT_TARGET);
  const attributes = relation.attributes.filter((attribute) => !attribute.attisdropped && (columns === null || columns.includes(attribute.attnum)));
  const targets = new Map(attributes.map((attribute) => [attribute.attnum, statisticsTarget(context, relation, attribute.attnum, target)]));
  const extended = keptStatistics(context, relation, (attnum) => (attnum > 0 ? statisticsTarget(context, relation, attnum, target) : target));
  const wanted = ROWS_PER_TARGET * Math.max(1, ...targets.values(), ...extended.map((one) => one.target));
  const { rows, total, bytes } = await sample(context, relation, wanted);
  const access = tableAccess(relation, context.catalog);
  for (const attribute of attributes) {
    const columnTarget = targets.get(attribute.attnum)!;
    if (columnTarget === 0) continue;
    const values: Datum[] = [];
    for (const tuple of rows) {
      // Values out of line are too wide to be worth looking at (WIDTH_THRESHOLD in analyze.c).
      if (!access.codec.refOf(tuple, attribute.attnum - 1)) values.push(access.codec.read(tuple, attribute.attnum - 1));
      if (values.length % VALUES_PER_TURN === 0) await eventLoopTurn();
    }
    const type = context.catalog.dataType(attribute.atttypid);
    storeStatistics(context, relation, attribute.attnum, attribute.atttypid, attribute.attcollation, await columnStatistics(context.catalog, attribute.atttypid, type, values, total, columnTarget));
  }
  if (extended.length > 0) {
    const values: Datum[][] = [];
    for (const tuple of rows) {
      values.push(relation.attributes.map((attribute, i) => (attribute.attisdropped || access.codec.refOf(tuple, i) ? null : access.codec.read(tuple, i))));
      if (values.length % VALUES_PER_TURN === 0) await eventLoopTurn();
    }
    await storeExtendedStatistics(context, relation, extended, { rows: values, total }, columns);
  }
  // Who keeps statistics of many rows will ask about them.
  if (total >= MIN_ROWS) columnStore(context.eval.storage).loaded(relation, context.eval);
  const pages = Math.ceil(bytes / BYTES_PER_PAGE);
  updateClass(context, relation.oid, { reltuples: total, relpages: pages, relallvisible: pages });
  for (const index of relation.indexes) {
    const indexBytes = total * 24;
    updateClass(context, index.oid, { reltuples: total, relpages: Math.max(1, Math.ceil(indexBytes / BYTES_PER_PAGE)) });
  }
}

function statisticsTarget(context: CommandContext, relation: Relation, attnum: number, fallback: number): number {
  const row = context.catalog.rows.rows('pg_attribute', 'attrelid', relation.oid).find((candidate) => candidate[4] === attnum);
  const written = row?.[20] as number | undefined;
  return written === undefined || written < 0 ? fallback : written;
}

async function sortInTurns(count: number, compare: (a: number, b: number) => number): Promise<Int32Array> {
  const steps = sortSteps(count, compare);
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) return step.value;
    await eventLoopTurn();
  }
}

/** Reservoir sample of rows in row id order. */
async function sample(context: CommandContext, relation: Relation, wanted: number): Promise<{ rows: Uint8Array[]; total: number; bytes: number }> {
  const snapshot = context.transaction.takeSnapshot();
  const cursor = context.transaction.scan(relation.storage, snapshot);
  const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
  const rows: { order: number; tuple: Uint8Array }[] = [];
  const { random } = context.eval.runtime;
  let total = 0;
  let bytes = 0;
  try {
    for (;;) {
      const filled = await settle(context, () => cursor.fill(block, 1024));
      if (filled === 0) break;
      for (let i = 0; i < filled; i++) {
        const tuple = block.tuples[i]!;
        bytes += tuple.length + 28;
        if (rows.length < wanted) rows.push({ order: total, tuple: tuple.slice() });
        else {
          const at = Math.floor(random.uniform() * (total + 1));
          if (at < wanted) rows[at] = { order: total, tuple: tuple.slice() };
        }
        total++;
      }
      await eventLoopTurn();
    }
  } finally {
    cursor.close();
    snapshot.release();
  }
  const order = await sortInTurns(rows.length, (a, b) => rows[a]!.order - rows[b]!.order);
  return { rows: Array.from(order, (i) => rows[i]!.tuple), total, bytes };
}

export interface ComputedStatistics {
  nullFraction: number;
  width: number;
  distinct: number;
  common: { value: Datum; frequency: number }[];
  histogram: Datum[];
  correlation: number | null;
}

/** compute_scalar_stats, or compute_distinct/trivial_stats for types without an order. */
export async function columnStatistics(catalog: Pick<Catalog, 'defaultOpclass' | 'type' | 'cast'>, typeOid: number, type: DataType, values: readonly Datum[], total: number, target: number): Promise<ComputedStatistics> {
  const present: { value: Datum; at: number }[] = [];
  let width = 0;
  for (const [at, value] of values.entries()) {
    if (value === null) continue;
    present.push({ value, at });
    width += encodeDatum(type, value).length;
    if (at % VALUES_PER_TURN === 0) await eventLoopTurn();
  }
  const rows = values.length;
  const nullFraction = rows === 0 ? 0 : (rows - present.length) / rows;
  if (present.length === 0) return { nullFraction, width: 0, distinct: 0, common: [], histogram: [], correlation: null };
  width = type.row.width > 0 ? type.row.width : width / present.length;
  const compare = defaultOpclass({ catalog } as never, BTREE_AM, typeOid) && type.compare ? (type.compare.bind(type) as (a: Datum, b: Datum) => number) : null;
  if (!compare) return { nullFraction, width, distinct: 0, common: [], histogram: [], correlation: null };
  const sorted = Array.from(await sortInTurns(present.length, (a, b) => compare(present[a]!.value, present[b]!.value)), (i) => present[i]!);
  const groups: { value: Datum; count: number; first: number }[] = [];
  for (const [i, item] of sorted.entries()) {
    const last = groups.at(-1);
    if (last && compare(last.value, item.value) === 0) last.count++;
    else groups.push({ value: item.value, count: 1, first: i });
    if (i % VALUES_PER_TURN === 0) await eventLoopTurn();
  }
  const multiple = groups.filter((group) => group.count > 1).length;
  const distinct = distinctEstimate(groups.length, multiple, present.length, rows, total);
  const common = mostCommon(groups, multiple, distinct, present.length, rows, total, target);
  const histogram = makeHistogram(sorted, groups, common, target);
  return {
    nullFraction, width, distinct, common: common.map((group) => ({ value: group.value, frequency: group.count / rows })), histogram, correlation: correlationOf(sorted, rows),
  };
}

/** Haas and Stokes' estimator, as a fraction (negative) when it grows with the table. */
function distinctEstimate(groups: number, multiple: number, present: number, rows: number, total: number): number {
  let distinct: number;
  if (multiple === 0) distinct = -(present / rows);
  else if (multiple === groups) distinct = groups;
  else {
    const once = groups - multiple;
    const inSample = present;
    const inTable = (total * present) / rows;
    const numerator = inSample * groups;
    const denominator = inSample - once + (once * inSample) / inTable;
    distinct = Math.floor(Math.min(Math.max(numerator / denominator, groups), inTable) + 0.5);
  }
  return distinct > 0.1 * total ? -(distinct / total) : distinct;
}

interface Group { value: Datum; count: number; first: number }

/** analyze_mcv_list: all values if they are few, else those clearly more common than the rest. */
function mostCommon(groups: readonly Group[], multiple: number, distinct: number, present: number, rows: number, total: number, target: number): Group[] {
  const candidates = groups.filter((group) => group.count > 1).sort((a, b) => b.count - a.count || a.first - b.first);
  const complete = groups.length <= target && multiple === groups.length && distinct > 0;
  if (complete) return candidates;
  let list = candidates.slice(0, target);
  const nonNull = present / rows;
  const allDistinct = distinct < 0 ? -distinct * total : distinct;
  let sum = list.reduce((n, group) => n + group.count, 0) - (list.at(-1)?.count ?? 0);
  while (list.length > 0) {
    const others = allDistinct - (list.length - 1);
    const selectivity = Math.min(Math.max((nonNull - sum / rows) / Math.max(others, 1), 0), 1);
    const K = selectivity * total;
    const variance = rows > 0 && total > 1 ? (rows * K * (total - K) * (total - rows)) / (total * total * (total - 1)) : 0;
    if (list.at(-1)!.count > selectivity * rows + 2 * Math.sqrt(Math.max(variance, 0)) + 0.5) break;
    list = list.slice(0, -1);
    sum -= list.at(-1)?.count ?? 0;
  }
  return list;
}

function makeHistogram(sorted: readonly { value: Datum }[], groups: readonly Group[], common: readonly Group[], target: number): Datum[] {
  const distinctLeft = groups.length - common.length;
  const bounds = Math.min(distinctLeft, target + 1);
  if (bounds < 2) return [];
  const skipped = new Set(common);
  const rest: Datum[] = [];
  for (const group of groups) if (!skipped.has(group)) for (let i = 0; i < group.count; i++) rest.push(sorted[group.first + i]!.value);
  return Array.from({ length: bounds }, (_, i) => rest[Math.floor((i * (rest.length - 1)) / (bounds - 1))]!);
}

/** Between the order of values and the order of rows. */
function correlationOf(sorted: readonly { at: number }[], rows: number): number | null {
  const n = sorted.length;
  if (n < 2) return null;
  const ranks = new Int32Array(rows).fill(-1);
  sorted.forEach((item, rank) => (ranks[item.at] = rank));
  const order = ranks.filter((rank) => rank >= 0);
  const sumX = ((n - 1) * n) / 2;
  const sumX2 = ((n - 1) * n * (2 * n - 1)) / 6;
  let sumXY = 0;
  order.forEach((rank, position) => { sumXY += rank * position; });
  const denominator = n * sumX2 - sumX * sumX;
  return denominator === 0 ? 1 : (n * sumXY - sumX * sumX) / denominator;
}

const KIND = { common: 1, histogram: 2, correlation: 3 } as const;

/** A row of pg_statistic but for what it is about. */
export function statisticsSlots(context: CommandContext, typeOid: number, collation: number, statistics: ComputedStatistics): Record<string, Datum> {
  const opclass = defaultOpclass(context, BTREE_AM, typeOid);
  const operator = (strategy: number): number => (opclass ? (context.catalog.amop(opclass.opcfamily, opclass.opcintype, opclass.opcintype, strategy)?.amopopr ?? 0) : 0);
  const values: Record<string, Datum> = {
    stainherit: false, stanullfrac: Math.fround(statistics.nullFraction), stawidth: Math.round(statistics.width),
    stadistinct: Math.fround(statistics.distinct),
  };
  let slot = 1;
  const add = (kind: number, op: number, numbers: readonly number[] | null, items: readonly Datum[] | null): void => {
    values[`stakind${slot}`] = kind;
    values[`staop${slot}`] = op;
    values[`stacoll${slot}`] = collation;
    values[`stanumbers${slot}`] = numbers && arrayOf(700, numbers.map(Math.fround));
    values[`stavalues${slot}`] = items && arrayOf(typeOid, items);
    slot++;
  };
  if (statistics.common.length > 0) add(KIND.common, operator(3), statistics.common.map((item) => item.frequency), statistics.common.map((item) => item.value));
  if (statistics.histogram.length > 0) add(KIND.histogram, operator(1), null, statistics.histogram);
  if (statistics.correlation !== null) add(KIND.correlation, operator(1), [statistics.correlation], null);
  return values;
}

function storeStatistics(context: CommandContext, relation: Relation, attnum: number, typeOid: number, collation: number, statistics: ComputedStatistics): void {
  const values = { starelid: relation.oid, staattnum: attnum, ...statisticsSlots(context, typeOid, collation, statistics) };
  const existing = context.catalog.rows.find('pg_statistic', 'starelid', relation.oid).find((entry) => entry.values![1] === attnum);
  if (existing) context.changes.delete('pg_statistic', existing);
  context.changes.insert('pg_statistic', values);
}
