/**
 * What ANALYZE finds for statistics objects: distinct combinations, functional dependencies, most common combinations and the
 * statistics of expressions, after mvdistinct.c, dependencies.c, mcv.c and extended_stats.c.
 */
import { arrayOf, bornTable } from '../catalog/born-rows.js';
import type { ExtendedStatistics, Relation } from '../catalog/catalog.js';
import { BTREE_AM } from '../catalog/catalog.js';
import { compileExpression } from '../executor/compile-expression.js';
import { valuesKey } from '../executor/row-key.js';
import type { Expr } from '../analyzer/query-tree.js';
import type { ArrayValue, Datum, RecordValue } from '../types/datum.js';
import { writeCommon, writeDependencies, writeDistinct, type CommonItem, type DependencyItem, type DistinctItem } from '../types/statistics.js';
import { columnStatistics, statisticsSlots } from './analyze.js';
import type { CommandContext } from './command.js';
import { defaultOpclass } from './define-index.js';
import { eventLoopTurn } from './row-scan.js';

const ROWS_PER_TURN = 1024;
const LONG_HEADER = 3;
const PG_STATISTIC_ROW = 10029;

/** A column or expression of a statistics object over the sampled rows. */
interface Dimension { readonly attnum: number; readonly type: number; readonly collation: number; readonly values: readonly Datum[] }

interface Kept { readonly object: ExtendedStatistics; readonly kinds: ReadonlySet<string>; readonly name: string; readonly namespace: number; readonly target: number }

export interface Sample { readonly rows: readonly (readonly Datum[])[]; readonly total: number }

/** The statistics objects of a relation; `targets` by column. */
export function keptStatistics(context: CommandContext, relation: Relation, targetOf: (attnum: number) => number): Kept[] {
  return relation.extendedStatistics().map((object) => {
    const row = context.catalog.rows.one('pg_statistic_ext', 'oid', object.oid)!;
    const own = row[5] as number;
    return {
      object, kinds: new Set((row[7] as ArrayValue).elements as string[]), name: row[2] as string, namespace: row[3] as number,
      target: own >= 0 ? own : Math.max(...object.columns.map(targetOf), ...(object.expressions.length > 0 ? [targetOf(0)] : [])),
    };
  });
}

/** Computes and stores them; `columns`: those that ANALYZE was asked for, null for all. */
export async function storeExtendedStatistics(context: CommandContext, relation: Relation, statistics: readonly Kept[], sample: Sample, columns: readonly number[] | null): Promise<void> {
  if (sample.rows.length === 0) return;
  for (const { object, kinds, name, namespace, target } of statistics) {
    if (columns !== null && !object.columns.every((attnum) => columns.includes(attnum))) {
      const schemas = [namespace, relation.relnamespace].map((oid) => context.catalog.namespace(oid)!.nspname);
      context.notice('WARNING', `statistics object "${schemas[0]}.${name}" could not be computed for relation "${schemas[1]}.${relation.relname}"`, { sqlstate: '42P17' });
      continue;
    }
    if (target === 0) continue;
    const dimensions = await dimensionsOf(context, relation, object, sample);
    const types = dimensions.map(({ type }) => context.catalog.dataType(type));
    const several = dimensions.length > 1;
    const values: Record<string, Datum> = {
      stxoid: object.oid, stxdinherit: false,
      stxdndistinct: several && kinds.has('d') ? writeDistinct(await distinctCombinations(dimensions, types, sample.total)) : null,
      stxddependencies: several && kinds.has('f') ? dependenciesText(await functionalDependencies(dimensions, types)) : null,
      stxdmcv: several && kinds.has('m') ? commonText(await mostCommon(context, dimensions, types, sample.total, target)) : null,
      stxdexpr: kinds.has('e') ? await expressionStatistics(context, dimensions.filter(({ attnum }) => attnum < 0), sample.total, target) : null,
    };
    for (const entry of context.catalog.rows.find('pg_statistic_ext_data', 'stxoid', object.oid)) context.changes.delete('pg_statistic_ext_data', entry);
    context.changes.insert('pg_statistic_ext_data', values);
  }
}

async function dimensionsOf(context: CommandContext, relation: Relation, { columns, expressions }: ExtendedStatistics, { rows }: Sample): Promise<Dimension[]> {
  const found: Dimension[] = columns.map((attnum) => {
    const { atttypid, attcollation } = relation.attributes[attnum - 1]!;
    return { attnum, type: atttypid, collation: attcollation, values: rows.map((row) => row[attnum - 1] ?? null) };
  });
  for (const [i, text] of expressions.entries()) {
    const expr: Expr = context.hooks.analyzeExpressionText(text, { kind: 'statistics expression', relation }, context.eval);
    const evaluate = compileExpression(expr, context.catalog);
    const values: Datum[] = [];
    for (const row of rows) {
      values.push(evaluate(row, context.eval));
      if (values.length % ROWS_PER_TURN === 0) await eventLoopTurn();
    }
    found.push({ attnum: -1 - i, type: expr.type, collation: expr.collation, values });
  }
  return found;
}

type Types = readonly Parameters<typeof valuesKey>[0][number][];

/** How many rows have each combination of these dimensions. */
async function combinations(dimensions: readonly Dimension[], types: Types): Promise<{ counts: Map<unknown, { count: number; first: number }>; keys: unknown[] }> {
  const key = valuesKey(types);
  const counts = new Map<unknown, { count: number; first: number }>();
  const keys: unknown[] = [];
  const rows = dimensions[0]!.values.length;
  for (let row = 0; row < rows; row++) {
    const k = key(dimensions.map(({ values }) => values[row]!));
    keys.push(k);
    const found = counts.get(k);
    if (found) found.count++;
    else counts.set(k, { count: 1, first: row });
    if (row % ROWS_PER_TURN === 0) await eventLoopTurn();
  }
  return { counts, keys };
}

/** Subsets of 0..n-1 of a size, in lexicographic order. */
function subsets(n: number, size: number, from = 0): number[][] {
  if (size === 0) return [[]];
  const found: number[][] = [];
  for (let first = from; first <= n - size; first++) for (const rest of subsets(n, size - 1, first + 1)) found.push([first, ...rest]);
  return found;
}

async function distinctCombinations(dimensions: readonly Dimension[], types: Types, total: number): Promise<DistinctItem[]> {
  const found: DistinctItem[] = [];
  for (let size = 2; size <= dimensions.length; size++) {
    for (const members of subsets(dimensions.length, size)) {
      const { counts } = await combinations(members.map((m) => dimensions[m]!), members.map((m) => types[m]!));
      let once = 0;
      for (const { count } of counts.values()) if (count === 1) once++;
      found.push({ columns: members.map((m) => dimensions[m]!.attnum), count: estimateDistinct(total, dimensions[0]!.values.length, counts.size, once) });
    }
  }
  return found;
}

/** Duj1, as for single columns. */
function estimateDistinct(total: number, rows: number, distinct: number, once: number): number {
  const estimate = (rows * distinct) / (rows - once + (once * rows) / total);
  return Math.floor(Math.min(Math.max(estimate, distinct), total) + 0.5);
}

/** For each set of columns and one that may follow from them: the part of the rows for which it does. */
async function functionalDependencies(dimensions: readonly Dimension[], types: Types): Promise<DependencyItem[]> {
  const found: DependencyItem[] = [];
  const rows = dimensions[0]!.values.length;
  for (let size = 2; size <= dimensions.length; size++) {
    for (const members of subsets(dimensions.length, size - 1)) {
      const of = (list: readonly number[]) => combinations(list.map((m) => dimensions[m]!), list.map((m) => types[m]!));
      const { counts, keys } = await of(members);
      for (let implied = 0; implied < dimensions.length; implied++) {
        if (members.includes(implied)) continue;
        const last = await of([implied]);
        const broken = new Set<unknown>();
        for (let row = 0; row < rows; row++) if (last.keys[row] !== last.keys[counts.get(keys[row])!.first]) broken.add(keys[row]);
        let supporting = 0;
        for (const [key, { count }] of counts) if (!broken.has(key)) supporting += count;
        if (supporting > 0) found.push({ columns: [...members, implied].map((m) => dimensions[m]!.attnum), degree: supporting / rows });
      }
    }
  }
  return found;
}

function dependenciesText(items: readonly DependencyItem[]): string | null {
  return items.length > 0 ? writeDependencies(items) : null;
}

async function mostCommon(context: CommandContext, dimensions: readonly Dimension[], types: Types, total: number, target: number): Promise<CommonItem[]> {
  const rows = dimensions[0]!.values.length;
  const { counts } = await combinations(dimensions, types);
  const compares = dimensions.map(({ type }, d) => (defaultOpclass(context, BTREE_AM, type) && types[d]!.compare ? (types[d]!.compare!.bind(types[d]) as (a: Datum, b: Datum) => number) : () => 0));
  const byValue = (a: number, b: number): number => {
    for (const [d, { values }] of dimensions.entries()) {
      const [x, y] = [values[a]!, values[b]!];
      const order = x === null || y === null ? Number(x === null) - Number(y === null) : compares[d]!(x, y);
      if (order !== 0) return order;
    }
    return 0;
  };
  const groups = [...counts.values()].sort((a, b) => b.count - a.count || byValue(a.first, b.first)).slice(0, target);
  const least = leastCount(rows, total);
  const kept = groups.findIndex(({ count }) => count < least);
  const single = await Promise.all(dimensions.map(async (dimension, d) => {
    const alone = await combinations([dimension], [types[d]!]);
    return (row: number): number => alone.counts.get(alone.keys[row])!.count / rows;
  }));
  return (kept < 0 ? groups : groups.slice(0, kept)).map(({ count, first }) => ({
    values: dimensions.map(({ values }, d) => (values[first] === null ? null : types[d]!.output(values[first]!, context.eval))),
    frequency: count / rows, baseFrequency: single.reduce((product, frequency) => product * frequency(first), 1),
  }));
}

/** Rows of the sample from which on a combination says something about the table. */
function leastCount(rows: number, total: number): number {
  const denominator = total - rows + 0.04 * rows * (total - 1);
  return denominator === 0 ? 0 : (rows * (total - rows)) / denominator;
}

function commonText(items: readonly CommonItem[]): string | null {
  return items.length > 0 ? writeCommon(items) : null;
}

/** As rows of pg_statistic. */
async function expressionStatistics(context: CommandContext, expressions: readonly Dimension[], total: number, target: number): Promise<Datum> {
  const { columns } = bornTable('pg_statistic').def;
  const types = columns.map(({ name }) => context.catalog.relation(2619)!.attributes.find((attribute) => attribute.attname === name)!.atttypid);
  const records: RecordValue[] = [];
  for (const { type, collation, values } of expressions) {
    const computed = await columnStatistics(context.catalog, type, context.catalog.dataType(type), values, total, target);
    // Computed values have a long header, stored ones a short one.
    if (context.catalog.dataType(type).row.width === 0) computed.width += LONG_HEADER;
    const slots: Record<string, Datum> = { starelid: 0, staattnum: 0, ...statisticsSlots(context, type, collation, computed) };
    records.push({ typeOid: PG_STATISTIC_ROW, types, values: columns.map(({ name }) => slots[name] ?? (/^sta(kind|op|coll)\d$/.test(name) ? 0 : null)) });
  }
  return arrayOf(PG_STATISTIC_ROW, records);
}
