/** Quals over batches: live rows that satisfy all of them, as a selection. */
import type { Pending } from '../../engine/pending.js';
import type { Expr } from '../analyzer/query-tree.js';
import type { Batch } from './batch.js';
import type { ExecState } from './exec-state.js';
import { andOf } from './expressions/boolean.js';
import { compileAll } from './expressions/compile.js';
import { Frame, type Scalar, type WaitingScalar } from './expressions/frame.js';
import type { CompileScope } from './expressions/scope.js';
import { compileWaiting, mayWait } from './expressions/waiting.js';

export class RowFilter {
  constructor(private readonly test: Scalar | null, private readonly waitingTests: readonly WaitingScalar[] | null) {}

  /** The batch with only the rows that pass, null when none does. */
  *apply(batch: Batch, state: ExecState): Generator<Pending, Batch | null> {
    if (this.waitingTests) return yield* this.applyWaiting(batch, state, this.waitingTests);
    return this.applyNow(batch, state);
  }

  applyNow(batch: Batch, state: ExecState): Batch | null {
    const test = this.test!;
    const frame = new Frame(state).batch(batch);
    const { length, selection } = batch;
    const kept = new Int32Array(length);
    let count = 0;
    if (selection === null) {
      for (let i = 0; i < length; i++) {
        frame.row = i;
        if (test(frame) === true) kept[count++] = i;
      }
      if (count === length) return batch;
    } else {
      for (let i = 0; i < length; i++) {
        const row = selection[i]!;
        frame.row = row;
        if (test(frame) === true) kept[count++] = row;
      }
    }
    return count === 0 ? null : { columns: batch.columns, length: count, selection: kept };
  }

  private *applyWaiting(batch: Batch, state: ExecState, tests: readonly WaitingScalar[]): Generator<Pending, Batch | null> {
    const frame = new Frame(state).batch(batch);
    const kept = new Int32Array(batch.length);
    let count = 0;
    rows: for (let i = 0; i < batch.length; i++) {
      const row = batch.selection === null ? i : batch.selection[i]!;
      for (const test of tests) {
        frame.row = row;
        if ((yield* test(frame)) !== true) continue rows;
      }
      kept[count++] = row;
    }
    return count === 0 ? null : { columns: batch.columns, length: count, selection: kept };
  }
}

/** null without quals. */
export function compileFilter(quals: readonly Expr[], scope: CompileScope): RowFilter | null {
  if (quals.length === 0) return null;
  if (quals.some((qual) => mayWait(qual, scope))) return new RowFilter(null, quals.map((qual) => compileWaiting(qual, scope)));
  return new RowFilter(andOf(compileAll(quals, scope)), null);
}
