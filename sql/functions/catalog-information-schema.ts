/** information_schema's own helper functions (SQL functions in PostgreSQL). */
import type { ArrayValue, Datum, RecordValue } from '../types/datum.js';
import type { CatalogView } from '../catalog/catalog-view.js';
import type { EvalContext } from './context.js';
import { f, fc, set } from './define.js';
import type { SqlFunction } from './function.js';

const BPCHAR = 1042;
const VARCHAR = 1043;
const NUMERIC = 1700;

/** Positions in pg_attribute and pg_type rows. */
const ATTTYPID = 2;
const ATTTYPMOD = 6;
const TYPTYPE = 6;
const TYPBASETYPE = 25;
const TYPTYPMOD = 26;

function characterLength(type: number, typmod: number): number | null {
  if (typmod === -1) return null;
  if (type === BPCHAR || type === VARCHAR) return typmod - 4;
  return type === 1560 || type === 1562 ? typmod : null;
}

const PRECISIONS: Readonly<Record<number, number>> = { 21: 16, 23: 32, 20: 64, 700: 24, 701: 53 };

const INTERVAL_FIELDS: readonly (readonly [number, string])[] = [
  [4, 'YEAR'], [2, 'MONTH'], [8, 'DAY'], [1024, 'HOUR'], [2048, 'MINUTE'], [4096, 'SECOND'], [6, 'YEAR TO MONTH'], [1032, 'DAY TO HOUR'], [3080, 'DAY TO MINUTE'],
  [7176, 'DAY TO SECOND'], [3072, 'HOUR TO MINUTE'], [7168, 'HOUR TO SECOND'], [6144, 'MINUTE TO SECOND'],
];

export const informationSchemaFunctions: readonly SqlFunction[] = [
  set('_pg_expandarray(anyarray)', (array: ArrayValue) => array.elements.map((value, i): Datum[] => [value, i + 1])),
  fc('_pg_index_position(oid,int2)', (index: number, attnum: number, context: EvalContext) => {
    const row = (context.catalog as CatalogView).rows.one('pg_index', 'indexrelid', index);
    const at = row ? (row[15] as ArrayValue).elements.indexOf(attnum) : -1;
    return at < 0 ? null : at + 1;
  }),
  f('_pg_truetypid(pg_attribute,pg_type)', (attribute: RecordValue, type: RecordValue) => (type.values[TYPTYPE] === 'd' ? type.values[TYPBASETYPE]! : attribute.values[ATTTYPID]!)),
  f('_pg_truetypmod(pg_attribute,pg_type)', (attribute: RecordValue, type: RecordValue) => (type.values[TYPTYPE] === 'd' ? type.values[TYPTYPMOD]! : attribute.values[ATTTYPMOD]!)),
  f('_pg_char_max_length(oid,int4)', characterLength),
  f('_pg_char_octet_length(oid,int4)', (type: number, typmod: number) => {
    if (type !== 25 && type !== BPCHAR && type !== VARCHAR) return null;
    return typmod === -1 ? 1073741824 : (typmod - 4) * 4;
  }),
  f('_pg_numeric_precision(oid,int4)', (type: number, typmod: number) => (type === NUMERIC ? (typmod === -1 ? null : ((typmod - 4) >> 16) & 0xffff) : (PRECISIONS[type] ?? null))),
  f('_pg_numeric_precision_radix(oid,int4)', (type: number, _typmod: number) => (type in PRECISIONS ? 2 : type === NUMERIC ? 10 : null)),
  f('_pg_numeric_scale(oid,int4)', (type: number, typmod: number) => {
    if (type === 21 || type === 23 || type === 20) return 0;
    return type === NUMERIC && typmod !== -1 ? (typmod - 4) & 0x7ff : null;
  }),
  f('_pg_datetime_precision(oid,int4)', (type: number, typmod: number) => {
    if (type === 1082) return 0;
    if (type === 1083 || type === 1114 || type === 1184 || type === 1266) return typmod < 0 ? 6 : typmod;
    if (type === 1186) return typmod < 0 || (typmod & 0xffff) === 0xffff ? 6 : typmod & 0xffff;
    return null;
  }),
  f('_pg_interval_type(oid,int4)', (type: number, typmod: number) => {
    if (type !== 1186) return null;
    const mask = typmod < 0 ? 0x7fff : (typmod >> 16) & 0x7fff;
    return INTERVAL_FIELDS.find(([bits]) => bits === mask)?.[1] ?? null;
  }),
];
