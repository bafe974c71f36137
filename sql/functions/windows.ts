/** Window functions proper. */
import { DatabaseError } from '../../engine/errors.js';
import type { Datum } from '../types/datum.js';
import type { FunctionCall, SqlFunction, WindowAccess } from './function.js';

interface Counter {
  value: number;
}

function windowFn(signature: string | readonly string[], evaluate: (window: WindowAccess, state: Counter, call: FunctionCall) => Datum): SqlFunction {
  return {
    kind: 'window',
    signature,
    bind: (call) => ({
      initial: (): Counter => ({ value: 0 }),
      evaluate: (state, window) => evaluate(window, state as Counter, call),
    }),
  };
}

/** Row `offset` away within the partition, ignoring the frame; the default beyond it. */
function shifted(window: WindowAccess, direction: 1 | -1, hasOffset: boolean, hasDefault: boolean): Datum {
  let offset = 1;
  if (hasOffset) {
    const value = window.argument(1, window.currentRow);
    if (value === null) return null;
    offset = value as number;
  }
  const row = window.currentRow + direction * offset;
  if (row < 0 || row >= window.partitionRows) return hasDefault ? window.argument(2, window.currentRow) : null;
  return window.argument(0, row);
}

/** Rows of the frame in order, exclusions left out: the n-th (1-based) from an end. */
function frameRow(window: WindowAccess, n: number, fromEnd: boolean): number | undefined {
  let left = n;
  if (fromEnd) {
    for (let row = window.frameEnd - 1; row >= window.frameStart; row--) if (!window.excluded(row) && --left === 0) return row;
    return undefined;
  }
  for (let row = window.frameStart; row < window.frameEnd; row++) if (!window.excluded(row) && --left === 0) return row;
  return undefined;
}

function ntile(): SqlFunction {
  return {
    kind: 'window',
    signature: 'ntile(int4)',
    bind: () => ({
      initial: () => ({ bucket: 0, rowInBucket: 0, bucketSize: 0, remainder: 0 }),
      evaluate(untyped, window) {
        const state = untyped as { bucket: number; rowInBucket: number; bucketSize: number; remainder: number };
        if (state.bucket === 0) {
          const buckets = window.argument(0, window.currentRow) as number | null;
          if (buckets === null) return null;
          if (buckets <= 0) throw new DatabaseError('22014', 'argument of ntile must be greater than zero');
          state.bucket = 1;
          state.bucketSize = Math.floor(window.partitionRows / buckets);
          if (state.bucketSize <= 0) state.bucketSize = 1;
          else {
            state.remainder = window.partitionRows % buckets;
            if (state.remainder !== 0) state.bucketSize++;
          }
        }
        state.rowInBucket++;
        if (state.bucketSize < state.rowInBucket) {
          if (state.remainder !== 0 && state.bucket === state.remainder) {
            state.remainder = 0;
            state.bucketSize--;
          }
          state.bucket++;
          state.rowInBucket = 1;
        }
        return state.bucket;
      },
    }),
  };
}

export const windowFunctions: readonly SqlFunction[] = [
  windowFn('row_number()', (window) => window.currentRow + 1),
  windowFn('rank()', (window) => window.peerStart + 1),
  windowFn('dense_rank()', (window, state) => {
    if (window.currentRow === window.peerStart) state.value++;
    return state.value;
  }),
  windowFn('percent_rank()', (window) => (window.partitionRows <= 1 ? 0 : window.peerStart / (window.partitionRows - 1))),
  windowFn('cume_dist()', (window) => window.peerEnd / window.partitionRows),
  ntile(),
  windowFn('lag(anyelement)', (window) => shifted(window, -1, false, false)),
  windowFn('lag(anyelement,int4)', (window) => shifted(window, -1, true, false)),
  windowFn('lag(anycompatible,int4,anycompatible)', (window) => shifted(window, -1, true, true)),
  windowFn('lead(anyelement)', (window) => shifted(window, 1, false, false)),
  windowFn('lead(anyelement,int4)', (window) => shifted(window, 1, true, false)),
  windowFn('lead(anycompatible,int4,anycompatible)', (window) => shifted(window, 1, true, true)),
  windowFn('first_value(anyelement)', (window) => {
    const row = frameRow(window, 1, false);
    return row === undefined ? null : window.argument(0, row);
  }),
  windowFn('last_value(anyelement)', (window) => {
    const row = frameRow(window, 1, true);
    return row === undefined ? null : window.argument(0, row);
  }),
  windowFn('nth_value(anyelement,int4)', (window) => {
    const n = window.argument(1, window.currentRow) as number | null;
    if (n === null) return null;
    if (n <= 0) throw new DatabaseError('22016', 'argument of nth_value must be greater than zero');
    const row = frameRow(window, n, false);
    return row === undefined ? null : window.argument(0, row);
  }),
];
