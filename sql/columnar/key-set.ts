/**
 * The inner side of a semi or anti join that needs no rows: which keys there are, or, with one more condition
 * `inner.x <> outer.y` (or <, <=, >, >=), the smallest and largest x of each key. Slots are found by the key itself.
 */
import type { ArrayLease } from './array-lease.js';
import { isNarrow } from './growable.js';
import type { Kernel } from './kernel.js';
import { anyOf, type Value } from './value.js';

interface Part { readonly min: number; readonly max: number; readonly span: number }

/** The condition beside the keys: `inner operator outer`. */
export type BesideOperator = 'ne' | 'lt' | 'le' | 'gt' | 'ge';

export interface KeySet {
  readonly bits: Uint8Array;
  readonly parts: readonly Part[];
  /** By key, where there is a condition beside the keys. */
  readonly least: Int32Array | Float64Array | null;
  readonly greatest: Int32Array | Float64Array | null;
}

/** Most slots for each row, and without regard to rows. */
const SLOTS_PER_ROW = 64;
const FREE_SLOTS = 1 << 20;
const MAX_SLOTS = 1 << 28;
/** A slot with extremes takes 17 bytes. */
const EXTREME_SHARE = 8;

/** A set for keys of these ranges; null when they are too wide. */
export function keySet(keys: readonly Value[], rows: number, beside: Value | null, arrays: ArrayLease): KeySet | null {
  let product = 1;
  const parts = keys.map(({ min, max }) => {
    const span = max - min + 1;
    product *= span;
    return { min, max, span };
  });
  const share = beside ? EXTREME_SHARE : 1;
  if (!(product <= Math.min(MAX_SLOTS, Math.max(FREE_SLOTS, rows * SLOTS_PER_ROW)) / share)) return null;
  const extremes = (): Int32Array | Float64Array | null => (beside === null ? null : isNarrow(beside.min, beside.max) ? arrays.dirtyInt32(product) : arrays.dirtyFloat64(product));
  return { bits: arrays.uint8(product), parts, least: extremes(), greatest: extremes() };
}

export function fitsSet(set: KeySet, keys: readonly Value[], beside: Value | null): boolean {
  if (set.least instanceof Int32Array && beside && !isNarrow(beside.min, beside.max)) return false;
  return keys.every((key, k) => key.min >= set.parts[k]!.min && key.max <= set.parts[k]!.max);
}

function slotOf(kernel: Kernel, set: KeySet, codes: readonly string[]): string {
  return codes.reduce((sum, code, k) => (sum === '' ? code : `(${sum}) * ${kernel.outside(set.parts[k]!.span)} + ${code}`), '');
}

/** Writes the noting of a key, and of the value beside it. */
export function addToSet(kernel: Kernel, set: KeySet, keys: readonly Value[], beside: Value | null): void {
  const isNull = anyOf(...keys.map((key) => key.isNull), beside?.isNull ?? null);
  const index = slotOf(kernel, set, keys.map((key, k) => `${key.code} - ${kernel.outside(set.parts[k]!.min)}`));
  const bits = kernel.outside(set.bits, 'b');
  if (!beside) {
    kernel.line(`${isNull ? `if (!${isNull}) ` : ''}${bits}[${index}] = 1;`);
    return;
  }
  const least = kernel.outside(set.least, 'e');
  const greatest = kernel.outside(set.greatest, 'e');
  kernel.block(isNull ? `if (!${isNull})` : '', () => {
    const slot = kernel.name('p');
    const value = kernel.name('v');
    kernel.line(`const ${slot} = ${index}, ${value} = ${beside.code};`);
    kernel.line(`if (${bits}[${slot}] === 0) { ${bits}[${slot}] = 1; ${least}[${slot}] = ${value}; ${greatest}[${slot}] = ${value}; }`);
    kernel.line(`else if (${value} < ${least}[${slot}]) ${least}[${slot}] = ${value}; else if (${value} > ${greatest}[${slot}]) ${greatest}[${slot}] = ${value};`);
  });
}

/** Writes the look-up of a key; the result is a test. */
export function probeSet(kernel: Kernel, set: KeySet, keys: readonly Value[], beside: { readonly value: Value; readonly operator: BesideOperator } | null): string {
  const tests: string[] = [];
  const codes = keys.map((key, k) => {
    const { min, max, span } = set.parts[k]!;
    const code = kernel.name('q');
    kernel.line(`const ${code} = ${key.code} - ${kernel.outside(min)};`);
    if (key.isNull) tests.push(`!(${key.isNull})`);
    if (key.min < min || key.max > max) tests.push(`${code} >= 0 && ${code} < ${kernel.outside(span)}`);
    return code;
  });
  const slot = kernel.name('p');
  kernel.line(`const ${slot} = ${slotOf(kernel, set, codes)};`);
  tests.push(`${kernel.outside(set.bits, 'b')}[${slot}] === 1`);
  if (beside) {
    const { value, operator } = beside;
    const least = `${kernel.outside(set.least, 'e')}[${slot}]`;
    const greatest = `${kernel.outside(set.greatest, 'e')}[${slot}]`;
    if (value.isNull) tests.push(`!(${value.isNull})`);
    const outer = kernel.name('v');
    kernel.line(`const ${outer} = ${value.code};`);
    switch (operator) {
      case 'ne': tests.push(`(${least} !== ${outer} || ${greatest} !== ${outer})`); break;
      case 'lt': tests.push(`${least} < ${outer}`); break;
      case 'le': tests.push(`${least} <= ${outer}`); break;
      case 'gt': tests.push(`${greatest} > ${outer}`); break;
      case 'ge': tests.push(`${greatest} >= ${outer}`); break;
    }
  }
  return `(${tests.join(' && ')})`;
}
