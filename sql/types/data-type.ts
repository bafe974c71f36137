/**
 * A type's behaviour. What a type *is* (OID, category, length, array type, typmod functions) are
 * facts in pg_type; what it *does* stands in one file per type, registered by pg_type name in
 * sql/types/index.ts. Arrays, enums, domains, composites and ranges derive theirs.
 */
import type { Datum } from './datum.js';
import type { EvalContext } from '../functions/context.js';

/** The typed array a vector of this type uses. 'float64' also serves int8/timestamps while narrow. */
export type VectorKind = 'bool' | 'int32' | 'float64' | 'any';

export interface DataType {
  /** pg_type.typname. */
  readonly name: string;
  readonly vector: VectorKind;
  /** Text in; raises 22P02 and friends with PostgreSQL's message. Applies typmod when it is not -1 (as typinput does). */
  input(text: string, typmod: number, context: EvalContext): Datum;
  output(value: Datum, context: EvalContext): string;
  /** Binary wire format, without the length word. */
  receive(bytes: Uint8Array, typmod: number, context: EvalContext): Datum;
  send(value: Datum, context: EvalContext): Uint8Array;
  /** Total order as the default btree operator class has it (NaN, -0, text by UTF-8 bytes, ...). Absent: no ordering. */
  compare?(left: never, right: never): number;
  /** Equality of the default operator class. Absent: compare() === 0. */
  equal?(left: never, right: never): boolean;
  /** A primitive (number or string) such that equal values have the same one, for hash joins and grouping. Absent: the value itself serves as Map key. */
  hashKey?(value: never): number | string | bigint;
  /** Length coercion, e.g. varchar(n), numeric(p,s), timestamp(p). `explicit`: an explicit cast truncates silently. */
  applyTypmod?(value: never, typmod: number, explicit: boolean, context: EvalContext): Datum;
  /** typmodin: list of modifiers as written, e.g. ['10','2'] -> packed typmod. */
  typmodIn?(modifiers: readonly string[]): number;
  /** typmodout: e.g. '(10,2)'. */
  typmodOut?(typmod: number): string;
  /** Order-preserving key encoding for indexes (engine/keycode primitives). */
  readonly key?: KeyCodec;
  /** Storage encoding inside a row. */
  readonly row: RowCodec;
}

export interface KeyCodec {
  /** True when decode(encode(v)) is v to the byte; else index entries carry the datum too. */
  readonly lossless: boolean;
  encode(value: never, out: KeySink): void;
  decode?(source: KeySource): Datum;
}

/** Implemented by engine/keycode.ts's writer and reader. */
export interface KeySink {
  byte(value: number): void;
  int32(value: number): void;
  /** 64-bit signed, order-preserving. */
  int64(value: number | bigint): void;
  float64(value: number): void;
  /** Escaped and terminated, so that concatenated keys keep their order. */
  bytes(value: Uint8Array): void;
  /** UTF-8, escaped and terminated. */
  text(value: string): void;
}
export interface KeySource {
  byte(): number;
  int32(): number;
  int64(): number | bigint;
  float64(): number;
  bytes(): Uint8Array;
  text(): string;
}

/**
 * How a datum stands in a stored row. Fixed-width codecs are read in place at an offset; variable
 * ones get their byte range. No allocation for fixed-width types.
 */
export type RowCodec =
  | { readonly width: 1 | 2 | 4 | 8 | 12 | 16; write(value: never, into: DataView, offset: number): void; read(from: DataView, offset: number): Datum }
  | { readonly width: 0; encode(value: never): Uint8Array | string; decode(bytes: Uint8Array): Datum };
