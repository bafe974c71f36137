/** OIDs of born types that the sources name. All of pg_type stands in data/pg_type.json; a test checks these against it. */
export const TypeOid = {
  bool: 16, bytea: 17, char: 18, name: 19, int8: 20, int2: 21, int2vector: 22, int4: 23, regproc: 24, text: 25,
  oid: 26, tid: 27, xid: 28, cid: 29, oidvector: 30, json: 114, xml: 142, float4: 700, float8: 701, unknown: 705,
  bpchar: 1042, varchar: 1043, date: 1082, time: 1083, timestamp: 1114, timestamptz: 1184, interval: 1186, timetz: 1266,
  bit: 1560, varbit: 1562, numeric: 1700, refcursor: 1790, regprocedure: 2202, regoper: 2203, regoperator: 2204,
  regclass: 2205, regtype: 2206, uuid: 2950, jsonb: 3802, regconfig: 3734, regdictionary: 3769, regnamespace: 4089,
  regrole: 4096, regcollation: 4191, xid8: 5069, pg_lsn: 3220,
  record: 2249, cstring: 2275, any: 2276, anyarray: 2277, void: 2278, trigger: 2279, internal: 2281, anyelement: 2283,
  recordArray: 2287, anynonarray: 2776, anyenum: 3500, anyrange: 3831, anymultirange: 4537,
  anycompatible: 5077, anycompatiblearray: 5078, anycompatiblenonarray: 5079, anycompatiblerange: 5080, anycompatiblemultirange: 4538,
  boolArray: 1000, int4Array: 1007, textArray: 1009, int8Array: 1016, float8Array: 1022, oidArray: 1028, jsonpath: 4072,
} as const;
