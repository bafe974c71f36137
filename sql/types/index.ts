/**
 * Behaviour of every type by pg_type name, and the derivation of it for arrays, vectors, enums,
 * domains and composite types. `Catalog.dataType` calls `deriveDataType` once per type and version.
 */
import type { Catalog, PgType } from '../catalog/catalog.js';
import { PG_CATALOG_NAMESPACE } from '../catalog/catalog.js';
import { aclItemType } from './acl-item.js';
import { arrayType, vectorType } from './array.js';
import { bitDataType, varbitType } from './bits.js';
import { boolType } from './bool.js';
import { byteaType } from './bytea.js';
import type { DataType } from './data-type.js';
import { dateType, intervalType, timeType, timestampDataType, timestamptzDataType, timetzType } from './date-time.js';
import { enumType } from './enum.js';
import { float4Type, float8Type } from './float.js';
import { cidType, int2Type, int4Type, int8Type, oidType, pgLsnType, tidType, xid8Type, xidType } from './integer.js';
import { jsonType } from './json.js';
import { jsonpathType } from './jsonpath.js';
import { jsonbType } from './jsonb.js';
import { cidrType, inetType } from './network.js';
import { numericType } from './numeric-type.js';
import { anyArrayType, pseudoType, unsupportedType, voidType } from './pseudo.js';
import { recordType } from './record.js';
import { regTypes } from './reg.js';
import { bpcharType, charType, cstringType, nameType, pgNodeTreeType, refcursorType, snapshotType, textType, unknownType, varcharType } from './text.js';
import { statisticsTypes } from './statistics.js';
import { uuidType } from './uuid.js';

const ARRAY_PSEUDO_TYPES = ['anyarray', 'anycompatiblearray'];

/** Base types of pg_catalog with a file of their own. */
export const BORN_TYPES: ReadonlyMap<string, DataType> = new Map(
  [
    boolType, int2Type, int4Type, int8Type, oidType, xidType, cidType, xid8Type, tidType, pgLsnType,
    float4Type, float8Type, numericType,
    textType, varcharType, bpcharType, nameType, charType, unknownType, cstringType, refcursorType, pgNodeTreeType,
    dateType, timeType, timetzType, timestampDataType, timestamptzDataType, intervalType,
    bitDataType, varbitType, inetType, cidrType, aclItemType, snapshotType('txid_snapshot'), snapshotType('pg_snapshot'), byteaType, uuidType, jsonType, jsonbType, jsonpathType, voidType,
    vectorType('int2vector', 21, int2Type), vectorType('oidvector', 26, oidType),
    ...regTypes,
    ...statisticsTypes,
    ...ARRAY_PSEUDO_TYPES.map(anyArrayType),
  ].map((type) => [type.name, type]),
);

/** What a type does, from its pg_type row. Element, base and column types are asked of `catalog`. */
export function deriveDataType(type: PgType, catalog: Catalog): DataType {
  if (type.typnamespace === PG_CATALOG_NAMESPACE) {
    const born = BORN_TYPES.get(type.typname);
    if (born) return born;
  }
  switch (type.typtype) {
    case 'c': return recordType(type, catalog);
    case 'd': {
      const base = catalog.dataType(type.typbasetype);
      return {
        ...base,
        name: type.typname,
        input: (text, _typmod, context) => base.input(text, type.typtypmod, context),
        receive: (bytes, _typmod, context) => base.receive(bytes, type.typtypmod, context),
      };
    }
    case 'e': return enumType(type, catalog);
    case 'p':
      if (type.typname === 'record') return recordType(type, catalog);
      if (type.typelem === 0) return pseudoType(type.typname);
      break;
    default:
  }
  if (type.typelem !== 0 && type.typlen === -1 && catalog.type(type.typelem)?.typarray === type.oid) {
    return arrayType(type.typname, type.typelem, () => catalog.dataType(type.typelem), catalog.type(type.typelem)?.typdelim ?? ',');
  }
  return unsupportedType(type.typname);
}
