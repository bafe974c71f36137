/**
 * Rows through a btree, in index order. With several ranges (IN lists) they are walked one after the
 * other. All conditions are also tested on the row when ranges alone do not express them.
 */
import { isLearned } from '../../learned/learned-options.js';
import { runLearnedScan } from '../../learned/learned-index-scan.js';
import { indexAccess, type IndexScan } from '../../access/index-access.js';
import { tableAccess } from '../../access/table-access.js';
import type { Relation } from '../../catalog/catalog.js';
import type { IndexScanNode } from '../../planner/plan-node.js';
import type { Batch, Vector } from '../batch.js';
import { FIRST_BATCH_ROWS, MAX_BATCH_ROWS } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import { rowCompilerOf } from '../row-compiler.js';
import type { ExecState } from '../exec-state.js';
import { andOf } from '../expressions/boolean.js';
import { compileAll } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { TIME_SLICE } from '../interrupts.js';
import { compileFilter, type RowFilter } from '../row-filter.js';
import { StoredRowLayout } from '../short/stored-row.js';
import { makeBatch } from '../vectors.js';
import { IndexRanges } from './index-ranges.js';
import { compileKeyScan } from './key-scan.js';
import { GeneratorOperator, waitFor, type Run } from './operator.js';
import { ScanOutput } from './scan-output.js';
import { countRemoved, replacedRow } from './seq-scan.js';

export function compileIndexScan(node: IndexScanNode, compiler: PlanCompiler): Open {
  const scope = compiler.scope(node.output);
  const ranges = new IndexRanges(node.conditions, node.backward, compiler.scope());
  const filter = compileFilter(node.filter, scope);
  // A recheck of one changed row tests the index conditions as ordinary quals.
  let recheckFilter: RowFilter | null | undefined;
  let wholeKeys: Scalar | undefined;
  const testWholeKeys = (relation: Relation): Scalar => {
    const layout = new StoredRowLayout(node.varno, tableAccess(relation, compiler.catalog).codec);
    return (wholeKeys ??= andOf(compileAll(node.conditions.map((condition) => condition.original), { ...scope, layout })));
  };
  const general: Open = (state) => new GeneratorOperator(scan(node, ranges, filter, testWholeKeys, state));
  const byKey = compileKeyScan(node, compiler, general);
  return (state) => {
    const replaced = state.replacedRows?.get(node.varno);
    if (replaced !== undefined) {
      recheckFilter ??= compileFilter([...node.conditions.map((condition) => condition.original), ...node.filter], scope);
      return new GeneratorOperator(replacedRow(node, replaced, recheckFilter, state));
    }
    return (byKey ?? general)(state);
  };
}

function* scan(node: IndexScanNode, ranges: IndexRanges, filter: RowFilter | null, testWholeKeys: (relation: Relation) => Scalar, state: ExecState): Run {
  const { catalog } = state;
  const index = catalog.index(node.index)!;
  const relation = catalog.relation(node.relation)!;
  if (isLearned(index)) {
    yield* runLearnedScan(node, index, ranges.evaluate(index, catalog, state), filter, state);
    return;
  }
  const access = indexAccess(index, catalog, rowCompilerOf(catalog, state.context));
  const output = new ScanOutput(relation, node.output);
  let size = FIRST_BATCH_ROWS;
  for (const condition of ranges.evaluate(index, catalog, state)) {
    const { range, recheck } = access.range(condition);
    const entries: IndexScan = access.scan(state.transaction, state.snapshot, range, output.attnums, catalog);
    try {
      for (;;) {
        const read: { length: number; columns: Vector[]; tuples?: Uint8Array[] } | null = node.indexOnly && !recheck
          ? yield* waitFor(() => entries.nextCovered(size))
          : yield* waitFor(() => entries.next(size));
        if (read === null) break;
        const found = makeBatch(output.vectors(read.columns, read.length), read.length);
        // A bound that was cut for its length stands for all keys that begin like it.
        const batch = recheck ? withWholeKeys(found, read.tuples!, testWholeKeys(relation), state) : found;
        const kept = batch && filter ? yield* filter.apply(batch, state) : batch;
        if (state.instrument && filter) countRemoved(state, node, (batch?.length ?? 0) - (kept?.length ?? 0));
        if (kept) yield kept;
        if (size < MAX_BATCH_ROWS) size *= 2;
        if (state.shouldYield()) yield TIME_SLICE;
      }
    } finally {
      entries.close();
    }
  }
}

function withWholeKeys(batch: Batch, tuples: readonly Uint8Array[], test: Scalar, state: ExecState): Batch | null {
  const frame = new Frame(state);
  const kept = new Int32Array(batch.length);
  let count = 0;
  for (let i = 0; i < batch.length; i++) {
    frame.tuple = tuples[i]!;
    if (test(frame) === true) kept[count++] = i;
  }
  return count === 0 ? null : { columns: batch.columns, length: count, selection: kept };
}
