/** Vectors of joined rows that keep the type of the side they come from. */
import type { Datum } from '../types/datum.js';
import type { Vector } from '../executor/batch.js';

/** The vector's values at `positions[0..count)`, of its own kind; position -1 gives NULL. */
export function gatherTyped(vector: Vector, positions: Int32Array, count: number): Vector {
  if (vector.kind === 'any') {
    const { data } = vector;
    const out = new Array<Datum>(count);
    for (let i = 0; i < count; i++) {
      const p = positions[i]!;
      out[i] = p < 0 ? null : data[p]!;
    }
    return { kind: 'any', data: out, nulls: null };
  }
  const { data, nulls: from } = vector;
  const out = vector.kind === 'int32' ? new Int32Array(count) : vector.kind === 'float64' ? new Float64Array(count) : new Uint8Array(count);
  let nulls: Uint8Array | null = null;
  for (let i = 0; i < count; i++) {
    const p = positions[i]!;
    if (p < 0 || (from !== null && from[p] === 1)) (nulls ??= new Uint8Array(count))[i] = 1;
    else out[i] = data[p]!;
  }
  return { kind: vector.kind, data: out, nulls } as Vector;
}
