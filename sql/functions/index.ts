/**
 * Every implemented function by signature, `proname(argtypes)` with pg_type names. The map is built
 * once at start; families are plain arrays, one file each.
 */
import type { Catalog, PgProc } from '../catalog/catalog.js';
import { PG_CATALOG_NAMESPACE } from '../catalog/catalog.js';
import { FIRST_NORMAL_OID } from '../catalog/relation-builder.js';
import { aggregateFunctions } from './aggregates.js';
import { catalogAclFunctions } from './catalog-acl.js';
import { catalogDefinitionFunctions } from './catalog-definitions.js';
import { statisticsObjectFunctions } from './catalog-statistics-objects.js';
import { catalogObjectFunctions } from './catalog-objects.js';
import { catalogSizeFunctions } from './catalog-sizes.js';
import { catalogStatisticsFunctions } from './catalog-statistics.js';
import { informationSchemaFunctions } from './catalog-information-schema.js';
import { sequenceFunctions } from './catalog-sequences.js';
import { columnStatisticsFunctions } from './column-statistics.js';
import { arrayFunctions } from './arrays.js';
import { bitFunctions } from './bit-functions.js';
import { bytesFunctions } from './bytes.js';
import { castFunctions } from './casts.js';
import { comparisonFunctions } from './comparisons.js';
import { dateTimeFunctions } from './date-time-operators.js';
import { deparseFunctions } from './deparse-functions.js';
import { extractFunctions } from './extract.js';
import { numberFormatFunctions } from './format-number.js';
import { timestampFormatFunctions } from './format-timestamp.js';
import { floatFunctions } from './floats.js';
import type { SqlFunction } from './function.js';
import { hashFunctions } from './hash.js';
import { integerFunctions } from './integers.js';
import { jsonFunctions } from './json-functions.js';
import { jsonpathFunctions } from './jsonpath-evaluate.js';
import { likeFunctions } from './like.js';
import { networkFunctions } from './network-functions.js';
import { waitingFunctions } from './locks-and-sleep.js';
import { numericFunctions } from './numerics.js';
import { regexFunctions } from './regex-functions.js';
import { seriesFunctions } from './series.js';
import { exportedSnapshotFunctions } from './exported-snapshots.js';
import { sessionFunctions } from './session-functions.js';
import { stringFunctions } from './strings.js';
import { windowFunctions } from './windows.js';

const FAMILIES: readonly (readonly SqlFunction[])[] = [
  integerFunctions,
  floatFunctions,
  numericFunctions,
  comparisonFunctions,
  castFunctions,
  likeFunctions,
  regexFunctions,
  stringFunctions,
  bytesFunctions,
  arrayFunctions,
  seriesFunctions,
  jsonFunctions,
  exportedSnapshotFunctions,
  sessionFunctions,
  waitingFunctions,
  bitFunctions,
  jsonpathFunctions,
  hashFunctions,
  networkFunctions,
  dateTimeFunctions,
  extractFunctions,
  numberFormatFunctions,
  timestampFormatFunctions,
  aggregateFunctions,
  windowFunctions,
  catalogAclFunctions,
  catalogDefinitionFunctions,
  statisticsObjectFunctions,
  catalogObjectFunctions,
  catalogSizeFunctions,
  catalogStatisticsFunctions,
  columnStatisticsFunctions,
  informationSchemaFunctions,
  sequenceFunctions,
  deparseFunctions,
];

function build(): Map<string, SqlFunction> {
  const map = new Map<string, SqlFunction>();
  const add = (signature: string, fn: SqlFunction): void => {
    if (map.has(signature)) throw new Error(`function ${signature} is implemented twice`);
    map.set(signature, fn);
  };
  for (const family of FAMILIES) {
    for (const fn of family) {
      if (typeof fn.signature === 'string') add(fn.signature, fn);
      else for (const signature of fn.signature) add(signature, fn);
    }
  }
  return map;
}

export const FUNCTIONS: ReadonlyMap<string, SqlFunction> = build();

/** 'int4pl(int4,int4)' of a born function; undefined when an argument type is unknown. */
export function signatureOf(proc: PgProc, catalog: Pick<Catalog, 'type'>): string | undefined {
  const names: string[] = [];
  for (const oid of proc.proargtypes) {
    const type = catalog.type(oid);
    if (!type) return undefined;
    names.push(type.typname);
  }
  return `${proc.proname}(${names.join(',')})`;
}

/** The implementation of a born function, or undefined (calls of it raise 0A000). */
export function implementationOf(proc: PgProc, catalog: Pick<Catalog, 'type'>): SqlFunction | undefined {
  if (proc.pronamespace !== PG_CATALOG_NAMESPACE && proc.oid >= FIRST_NORMAL_OID) return undefined;
  const signature = signatureOf(proc, catalog);
  return signature === undefined ? undefined : FUNCTIONS.get(signature);
}
