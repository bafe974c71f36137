/**
 * Catalog rows that Oxbow is born with and PostgreSQL is not: the access method `learned`, and functions of its own. They stand behind PostgreSQL's, so
 * that those keep their identities. Their OIDs are from 9600 on, which PostgreSQL leaves to development and no release uses;
 * they are below 16384 so that pg_dump takes them for the server's own and writes no CREATE ACCESS METHOD.
 *
 * Operators and support functions of its operator classes are those of btree's for the same types.
 */
import type { ArrayValue, Datum } from '../types/datum.js';

type Row = readonly Datum[];

export const LEARNED_AM = 9900;
export const LEARNED_NAME = 'learned';
const HANDLER = 9901;
const AMOP_START = 9600;
const AMPROC_START = 9800;
const BTREE = 403;
const BTREE_HANDLER = 330;

/** Families by btree's: own OID, and the types. */
const FAMILIES = [
  { oid: 9910, btree: 1976, types: [21, 23, 20] },
  { oid: 9911, btree: 1989, types: [26] },
  { oid: 9912, btree: 1970, types: [701] },
  { oid: 9913, btree: 434, types: [1082, 1114, 1184] },
] as const;
const OPCLASS_START = 9920;
const [CHAR, NAME, INT8, INT4, TEXT, OID] = [18, 19, 20, 23, 25, 26] as const;

/** Functions that return rows and take no arguments: OID, name, names and types of the columns. */
const ROW_FUNCTIONS: readonly { readonly oid: number; readonly name: string; readonly columns: readonly (readonly [string, number])[] }[] = [
  {
    oid: 9950, name: 'oxbow_stat_columns',
    columns: [
      ['datid', OID], ['datname', NAME], ['relid', OID], ['relname', NAME], ['blocks', INT4], ['ready', INT4], ['columns', INT4], ['memory_bytes', INT8], ['disk_bytes', INT8], ['hits', INT8], ['reads', INT8],
      ['builds', INT8],
    ],
  },
];
/** By signature. */
export const OWN_ROW_FUNCTIONS: readonly string[] = ROW_FUNCTIONS.map(({ name }) => `${name}()`);
const ROW_FUNCTION_MODEL = 'pg_get_keywords';

function rowFunctions(born: readonly Row[]): Row[] {
  const model = born.find((row) => row[1] === ROW_FUNCTION_MODEL)!;
  const list = (elementType: number, elements: readonly Datum[]): ArrayValue => ({ elementType, dimensions: [elements.length], lowerBounds: [1], elements });
  return ROW_FUNCTIONS.map(({ oid, name, columns }) => {
    const row = [...model];
    row[0] = oid;
    row[1] = row[25] = name;
    row[14] = 'v';
    row[20] = list(OID, columns.map(([, type]) => type));
    row[21] = list(CHAR, columns.map(() => 'o'));
    row[22] = list(TEXT, columns.map(([column]) => column));
    return row;
  });
}

/** Types that a key may have. */
export const LEARNED_TYPES: ReadonlySet<number> = new Set(FAMILIES.flatMap(({ types }) => types as readonly number[]));

/** Oxbow's rows of a catalog table; `born`: PostgreSQL's. */
export function ownRows(table: string, born: readonly Row[]): Row[] {
  switch (table) {
    case 'pg_am': return [[LEARNED_AM, LEARNED_NAME, HANDLER, 'i']];
    case 'pg_proc': return born.filter((row) => row[0] === BTREE_HANDLER).map((row) => row.map((value, i) => (i === 0 ? HANDLER : value === 'bthandler' ? 'learnedhandler' : value))).concat(rowFunctions(born));
    case 'pg_opfamily': return FAMILIES.map(({ oid, btree }) => born.find((row) => row[0] === btree)!.map((value, i) => (i === 0 ? oid : i === 1 ? LEARNED_AM : value)));
    case 'pg_opclass': return FAMILIES.flatMap(({ oid, btree, types }) => types.map((type) => ({ oid, row: born.find((row) => row[5] === btree && row[6] === type && row[7] === true)! })))
      .map(({ oid, row }, n) => row.map((value, i) => (i === 0 ? OPCLASS_START + n : i === 1 ? LEARNED_AM : i === 5 ? oid : value)));
    case 'pg_amop': return FAMILIES.flatMap(({ oid, btree, types }) => born.filter((row) => row[1] === btree && row[7] === BTREE && has(types, row[2]) && has(types, row[3])).map((row) => ({ oid, row })))
      .map(({ oid, row }, n) => row.map((value, i) => (i === 0 ? AMOP_START + n : i === 1 ? oid : i === 7 ? LEARNED_AM : value)));
    case 'pg_amproc': return FAMILIES.flatMap(({ oid, btree, types }) => born.filter((row) => row[1] === btree && row[4] === 1 && has(types, row[2]) && has(types, row[3])).map((row) => ({ oid, row })))
      .map(({ oid, row }, n) => row.map((value, i) => (i === 0 ? AMPROC_START + n : i === 1 ? oid : value)));
    default: return [];
  }
}

function has(types: readonly number[], type: Datum | undefined): boolean {
  return types.includes(type as number);
}
