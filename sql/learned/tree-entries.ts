/** Row ids of index entries by the tree: where the model has nothing to say. */
import { keyBytes, type KeyClass, type KeyValue } from '../../engine/learned/key-class.js';
import type { Pending } from '../../engine/pending.js';
import type { IndexBlock, KeyRange } from '../../engine/storage.js';
import { MAX_BATCH_ROWS } from '../executor/batch.js';
import type { ExecState } from '../executor/exec-state.js';
import { waitFor } from '../executor/operators/operator.js';
import type { Index } from '../catalog/catalog.js';

export class TreeEntries {
  private readonly block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };

  constructor(private readonly index: Index, private readonly of: KeyClass, private readonly state: ExecState) {}

  /** Of one key: all of them into `into`. */
  *key(value: KeyValue, into: number[]): Generator<Pending, void> {
    // Values of wider types that the key's type does not hold.
    if (this.of === 'int32' && !(value >= -2147483648 && value <= 2147483647)) return;
    const bytes = keyBytes(this.of, value);
    for (const step of this.range({ lower: bytes, lowerInclusive: true, upper: bytes, upperInclusive: true })) {
      if (!Array.isArray(step)) yield step as Pending;
      else for (const rowId of step as readonly number[]) into.push(rowId);
    }
  }

  /** Of a range, some at a time, in an array that is reused. */
  *range(range: KeyRange): Generator<Pending | readonly number[], void> {
    const { state, block } = this;
    const cursor = state.transaction.scanIndex(this.index.storage, state.snapshot, range);
    try {
      for (;;) {
        const filled = yield* waitFor(() => cursor.fill(block, MAX_BATCH_ROWS));
        if (filled === 0) return;
        block.rowIds.length = filled;
        yield block.rowIds;
      }
    } finally {
      cursor.close();
    }
  }
}
