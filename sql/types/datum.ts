/**
 * How SQL values stand in JavaScript, one representation per type, the same in expressions,
 * functions, aggregates and vectors of kind 'any'. NULL is always `null`, never `undefined`.
 *
 *   bool                      boolean
 *   int2 int4 oid xid cid     number
 *   reg* types                number (the OID)
 *   int8                      Int8: number while it is a safe integer, else bigint; canonical, so
 *                             `===` is equality and `<` compares exactly, mixed or not
 *   float4 float8             number (float4 already rounded by Math.fround)
 *   numeric                   Numeric (sql/types/numeric.ts), immutable and exact
 *   text varchar bpchar name  string (bpchar padded); compares by code points = UTF-8 bytes
 *   "char" json unknown xml   string
 *   bytea                     Uint8Array
 *   date                      number: days since 2000-01-01; +-Infinity
 *   time                      number: microseconds since midnight
 *   timetz                    TimeTz
 *   timestamp timestamptz     Int8 microseconds since 2000-01-01 (UTC); +-Infinity
 *   interval                  Interval
 *   uuid                      string, lower case with hyphens (text order = byte order)
 *   jsonb                     Jsonb (sql/types/jsonb.ts), normalised
 *   arrays, oidvector, int2vector   ArrayValue
 *   record, composite types   RecordValue
 *   enum                      number: the OID of the pg_enum row
 *   tid                       number: block * 65536 + offset (the row id)
 *   xid8 pg_lsn               Int8 / number
 *   void                      ''
 */
export type Int8 = number | bigint;

export interface TimeTz {
  readonly micros: number;
  /** Seconds west of UTC, as PostgreSQL stores it. */
  readonly zone: number;
}

export interface Interval {
  readonly months: number;
  readonly days: number;
  readonly micros: Int8;
}

export interface ArrayValue {
  readonly elementType: number;
  /** Length of each dimension; empty for the empty array. */
  readonly dimensions: readonly number[];
  readonly lowerBounds: readonly number[];
  /** Row-major. */
  readonly elements: readonly Datum[];
}

export interface RecordValue {
  /** OID of the composite type, or 2249 (record). */
  readonly typeOid: number;
  readonly types: readonly number[];
  readonly values: readonly Datum[];
  /** Column names of an anonymous record, where they are known (rows of subqueries): row_to_json shows them. */
  readonly names?: readonly string[];
}

/**
 * A value of any SQL type. Object types are opaque here: only their type's own file looks inside.
 */
export type Datum = null | boolean | number | bigint | string | Uint8Array | object;

/** Brings an exact integer into Int8's canonical form. */
export function int8FromBigInt(value: bigint): Int8 {
  return value >= -9007199254740991n && value <= 9007199254740991n ? Number(value) : value;
}
