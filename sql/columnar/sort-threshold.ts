/** The worst first key among the rows that a bounded sort keeps: what is beyond it is of no use. */
import type { SortKey } from '../planner/plan-node.js';
import type { Datum } from '../types/datum.js';
import { compareText } from '../types/utf8.js';
import type { Interner } from './interner.js';
import type { Kernel } from './kernel.js';
import { NotColumnar } from './segment.js';
import type { Value } from './value.js';

export interface Threshold {
  /** Source of: a row with this first key is beyond. False while nothing is known. */
  test(kernel: Kernel, first: Value): string;
  /** Source of: this first key is the worst one, so that the other keys decide. */
  ties(kernel: Kernel, first: Value): string;
  /** The worst key, as it stands in its column; never NULL. */
  set(value: number, convert: (value: number) => Datum): void;
  /** Where the kernel finds the worst key, if it is a number. */
  readonly cell?: Float64Array;
}

const TEXT = 25;
const VARCHAR = 1043;

/** Null for keys whose order is not that of numbers or of bytes. */
export function thresholdFor(first: Value, keys: readonly SortKey[], interner: Interner): Threshold | null {
  const [{ descending, nullsFirst }] = keys as [SortKey];
  // Where one key decides, an equal one comes too late.
  const alone = keys.length === 1;
  // With NULLs last a known threshold is before all of them; with NULLs first none of them is beyond it.
  const guarded = (isNull: string | null, known: string, beyond: string): string =>
    (isNull === null ? `${known} && ${beyond}` : `${isNull} ? ${nullsFirst ? 'false' : known} : ${known} && ${beyond}`);
  if (isNumber(first)) {
    const cell = new Float64Array([descending ? -Infinity : Infinity]);
    return {
      cell,
      test(kernel, value) {
        if (!isNumber(value)) throw new NotColumnar();
        const worst = `${kernel.outside(cell, 'e')}[0]`;
        return guarded(value.isNull, `${worst} ${descending ? '> -Infinity' : '< Infinity'}`, `${value.code} ${descending ? '<' : '>'}${alone ? '=' : ''} ${worst}`);
      },
      ties: (kernel, value) => unlessNull(value.isNull, `${value.code} === ${kernel.outside(cell, 'e')}[0]`),
      set: (value) => void (cell[0] = value),
    };
  }
  if (first.kind !== 'ref' || (first.type !== TEXT && first.type !== VARCHAR)) return null;
  const known = new Uint8Array(1);
  let text = '';
  let bytes = Buffer.alloc(0);
  const sign = descending ? -1 : 1;
  const isBeyond = (order: number): boolean => (alone ? sign * order >= 0 : sign * order > 0);
  const placeBeyond = (place: number): boolean => isBeyond(interner.compareAt(place, text, bytes));
  const placeTies = (place: number): boolean => interner.compareAt(place, text, bytes) === 0;
  const idTies = (id: number): boolean => interner.texts[id] === text;
  const idBeyond = (id: number): boolean => isBeyond(compareText(interner.texts[id]!, text));
  return {
    test(kernel, value) {
      if (value.kind !== 'ref') throw new NotColumnar();
      const beyond = value.place === undefined ? `${kernel.outside(idBeyond, 'f')}(${value.code})` : `${kernel.outside(placeBeyond, 'f')}(${value.place})`;
      return guarded(value.isNull, `${kernel.outside(known, 'b')}[0] === 1`, beyond);
    },
    ties(kernel, value) {
      const equal = value.place === undefined ? `${kernel.outside(idTies, 'f')}(${value.code})` : `${kernel.outside(placeTies, 'f')}(${value.place})`;
      return unlessNull(value.isNull, `${kernel.outside(known, 'b')}[0] === 1 && ${equal}`);
    },
    set(value, convert) {
      text = convert(value) as string;
      bytes = Buffer.from(text);
      known[0] = 1;
    },
  };
}

function unlessNull(isNull: string | null, test: string): string {
  return isNull === null ? test : `!(${isNull}) && ${test}`;
}

/** A number whose order is the key's own, and never NaN. */
function isNumber(value: Value): boolean {
  return value.kind === 'int' || (value.kind === 'decimal' && value.shownScale === undefined);
}
