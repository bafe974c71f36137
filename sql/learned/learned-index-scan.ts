/** The operator of a scan of an index USING learned: row ids from learned-scan.ts, rows of the table. */
import type { IndexCondition as KeyCondition } from '../access/index-access.js';
import type { Index } from '../catalog/catalog.js';
import { MAX_BATCH_ROWS } from '../executor/batch.js';
import type { ExecState } from '../executor/exec-state.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import type { Run } from '../executor/operators/operator.js';
import { ScanOutput } from '../executor/operators/scan-output.js';
import { countRemoved } from '../executor/operators/seq-scan.js';
import type { RowFilter } from '../executor/row-filter.js';
import { makeBatch } from '../executor/vectors.js';
import type { IndexScanNode } from '../planner/plan-node.js';
import { LearnedAccess } from './learned-access.js';
import { LearnedScan } from './learned-scan.js';
import { RowFetch } from './row-fetch.js';

/** More look-ups than this wait for an index that is being learned. */
const WAIT_FOR_LOOKUPS = 64;

export function* runLearnedScan(node: IndexScanNode, index: Index, conditions: readonly KeyCondition[], filter: RowFilter | null, state: ExecState): Run {
  const relation = state.catalog.relation(node.relation)!;
  const access = new LearnedAccess(index, state);
  const output = new ScanOutput(relation, node.output);
  const fetch = new RowFetch(relation, output.attnums, state);
  if (conditions.length > WAIT_FOR_LOOKUPS && !access.current()) yield* access.await(conditions.length);
  try {
    for (const step of new LearnedScan(access, state).rowIds(conditions)) {
      if (!isList(step)) {
        yield step;
        continue;
      }
      for (let at = 0; at < step.length; at += MAX_BATCH_ROWS) {
        const rowIds = step.slice(at, at + MAX_BATCH_ROWS);
        const batch = makeBatch(output.vectors(yield* fetch.fetch(rowIds, rowIds.length), rowIds.length), rowIds.length);
        const kept = filter ? yield* filter.apply(batch, state) : batch;
        if (state.instrument && filter) countRemoved(state, node, batch.length - (kept?.length ?? 0));
        if (kept) yield kept;
        if (state.shouldYield()) yield TIME_SLICE;
      }
    }
  } finally {
    access.report(node);
  }
}

function isList(step: object): step is readonly number[] {
  return Array.isArray(step);
}
