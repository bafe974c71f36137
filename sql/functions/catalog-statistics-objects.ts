/** pg_get_statisticsobjdef and its parts, and what pg_stats_ext reads of the most common combinations. */
import type { CatalogView } from '../catalog/catalog-view.js';
import { arrayOf, type Row } from '../catalog/born-rows.js';
import { quoteIdentifier, quoteQualified } from '../catalog/identifiers.js';
import type { ArrayValue, Datum } from '../types/datum.js';
import { readCommon } from '../types/statistics.js';
import { expressionOf, isFunctionLike, relationText } from './catalog-definitions.js';
import type { EvalContext } from './context.js';
import { fc, set } from './define.js';
import type { SqlFunction } from './function.js';

const TEXT = 25;
const BOOL = 16;
const KINDS: readonly (readonly [string, string])[] = [['d', 'ndistinct'], ['f', 'dependencies'], ['m', 'mcv']];

function rowOf(context: EvalContext, oid: number): Row | undefined {
  return (context.catalog as CatalogView).rows.one('pg_statistic_ext', 'oid', oid);
}

function expressionTexts(context: EvalContext, row: Row, bare: boolean): string[] {
  if (row[8] === null) return [];
  const relation = context.catalog.relation(row[1] as number);
  if (!relation) return [];
  return (JSON.parse(row[8] as string) as string[]).map((stored) => {
    const { expr, text } = expressionOf(context, relation, stored, !bare);
    return bare || isFunctionLike(expr) ? text : `(${text})`;
  });
}

function columnsText(context: EvalContext, row: Row): string {
  const relation = context.catalog.relation(row[1] as number)!;
  const names = ((row[6] as ArrayValue).elements as number[]).map((attnum) => quoteIdentifier(relation.attributes[attnum - 1]!.attname));
  return [...names, ...expressionTexts(context, row, false)].join(', ');
}

/** The CREATE STATISTICS command. */
function definition(context: EvalContext, row: Row): string {
  const asked = new Set((row[7] as ArrayValue).elements as string[]);
  const parts = ((row[6] as ArrayValue).elements.length) + (row[8] === null ? 0 : (JSON.parse(row[8] as string) as string[]).length);
  const kinds = KINDS.filter(([letter]) => asked.has(letter)).map(([, name]) => name);
  // All of them need not be said, and of a single expression there is none.
  const written = kinds.length === KINDS.length || parts === 1 ? '' : ` (${kinds.join(', ')})`;
  return `CREATE STATISTICS ${quoteQualified(context.catalog.namespace(row[3] as number)?.nspname ?? null, row[2] as string)}${written} ON ${columnsText(context, row)} FROM ${relationText(context, row[1] as number)}`;
}

export const statisticsObjectFunctions: readonly SqlFunction[] = [
  fc('pg_get_statisticsobjdef(oid)', (oid: number, context: EvalContext) => {
    const row = rowOf(context, oid);
    return row ? definition(context, row) : null;
  }),
  fc('pg_get_statisticsobjdef_columns(oid)', (oid: number, context: EvalContext) => {
    const row = rowOf(context, oid);
    return row ? columnsText(context, row) : null;
  }),
  fc('pg_get_statisticsobjdef_expressions(oid)', (oid: number, context: EvalContext) => {
    const row = rowOf(context, oid);
    const texts = row ? expressionTexts(context, row, true) : [];
    return texts.length > 0 ? arrayOf(TEXT, texts) : null;
  }),
  set('pg_mcv_list_items(pg_mcv_list)', (list: string) => readCommon(list).map(({ values, frequency, baseFrequency }, index): Datum[] => [
    index, arrayOf(TEXT, values), arrayOf(BOOL, values.map((value) => value === null)), frequency, baseFrequency,
  ])),
];
