/** Results of expressions computed in advance, as tables that kernels read by dictionary code or value. */
import type { Datum } from '../types/datum.js';
import { Numeric } from '../types/numeric.js';
import { columnClass, isTextType } from './column-class.js';
import type { Interner } from './interner.js';
import type { Results } from './lift-cache.js';
import { EXACT, anyValue, boolValue, intValue, type Value } from './value.js';

export interface Shape { readonly kind: 'bool' | 'int' | 'float' | 'ref' | 'decimal' | 'any'; readonly scale: number }

const INT2 = 21;
const INT4 = 23;

export function resultShape(type: number): Shape {
  if (type === 16) return { kind: 'bool', scale: 0 };
  if (isTextType(type)) return { kind: 'ref', scale: 0 };
  if (columnClass(type, -1)?.kind === 'float') return { kind: 'float', scale: 0 };
  if (type === INT2 || type === INT4) return { kind: 'int', scale: 0 };
  return { kind: 'any', scale: 0 };
}

/** Results that are all exact integers, or numerics of one scale. */
export function integerShape(results: readonly Datum[]): Shape | null {
  const present = results.filter((result) => result !== null);
  const [first] = present;
  if (first instanceof Numeric) {
    const { scale } = first;
    return present.every((result) => result instanceof Numeric && result.isFinite && result.scale === scale && typeof result.coefficient === 'number') ? { kind: 'decimal', scale } : null;
  }
  return null;
}

export function tableOf(results: readonly Datum[], { kind }: Shape, interner: Interner | null): unknown {
  switch (kind) {
    case 'bool': return Uint8Array.from(results, (result) => (result === null ? 2 : result === true ? 1 : 0));
    case 'ref': return Int32Array.from(results, (result) => (result === null ? -1 : interner!.id(result as string)));
    case 'decimal': return Float64Array.from(results, (result) => (result === null ? NaN : Number((result as Numeric).coefficient)));
    case 'int': return Float64Array.from(results, (result) => (result === null ? NaN : (result as number)));
    default: return results;
  }
}

/** The table without numbers of texts, which are the execution's own. */
export function keepableTable(results: readonly Datum[], shape: Shape): Results {
  if (shape.kind !== 'ref') {
    const table = tableOf(results, shape, null);
    return { texts: null, table, bytes: results.length * 8 };
  }
  const codes = new Map<string, number>();
  const table = Int32Array.from(results, (result) => {
    if (result === null) return -1;
    let code = codes.get(result as string);
    if (code === undefined) codes.set(result as string, (code = codes.size));
    return code;
  });
  return { texts: [...codes.keys()], table, bytes: results.length * 4 };
}

export function keptTable({ texts, table }: Results, interner: Interner): unknown {
  if (texts === null) return table;
  const ids = texts.map((text) => interner.id(text));
  return (table as Int32Array).map((code) => (code < 0 ? -1 : ids[code]!));
}

export function fromTable(code: string, { kind, scale }: Shape, type: number): Value {
  switch (kind) {
    case 'bool': return boolValue(code, `${code} === 2`);
    case 'ref': return { kind: 'ref', code, isNull: `${code} < 0`, scale: 0, min: 0, max: Infinity, type };
    case 'decimal': return { kind: 'decimal', code, isNull: `${code} !== ${code}`, scale, min: -EXACT, max: EXACT, type };
    case 'int': return intValue(code, `${code} !== ${code}`, type, -2147483648, 2147483647);
    case 'float': return { ...intValue(code, `${code} === null`, type, -Infinity, Infinity), kind: 'float' };
    default: return anyValue(code, type);
  }
}

/** The value with what its tables show: whether there is a NULL, and the range. */
export function narrowed(value: Value, { kind }: Shape, tables: readonly unknown[]): Value {
  if (kind !== 'bool' && kind !== 'int' && kind !== 'decimal' && kind !== 'ref') return value;
  let min = Infinity;
  let max = -Infinity;
  let nulls = false;
  for (const table of tables as readonly ArrayLike<number>[]) {
    for (let n = 0; n < table.length; n++) {
      const number = table[n]!;
      if (kind === 'bool' ? number === 2 : kind === 'ref' ? number < 0 : number !== number) nulls = true;
      else {
        if (number < min) min = number;
        if (number > max) max = number;
      }
    }
  }
  return { ...value, ...(min > max ? { min: 0, max: 0 } : { min, max }), isNull: nulls ? value.isNull : null };
}
