/** EXPLAIN ANALYZE: rows and time per plan node, measured around next(). */
import { Pending } from '../../engine/pending.js';
import type { Batch, Operator } from './batch.js';
import type { NodeInstrumentation } from './exec-state.js';

/** Monotonic milliseconds; set by whoever explains. */
let clock: () => number = () => 0;
export function useInstrumentClock(nowMs: () => number): void {
  clock = nowMs;
}

export function newInstrumentation(): NodeInstrumentation {
  return { loops: 0, rows: 0, startupMs: 0, totalMs: 0, details: new Map() };
}

export function instrumented(operator: Operator, figures: NodeInstrumentation): Operator {
  figures.loops++;
  let first = true;
  let spent = 0;
  return {
    next(): Batch | null | Pending {
      const start = clock();
      try {
        const result = operator.next();
        spent += clock() - start;
        if (!(result instanceof Pending)) {
          if (first) {
            first = false;
            figures.startupMs += spent;
          }
          if (result) figures.rows += result.length;
        }
        return result;
      } finally {
        figures.totalMs += clock() - start;
      }
    },
    close: () => operator.close(),
  };
}
