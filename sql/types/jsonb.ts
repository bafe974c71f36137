/**
 * jsonb: a normalised tree. Objects keep their keys unique (the last one wins) and ordered by
 * length in bytes, then bytes, as PostgreSQL stores and prints them; numbers are Numeric.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { DataType } from './data-type.js';
import { parseJson, quoteJson, type JsonBuilder } from './json.js';
import { Numeric, compareNumeric } from './numeric.js';
import { numericInput, numericType } from './numeric-type.js';
import { compareText, decodeUtf8, decodeUtf8Checked, encodeUtf8, utf8Length } from './utf8.js';
import { viewOf } from './wire-bytes.js';

export class JsonbObject {
  /** Keys in jsonb order, unique; values beside them. */
  constructor(readonly keys: readonly string[], readonly values: readonly JsonbNode[]) {}

  get(key: string): JsonbNode | undefined {
    const at = this.indexOf(key);
    return at < 0 ? undefined : this.values[at];
  }

  indexOf(key: string): number {
    let low = 0;
    let high = this.keys.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const order = compareJsonbKeys(key, this.keys[middle]!);
      if (order === 0) return middle;
      if (order < 0) high = middle - 1;
      else low = middle + 1;
    }
    return -1;
  }
}

export type JsonbNode = null | boolean | string | Numeric | readonly JsonbNode[] | JsonbObject;

/** The datum: a node in a wrapper, so that JSON null is not SQL NULL. */
export class Jsonb {
  constructor(readonly value: JsonbNode) {}
}

export function compareJsonbKeys(a: string, b: string): number {
  return utf8Length(a) - utf8Length(b) || compareText(a, b);
}

/** An object from pairs in the order written. */
export function makeJsonbObject(keys: readonly string[], values: readonly JsonbNode[]): JsonbObject {
  let sorted = true;
  for (let i = 1; i < keys.length && sorted; i++) sorted = compareJsonbKeys(keys[i - 1]!, keys[i]!) < 0;
  if (sorted) return new JsonbObject(keys, values);
  const last = new Map<string, JsonbNode>();
  keys.forEach((key, i) => last.set(key, values[i]!));
  const ordered = [...last.keys()].sort(compareJsonbKeys);
  return new JsonbObject(ordered, ordered.map((key) => last.get(key)!));
}

export const isJsonbArray = (node: JsonbNode): node is readonly JsonbNode[] => Array.isArray(node);

const builder: JsonBuilder<JsonbNode> = {
  object: makeJsonbObject,
  array: (values) => values,
  string(value) {
    if (value.length > 89478485 && utf8Length(value) > 268435455) throw new DatabaseError('54000', 'string too long to represent as jsonb string');
    return value;
  },
  number: (text) => numericInput(text),
  literal: (value) => value,
};

export function parseJsonb(text: string): Jsonb {
  return new Jsonb(parseJson(text, builder, true));
}

/** Compact text with PostgreSQL's ", " and ": ". */
export function printJsonbNode(node: JsonbNode): string {
  if (node === null) return 'null';
  switch (typeof node) {
    case 'string': return quoteJson(node);
    case 'boolean': return node ? 'true' : 'false';
    default:
  }
  if (node instanceof Numeric) return node.toString();
  if (node instanceof JsonbObject) {
    let text = '{';
    for (let i = 0; i < node.keys.length; i++) text += `${i > 0 ? ', ' : ''}${quoteJson(node.keys[i]!)}: ${printJsonbNode(node.values[i]!)}`;
    return `${text}}`;
  }
  let text = '[';
  for (let i = 0; i < node.length; i++) text += (i > 0 ? ', ' : '') + printJsonbNode(node[i]!);
  return `${text}]`;
}

/** jsonb_pretty. */
export function prettyJsonb(node: JsonbNode, indent = ''): string {
  const inner = `${indent}    `;
  if (node instanceof JsonbObject) {
    if (node.keys.length === 0) return `{\n${indent}}`;
    return `{\n${node.keys.map((key, i) => `${inner}${quoteJson(key)}: ${prettyJsonb(node.values[i]!, inner)}`).join(',\n')}\n${indent}}`;
  }
  if (isJsonbArray(node)) {
    if (node.length === 0) return `[\n${indent}]`;
    return `[\n${node.map((value) => inner + prettyJsonb(value, inner)).join(',\n')}\n${indent}]`;
  }
  return printJsonbNode(node);
}

/** Text in which equal values are equal (numbers without trailing zeros). */
function canonicalText(node: JsonbNode): string {
  if (node instanceof Numeric) return node.trimScale().toString();
  if (node instanceof JsonbObject) return `{${node.keys.map((key, i) => `${quoteJson(key)}:${canonicalText(node.values[i]!)}`).join(',')}}`;
  if (isJsonbArray(node)) return `[${node.map(canonicalText).join(',')}]`;
  return printJsonbNode(node);
}

/** Null < string < number < boolean < array < object. */
function kindRank(node: JsonbNode): number {
  if (node === null) return 0;
  if (typeof node === 'string') return 1;
  if (node instanceof Numeric) return 2;
  if (typeof node === 'boolean') return 3;
  return node instanceof JsonbObject ? 5 : 4;
}

function compareNodes(a: JsonbNode, b: JsonbNode): number {
  const rank = kindRank(a);
  const other = kindRank(b);
  if (rank !== other) return rank - other;
  switch (rank) {
    case 0: return 0;
    case 1: return compareText(a as string, b as string);
    case 2: return compareNumeric(a as Numeric, b as Numeric);
    case 3: return Number(a) - Number(b);
    case 4: {
      const x = a as readonly JsonbNode[];
      const y = b as readonly JsonbNode[];
      if (x.length !== y.length) return x.length - y.length;
      for (let i = 0; i < x.length; i++) {
        const order = compareNodes(x[i]!, y[i]!);
        if (order !== 0) return order;
      }
      return 0;
    }
    default: {
      const x = a as JsonbObject;
      const y = b as JsonbObject;
      if (x.keys.length !== y.keys.length) return x.keys.length - y.keys.length;
      for (let i = 0; i < x.keys.length; i++) {
        const order = compareText(x.keys[i]!, y.keys[i]!) || compareNodes(x.values[i]!, y.values[i]!);
        if (order !== 0) return order;
      }
      return 0;
    }
  }
}

/** The btree order; at top level a scalar stands as an array of one, so an empty array is less than it. */
export function compareJsonb(left: Jsonb, right: Jsonb): number {
  const a = left.value;
  const b = right.value;
  const aArray = isJsonbArray(a);
  const bArray = isJsonbArray(b);
  if (aArray !== bArray && !(a instanceof JsonbObject) && !(b instanceof JsonbObject)) {
    if (aArray) return (a.length - 1) || 1;
    return bArray ? (1 - b.length) || -1 : 0;
  }
  return compareNodes(a, b);
}

export function equalJsonbNodes(a: JsonbNode, b: JsonbNode): boolean {
  return a === b || compareNodes(a, b) === 0;
}

// ---- row form: a tag byte per node -----------------------------------------------------------

const TAG = { null: 0, false: 1, true: 2, number: 3, string: 4, array: 5, object: 6 } as const;

class RowWriter {
  private buffer = new Uint8Array(256);
  private position = 0;
  private reserve(bytes: number): void {
    if (this.position + bytes <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(this.buffer.length * 2, this.position + bytes));
    grown.set(this.buffer.subarray(0, this.position));
    this.buffer = grown;
  }
  byte(value: number): void {
    this.reserve(1);
    this.buffer[this.position++] = value;
  }
  count(value: number): void {
    while (value >= 128) {
      this.byte((value & 127) | 128);
      value >>>= 7;
    }
    this.byte(value);
  }
  bytes(value: Uint8Array): void {
    this.count(value.length);
    this.reserve(value.length);
    this.buffer.set(value, this.position);
    this.position += value.length;
  }
  finish(): Uint8Array {
    return this.buffer.slice(0, this.position);
  }
}

function writeNode(node: JsonbNode, out: RowWriter): void {
  if (node === null) out.byte(TAG.null);
  else if (typeof node === 'boolean') out.byte(node ? TAG.true : TAG.false);
  else if (typeof node === 'string') {
    out.byte(TAG.string);
    out.bytes(encodeUtf8(node));
  } else if (node instanceof Numeric) {
    out.byte(TAG.number);
    out.bytes(encodeNumeric(node));
  } else if (node instanceof JsonbObject) {
    out.byte(TAG.object);
    out.count(node.keys.length);
    for (let i = 0; i < node.keys.length; i++) {
      out.bytes(encodeUtf8(node.keys[i]!));
      writeNode(node.values[i]!, out);
    }
  } else {
    out.byte(TAG.array);
    out.count(node.length);
    for (const value of node) writeNode(value, out);
  }
}

function encodeNumeric(value: Numeric): Uint8Array {
  const codec = numericType.row as { encode(value: Numeric): Uint8Array };
  return codec.encode(value);
}

function decodeNumeric(bytes: Uint8Array): Numeric {
  const codec = numericType.row as { decode(bytes: Uint8Array): unknown };
  return codec.decode(bytes) as Numeric;
}

class RowReader {
  private position = 0;
  constructor(private readonly bytes: Uint8Array) {}
  private count(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.position++]!;
      value |= (byte & 127) << shift;
      if (byte < 128) return value;
    }
  }
  private slice(): Uint8Array {
    const length = this.count();
    this.position += length;
    return this.bytes.subarray(this.position - length, this.position);
  }
  node(): JsonbNode {
    switch (this.bytes[this.position++]) {
      case TAG.false: return false;
      case TAG.true: return true;
      case TAG.number: return decodeNumeric(this.slice());
      case TAG.string: return decodeUtf8(this.slice());
      case TAG.array: {
        const values: JsonbNode[] = [];
        for (let n = this.count(); n > 0; n--) values.push(this.node());
        return values;
      }
      case TAG.object: {
        const keys: string[] = [];
        const values: JsonbNode[] = [];
        for (let n = this.count(); n > 0; n--) {
          keys.push(decodeUtf8(this.slice()));
          values.push(this.node());
        }
        return new JsonbObject(keys, values);
      }
      default: return null;
    }
  }
}

export const jsonbType: DataType = {
  name: 'jsonb',
  vector: 'any',
  input: parseJsonb,
  output: (value) => printJsonbNode((value as Jsonb).value),
  receive(bytes) {
    if (bytes[0] !== 1) throw new DatabaseError('XX000', `unsupported jsonb version number ${bytes[0] ?? 0}`);
    return parseJsonb(decodeUtf8Checked(bytes.subarray(1)));
  },
  send(value) {
    const text = encodeUtf8(printJsonbNode((value as Jsonb).value));
    const out = new Uint8Array(text.length + 1);
    viewOf(out).setUint8(0, 1);
    out.set(text, 1);
    return out;
  },
  compare: compareJsonb,
  equal: (left: Jsonb, right: Jsonb) => compareJsonb(left, right) === 0,
  hashKey: (value: Jsonb) => canonicalText(value.value),
  row: {
    width: 0,
    encode(value: Jsonb) {
      const out = new RowWriter();
      writeNode(value.value, out);
      return out.finish();
    },
    decode: (bytes) => new Jsonb(new RowReader(bytes).node()),
  },
};
