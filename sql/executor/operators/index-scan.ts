/**
 * Rows through a btree, in index order. With several ranges (IN lists) they are walked one after the
 * other. All conditions are also tested on the row when ranges alone do not express them.
 */
import { indexAccess, type IndexScan } from '../../access/index-access.js';
import type { IndexScanNode } from '../../planner/plan-node.js';
import type { Vector } from '../batch.js';
import { FIRST_BATCH_ROWS, MAX_BATCH_ROWS } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import { rowCompilerOf } from '../row-compiler.js';
import type { ExecState } from '../exec-state.js';
import { TIME_SLICE } from '../interrupts.js';
import { compileFilter, type RowFilter } from '../row-filter.js';
import { makeBatch } from '../vectors.js';
import { IndexRanges } from './index-ranges.js';
import { GeneratorOperator, waitFor, type Run } from './operator.js';
import { ScanOutput } from './scan-output.js';
import { countRemoved, replacedRow } from './seq-scan.js';

export function compileIndexScan(node: IndexScanNode, compiler: PlanCompiler): Open {
  const scope = compiler.scope(node.output);
  const ranges = new IndexRanges(node.conditions, node.backward, compiler);
  const filter = compileFilter(node.filter, scope);
  // A recheck of one changed row tests the index conditions as ordinary quals.
  let recheckFilter: RowFilter | null | undefined;
  return (state) => {
    const replaced = state.replacedRows?.get(node.varno);
    if (replaced !== undefined) {
      recheckFilter ??= compileFilter([...node.conditions.map((condition) => condition.original), ...node.filter], scope);
      return new GeneratorOperator(replacedRow(node, replaced, recheckFilter, state));
    }
    return new GeneratorOperator(scan(node, ranges, filter, state));
  };
}

function* scan(node: IndexScanNode, ranges: IndexRanges, filter: RowFilter | null, state: ExecState): Run {
  const { catalog } = state;
  const index = catalog.index(node.index)!;
  const relation = catalog.relation(node.relation)!;
  const access = indexAccess(index, catalog, rowCompilerOf(catalog, state.context));
  const output = new ScanOutput(relation, node.output);
  let size = FIRST_BATCH_ROWS;
  for (const condition of ranges.evaluate(index, catalog, state)) {
    const { range } = access.range(condition);
    const entries: IndexScan = access.scan(state.transaction, state.snapshot, range, output.attnums, catalog);
    try {
      for (;;) {
        const read: { length: number; columns: Vector[] } | null = node.indexOnly
          ? yield* waitFor(() => entries.nextCovered(size))
          : yield* waitFor(() => entries.next(size));
        if (read === null) break;
        const batch = makeBatch(output.vectors(read.columns, read.length), read.length);
        const kept = filter ? yield* filter.apply(batch, state) : batch;
        if (state.instrument && filter) countRemoved(state, node, read.length - (kept?.length ?? 0));
        if (kept) yield kept;
        if (size < MAX_BATCH_ROWS) size *= 2;
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } finally {
      entries.close();
    }
  }
}
