/** All rows of a relation, in row id order; born catalog rows come from the catalog itself. */
import type { RowId } from '../../../engine/ids.js';
import { tableAccess } from '../../access/table-access.js';
import type { SeqScanNode } from '../../planner/plan-node.js';
import { notSupported } from '../../../engine/errors.js';
import type { Datum } from '../../types/datum.js';
import { FIRST_BATCH_ROWS, MAX_BATCH_ROWS } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import type { ExecState, ReplacedRow } from '../exec-state.js';
import { catalogRows } from '../catalog-rows.js';
import { TIME_SLICE } from '../interrupts.js';
import { compileFilter, type RowFilter } from '../row-filter.js';
import { makeBatch, rowsToBatch } from '../vectors.js';
import { GeneratorOperator, waitFor, type Run } from './operator.js';
import { ScanOutput } from './scan-output.js';

export function compileSeqScan(node: SeqScanNode, compiler: PlanCompiler): Open {
  if (node.sample) throw notSupported('TABLESAMPLE');
  const filter = compileFilter(node.filter, compiler.scope(node.output));
  return (state) => {
    const replaced = state.replacedRows?.get(node.varno);
    if (replaced !== undefined) return new GeneratorOperator(replacedRow(node, replaced, filter, state));
    const relation = state.catalog.relation(node.relation)!;
    if (relation.isCatalog) return new GeneratorOperator(scanCatalog(node, filter, state));
    return new GeneratorOperator(scan(node, filter, state));
  };
}

function* scan(node: SeqScanNode, filter: RowFilter | null, state: ExecState): Run {
  const relation = state.catalog.relation(node.relation)!;
  const access = tableAccess(relation, state.catalog);
  const output = new ScanOutput(relation, node.output);
  const rows = access.scan(state.transaction, state.snapshot, output.attnums);
  try {
    let size = FIRST_BATCH_ROWS;
    for (;;) {
      const read = yield* waitFor(() => rows.next(size));
      if (read === null) return;
      const batch = makeBatch(output.vectors(read.columns, read.length), read.length);
      const kept = filter ? yield* filter.apply(batch, state) : batch;
      if (state.instrument) countRemoved(state, node, read.length - (kept?.length ?? 0));
      if (kept) yield kept;
      if (size < MAX_BATCH_ROWS) size *= 2;
      if (state.shouldYield()) yield TIME_SLICE;
    }
  } finally {
    rows.close();
  }
}

function* scanCatalog(node: SeqScanNode, filter: RowFilter | null, state: ExecState): Run {
  const relation = state.catalog.relation(node.relation)!;
  const output = new ScanOutput(relation, node.output);
  let rows: (readonly Datum[])[] = [];
  const flush = function* (): Run {
    const read = rowsToBatch(rows, output.attnums.length);
    const batch = makeBatch(output.vectors(read.columns, rows.length), rows.length);
    const kept = filter ? yield* filter.apply(batch, state) : batch;
    if (state.instrument) countRemoved(state, node, rows.length - (kept?.length ?? 0));
    rows = [];
    if (kept) yield kept;
    if (state.shouldYield()) yield TIME_SLICE;
  };
  for (const row of catalogRows(relation, output.attnums, state)) {
    rows.push(row);
    if (rows.length === MAX_BATCH_ROWS) yield* flush();
  }
  if (rows.length > 0) yield* flush();
}

/** In a recheck of a changed row (EvalPlanQual) the scan yields just that row, if it passes. */
export function* replacedRow(node: { readonly relation: number; readonly output: SeqScanNode['output'] }, row: ReplacedRow | null, filter: RowFilter | null, state: ExecState): Run {
  if (row === null) return;
  const relation = state.catalog.relation(node.relation)!;
  const access = tableAccess(relation, state.catalog);
  const output = new ScanOutput(relation, node.output);
  let { tuple, xmin } = row;
  if (tuple === null) {
    const version = yield* waitFor(() => access.fetch(state.transaction, state.snapshot, row.rowId as RowId));
    if (!version) return;
    tuple = version.tuple;
    xmin = version.xmin;
  }
  const batch = makeBatch(output.vectors(access.decode(output.attnums, [tuple], [row.rowId], [xmin], 1), 1), 1);
  const kept = filter ? yield* filter.apply(batch, state) : batch;
  if (kept) yield kept;
}

export function countRemoved(state: ExecState, node: object, count: number): void {
  const { details } = state.instrument!(node);
  details.set('Rows Removed by Filter', Number(details.get('Rows Removed by Filter') ?? 0) + count);
}
