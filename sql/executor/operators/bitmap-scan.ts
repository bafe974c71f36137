/** Rows that any of several index scans finds (OR), each once, in row id order. */
import type { RowId } from '../../../engine/ids.js';
import { slabCopy } from '../../../engine/slab.js';
import { indexAccess } from '../../access/index-access.js';
import { tableAccess } from '../../access/table-access.js';
import type { BitmapScanNode } from '../../planner/plan-node.js';
import { MAX_BATCH_ROWS } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import type { ExecState } from '../exec-state.js';
import { TIME_SLICE } from '../interrupts.js';
import { compileFilter, type RowFilter } from '../row-filter.js';
import { rowCompilerOf } from '../row-compiler.js';
import { makeBatch } from '../vectors.js';
import { IndexRanges } from './index-ranges.js';
import { GeneratorOperator, waitFor, type Run } from './operator.js';
import { ScanOutput } from './scan-output.js';
import { countRemoved, replacedRow } from './seq-scan.js';

export function compileBitmapScan(node: BitmapScanNode, compiler: PlanCompiler): Open {
  const scope = compiler.scope(node.output);
  const filter = compileFilter([...node.recheck, ...node.filter], scope);
  const parts = node.parts.map((part) => new IndexRanges(part.conditions, false, compiler.scope()));
  return (state) => {
    const replaced = state.replacedRows?.get(node.varno);
    if (replaced !== undefined) return new GeneratorOperator(replacedRow(node, replaced, filter, state));
    return new GeneratorOperator(scan(node, parts, filter, state));
  };
}

function* scan(node: BitmapScanNode, parts: readonly IndexRanges[], filter: RowFilter | null, state: ExecState): Run {
  const { catalog, transaction, snapshot } = state;
  const found = new Set<number>();
  for (let p = 0; p < parts.length; p++) {
    const index = catalog.index(node.parts[p]!.index)!;
    const access = indexAccess(index, catalog, rowCompilerOf(catalog, state.context));
    for (const condition of parts[p]!.evaluate(index, catalog, state)) {
      const entries = access.scan(transaction, snapshot, access.range(condition).range, [], catalog);
      try {
        for (;;) {
          const block = yield* waitFor(() => entries.nextEntries(MAX_BATCH_ROWS));
          if (block === null) break;
          for (let i = 0; i < block.length; i++) found.add(block.rowIds[i]!);
          if (state.shouldYield()) yield TIME_SLICE;
        }
      } finally {
        entries.close();
      }
    }
  }
  const rowIds = Float64Array.from(found).sort();
  const relation = catalog.relation(node.relation)!;
  const access = tableAccess(relation, catalog);
  const output = new ScanOutput(relation, node.output);
  for (let at = 0; at < rowIds.length; at += MAX_BATCH_ROWS) {
    const ids: number[] = [];
    const tuples: Uint8Array[] = [];
    const xmins: number[] = [];
    for (let i = at; i < Math.min(at + MAX_BATCH_ROWS, rowIds.length); i++) {
      const version = yield* waitFor(() => access.fetch(transaction, snapshot, rowIds[i] as RowId));
      if (!version) continue;
      ids.push(version.rowId);
      tuples.push(slabCopy(version.tuple, 0, version.tuple.length));
      xmins.push(version.xmin);
    }
    if (ids.length === 0) continue;
    yield* waitFor(() => access.load(output.attnums, tuples, ids.length) ?? true);
    const batch = makeBatch(output.vectors(access.decode(output.attnums, tuples, ids, xmins, ids.length), ids.length), ids.length);
    const kept = filter ? yield* filter.apply(batch, state) : batch;
    if (state.instrument && filter) countRemoved(state, node, ids.length - (kept?.length ?? 0));
    if (kept) yield kept;
    if (state.shouldYield()) yield TIME_SLICE;
  }
}
