/**
 * Arrays of any element type: text form with bounds, quoting and delimiters, binary form, btree
 * order, row and key codecs; and the vectors of the catalogs (int2vector, oidvector), which are
 * one-dimensional arrays from 0 with a text form of their own.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { EvalContext } from '../functions/context.js';
import type { DataType } from './data-type.js';
import type { ArrayValue, Datum } from './datum.js';
import { decodeRowValue, encodeRowValue } from './row-value.js';
import { WireReader, WireWriter } from './wire-bytes.js';

export const MAX_DIMENSIONS = 6;
const MAX_ELEMENTS = 134217727;

export function makeArray(elementType: number, elements: readonly Datum[], lowerBound = 1): ArrayValue {
  if (elements.length === 0) return { elementType, dimensions: [], lowerBounds: [], elements };
  return { elementType, dimensions: [elements.length], lowerBounds: [lowerBound], elements };
}

export function checkArraySize(count: number): void {
  if (count > MAX_ELEMENTS) throw new DatabaseError('54000', `array size exceeds the maximum allowed (${MAX_ELEMENTS})`);
}

const isBlank = (c: string | undefined): boolean => c === ' ' || c === '\t' || c === '\n' || c === '\r' || c === '\v' || c === '\f';

class ArrayParser {
  private position = 0;
  private readonly elements: Datum[] = [];
  private readonly dimensions: number[] = [];

  constructor(private readonly text: string, private readonly delimiter: string, private readonly element: (text: string) => Datum) {}

  private malformed(detail?: string): DatabaseError {
    return new DatabaseError('22P02', `malformed array literal: "${this.text}"`, detail ? { detail } : {});
  }

  private skipBlanks(): void {
    while (isBlank(this.text[this.position])) this.position++;
  }

  /** Array with elements of `elementType`. */
  parse(elementType: number): ArrayValue {
    const bounds = this.parseBounds();
    if (this.text[this.position] !== '{') {
      throw this.malformed(bounds.length > 0 ? 'Array contents must start with "{".' : 'Array value must start with "{" or dimension information.');
    }
    this.parseLevel(0);
    this.skipBlanks();
    if (this.position < this.text.length) throw this.malformed('Junk after closing right brace.');
    const empty = this.elements.length === 0;
    if (bounds.length > 0) {
      const found = empty ? [] : this.dimensions;
      if (bounds.length !== this.dimensions.length || bounds.some(([low, high], i) => high - low + 1 !== found[i])) {
        throw this.malformed('Specified array dimensions do not match array contents.');
      }
    }
    if (empty) return { elementType, dimensions: [], lowerBounds: [], elements: [] };
    checkArraySize(this.elements.length);
    const lowerBounds = bounds.length > 0 ? bounds.map(([low]) => low) : this.dimensions.map(() => 1);
    return { elementType, dimensions: this.dimensions, lowerBounds, elements: this.elements };
  }

  private parseBounds(): [number, number][] {
    const bounds: [number, number][] = [];
    for (;;) {
      this.skipBlanks();
      if (this.text[this.position] !== '[') break;
      const match = /^\[\s*([+-]?\d+)?\s*(?::\s*([+-]?\d+)?\s*)?\]/.exec(this.text.slice(this.position));
      if (!match || match[1] === undefined) {
        if (/^\[\s*[^\d+-]/.test(this.text.slice(this.position))) throw this.malformed('"[" must introduce explicitly-specified array dimensions.');
        throw this.malformed('Missing "]" after array dimensions.');
      }
      const hasColon = match[0].includes(':');
      if (hasColon && match[2] === undefined) throw this.malformed('Missing array dimension value.');
      const low = hasColon ? Number(match[1]) : 1;
      const high = Number(hasColon ? match[2] : match[1]);
      if (high < low) throw new DatabaseError('2202E', 'upper bound cannot be less than lower bound');
      if (bounds.length >= MAX_DIMENSIONS) throw tooManyDimensions(bounds.length + 1);
      bounds.push([low, high]);
      this.position += match[0].length;
    }
    if (bounds.length > 0) {
      if (this.text[this.position] !== '=') throw this.malformed('Missing "=" after array dimensions.');
      this.position++;
      this.skipBlanks();
    }
    return bounds;
  }

  /** At a '{': one level; sets or checks this level's length. */
  private parseLevel(level: number): void {
    if (level >= MAX_DIMENSIONS) throw tooManyDimensions(level + 1);
    this.position++;
    let count = 0;
    let nested: boolean | undefined;
    this.skipBlanks();
    if (this.text[this.position] === '}') {
      if (level > 0) throw this.malformed('Unexpected "}" character.');
      this.position++;
    } else {
      for (;;) {
        this.skipBlanks();
        const c = this.text[this.position];
        if (c === undefined) throw this.malformed('Unexpected end of input.');
        if (c === '{') {
          if (nested === false) throw this.malformed('Unexpected "{" character.');
          nested = true;
          if (level + 1 < this.dimensions.length || this.elements.length === 0 || count === 0) this.parseLevel(level + 1);
          else throw this.mismatched();
        } else {
          if (nested === true) throw c === '}' ? this.malformed('Unexpected "}" character.') : this.malformed('Unexpected array element.');
          nested = false;
          if (this.dimensions.length > level + 1) throw this.mismatched();
          this.elements.push(this.parseElement());
        }
        count++;
        this.skipBlanks();
        const next = this.text[this.position];
        if (next === undefined) throw this.malformed('Unexpected end of input.');
        this.position++;
        if (next === '}') break;
        if (next !== this.delimiter) throw this.malformed(next === '{' || next === '"' ? `Unexpected ${next === '{' ? '"{" character' : 'array element'}.` : 'Unexpected array element.');
      }
    }
    const known = this.dimensions[level];
    if (known === undefined) this.dimensions[level] = count;
    else if (known !== count) throw this.mismatched();
  }

  private mismatched(): DatabaseError {
    return this.malformed('Multidimensional arrays must have sub-arrays with matching dimensions.');
  }

  private parseElement(): Datum {
    const { text, delimiter } = this;
    if (text[this.position] === '"') {
      let value = '';
      for (this.position++; ; this.position++) {
        const c = text[this.position];
        if (c === undefined) throw this.malformed('Unexpected end of input.');
        if (c === '"') break;
        if (c === '\\') {
          this.position++;
          if (this.position >= text.length) throw this.malformed('Unexpected end of input.');
        }
        value += text[this.position]!;
      }
      this.position++;
      this.skipBlanks();
      const next = text[this.position];
      if (next !== undefined && next !== delimiter && next !== '}') throw this.malformed('Unexpected array element.');
      return this.element(value);
    }
    let value = '';
    let keep = 0; // trailing blanks go, escaped ones stay
    let escaped = false;
    for (; ; this.position++) {
      const c = text[this.position];
      if (c === undefined) throw this.malformed('Unexpected end of input.');
      if (c === delimiter || c === '}') break;
      if (c === '"') throw this.malformed('Unexpected array element.');
      if (c === '{') throw this.malformed('Unexpected "{" character.');
      if (c === '\\') {
        this.position++;
        if (this.position >= text.length) throw this.malformed('Unexpected end of input.');
        value += text[this.position]!;
        keep = value.length;
        escaped = true;
      } else {
        value += c;
        if (!isBlank(c)) keep = value.length;
      }
    }
    value = value.slice(0, keep);
    if (value === '') throw this.malformed(`Unexpected "${text[this.position]}" character.`);
    if (!escaped && value.length === 4 && value.toLowerCase() === 'null') return null;
    return this.element(value);
  }
}

function tooManyDimensions(count: number): DatabaseError {
  return new DatabaseError('54000', `number of array dimensions (${count}) exceeds the maximum allowed (${MAX_DIMENSIONS})`);
}

const NEEDS_QUOTES = /["\\{}\s]/;

/** array_out over a way to print elements. */
export function printArray(array: ArrayValue, delimiter: string, element: (value: Datum) => string): string {
  const { dimensions, elements, lowerBounds } = array;
  if (elements.length === 0) return '{}';
  const item = (value: Datum): string => {
    if (value === null) return 'NULL';
    const text = element(value);
    if (text === '' || NEEDS_QUOTES.test(text) || text.includes(delimiter) || (text.length === 4 && text.toLowerCase() === 'null')) {
      return `"${text.replace(/["\\]/g, '\\$&')}"`;
    }
    return text;
  };
  let next = 0;
  const level = (depth: number): string => {
    let text = '{';
    for (let i = 0; i < dimensions[depth]!; i++) {
      if (i > 0) text += delimiter;
      text += depth === dimensions.length - 1 ? item(elements[next++]!) : level(depth + 1);
    }
    return `${text}}`;
  };
  const shifted = lowerBounds.some((bound) => bound !== 1);
  const bounds = shifted ? `${dimensions.map((length, i) => `[${lowerBounds[i]}:${lowerBounds[i]! + length - 1}]`).join('')}=` : '';
  return bounds + level(0);
}

function sameNumbers(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

/** btarraycmp: elements first, NULL greatest, then length, number of dimensions, dimensions. */
export function compareArrays(left: ArrayValue, right: ArrayValue, compare: (a: never, b: never) => number): number {
  const count = Math.min(left.elements.length, right.elements.length);
  for (let i = 0; i < count; i++) {
    const a = left.elements[i]!;
    const b = right.elements[i]!;
    if (a === null || b === null) {
      if (a === b) continue;
      return a === null ? 1 : -1;
    }
    const order = compare(a as never, b as never);
    if (order !== 0) return order;
  }
  if (left.elements.length !== right.elements.length) return left.elements.length - right.elements.length;
  if (left.dimensions.length !== right.dimensions.length) return left.dimensions.length - right.dimensions.length;
  for (let i = 0; i < left.dimensions.length; i++) {
    if (left.dimensions[i] !== right.dimensions[i]) return left.dimensions[i]! - right.dimensions[i]!;
  }
  return 0;
}

export function equalArrays(left: ArrayValue, right: ArrayValue, equal: (a: never, b: never) => boolean): boolean {
  if (!sameNumbers(left.dimensions, right.dimensions) || !sameNumbers(left.lowerBounds, right.lowerBounds)) return false;
  return left.elements.every((a, i) => {
    const b = right.elements[i]!;
    return a === null || b === null ? a === b : equal(a as never, b as never);
  });
}

/** Equality of a type's default operator class. */
export function equalityOf(type: DataType): ((a: never, b: never) => boolean) | undefined {
  if (type.equal) return type.equal;
  const { compare } = type;
  return compare && ((a, b) => compare(a, b) === 0);
}

export function sendArray(array: ArrayValue, element: DataType, context: EvalContext): Uint8Array {
  const out = new WireWriter().int32(array.dimensions.length).int32(array.elements.includes(null) ? 1 : 0).int32(array.elementType);
  array.dimensions.forEach((length, i) => out.int32(length).int32(array.lowerBounds[i]!));
  for (const value of array.elements) {
    if (value === null) out.int32(-1);
    else {
      const bytes = element.send(value, context);
      out.int32(bytes.length).bytes(bytes);
    }
  }
  return out.finish();
}

export function receiveArray(bytes: Uint8Array, element: DataType, elementOid: number, typmod: number, context: EvalContext): ArrayValue {
  const reader = new WireReader(bytes);
  const dimensionCount = reader.int32();
  if (dimensionCount < 0) throw new DatabaseError('22P03', `invalid number of dimensions: ${dimensionCount}`);
  if (dimensionCount > MAX_DIMENSIONS) throw tooManyDimensions(dimensionCount);
  const flags = reader.int32();
  if (flags !== 0 && flags !== 1) throw new DatabaseError('22P03', 'invalid array flags');
  const sentType = reader.uint32();
  if (sentType !== elementOid) {
    throw new DatabaseError('42804', `binary data has array element type ${sentType} (${nameOf(sentType, context)}) instead of expected ${elementOid} (${element.name})`);
  }
  const dimensions: number[] = [];
  const lowerBounds: number[] = [];
  let count = dimensionCount === 0 ? 0 : 1;
  for (let i = 0; i < dimensionCount; i++) {
    dimensions.push(reader.int32());
    lowerBounds.push(reader.int32());
    count *= dimensions[i]!;
  }
  checkArraySize(count);
  if (count === 0) return { elementType: elementOid, dimensions: [], lowerBounds: [], elements: [] };
  const elements: Datum[] = [];
  for (let i = 0; i < count; i++) {
    const length = reader.int32();
    elements.push(length === -1 ? null : element.receive(reader.slice(length), typmod, context));
  }
  if (reader.remaining > 0) throw new DatabaseError('22P03', 'incorrect binary data format');
  return { elementType: elementOid, dimensions, lowerBounds, elements };
}

function nameOf(oid: number, context: EvalContext): string {
  return context.catalog.type(oid)?.typname ?? '???';
}

/** Row form: element type, dimensions, null flags and lengths, then the elements' own row forms. */
function encodeRow(array: ArrayValue, element: DataType): Uint8Array {
  const out = new WireWriter().byte(array.dimensions.length).int32(array.elementType);
  array.dimensions.forEach((length, i) => out.int32(length).int32(array.lowerBounds[i]!));
  for (const value of array.elements) {
    if (value === null) out.int32(-1);
    else {
      const bytes = encodeRowValue(element, value);
      out.int32(bytes.length).bytes(bytes);
    }
  }
  return out.finish();
}

function decodeRow(bytes: Uint8Array, element: DataType): ArrayValue {
  const reader = new WireReader(bytes);
  const dimensionCount = reader.uint8();
  const elementType = reader.uint32();
  const dimensions: number[] = [];
  const lowerBounds: number[] = [];
  let count = dimensionCount === 0 ? 0 : 1;
  for (let i = 0; i < dimensionCount; i++) {
    dimensions.push(reader.int32());
    lowerBounds.push(reader.int32());
    count *= dimensions[i]!;
  }
  const elements: Datum[] = [];
  for (let i = 0; i < count; i++) {
    const length = reader.int32();
    elements.push(length === -1 ? null : decodeRowValue(element, reader.slice(length)));
  }
  return { elementType, dimensions, lowerBounds, elements };
}

/** The array type over `element`. `delimiter` is the element type's typdelim. */
export function arrayType(name: string, elementOid: number, element: () => DataType, delimiter: string): DataType {
  const e = element();
  const { compare } = e;
  const equal = equalityOf(e);
  const elementHash = e.hashKey ? (value: Datum): unknown => e.hashKey!(value as never) : (value: Datum): unknown => value;
  return {
    name,
    vector: 'any',
    input: (text, typmod, context) => new ArrayParser(text, delimiter, (item) => e.input(item, typmod, context)).parse(elementOid),
    output: (value, context) => printArray(value as ArrayValue, delimiter, (item) => e.output(item, context)),
    receive: (bytes, typmod, context) => receiveArray(bytes, e, elementOid, typmod, context),
    send: (value, context) => sendArray(value as ArrayValue, e, context),
    ...(compare ? { compare: (left: ArrayValue, right: ArrayValue) => compareArrays(left, right, compare) } : {}),
    ...(equal ? { equal: (left: ArrayValue, right: ArrayValue) => equalArrays(left, right, equal) } : {}),
    hashKey: (value: ArrayValue) => `${value.dimensions.join('x')}@${value.lowerBounds.join(',')}:${value.elements.map((item) => (item === null ? 'n' : hashText(elementHash(item)))).join('')}`,
    ...(e.applyTypmod
      ? {
          applyTypmod: (value: ArrayValue, typmod: number, explicit: boolean, context: EvalContext): ArrayValue => ({
            ...value,
            elements: value.elements.map((item) => (item === null ? null : e.applyTypmod!(item as never, typmod, explicit, context))),
          }),
        }
      : {}),
    ...(e.typmodIn ? { typmodIn: e.typmodIn } : {}),
    ...(e.typmodOut ? { typmodOut: e.typmodOut } : {}),
    ...(e.key
      ? {
          key: {
            lossless: false,
            encode(value: ArrayValue, out) {
              for (const item of value.elements) {
                out.byte(item === null ? 3 : 2);
                if (item !== null) e.key!.encode(item as never, out);
              }
              out.byte(1);
              out.byte(value.dimensions.length);
              for (const length of value.dimensions) out.int32(length);
              for (const bound of value.lowerBounds) out.int32(bound);
            },
          },
        }
      : {}),
    row: { width: 0, encode: (value: ArrayValue) => encodeRow(value, e), decode: (bytes) => decodeRow(bytes, e) },
  };
}

function hashText(key: unknown): string {
  const text = String(key);
  return `${text.length}.${text}`;
}

/** int2vector and oidvector: numbers between blanks, counted from 0. */
export function vectorType(name: string, elementOid: number, element: DataType): DataType {
  const base = arrayType(name, elementOid, () => element, ',');
  const vectorCompare = (left: ArrayValue, right: ArrayValue): number =>
    left.elements.length - right.elements.length || compareArrays(left, right, (a: number, b: number) => a - b);
  return {
    ...base,
    input: (text, _typmod, context) => makeArray(elementOid, text.split(/\s+/).filter((word) => word !== '').map((word) => element.input(word, -1, context)), 0),
    output: (value, context) => (value as ArrayValue).elements.map((item) => element.output(item, context)).join(' '),
    receive(bytes, typmod, context) {
      const array = receiveArray(bytes, element, elementOid, typmod, context);
      return array.elements.length === 0 ? array : { ...array, lowerBounds: [0] };
    },
    send(value, context) {
      const array = value as ArrayValue;
      return sendArray(array.elements.length === 0 ? { ...array, dimensions: [0], lowerBounds: [0] } : array, element, context);
    },
    compare: vectorCompare,
    key: undefined,
    equal: (left: ArrayValue, right: ArrayValue) => vectorCompare(left, right) === 0,
  };
}

