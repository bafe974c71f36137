/** Rows by ctid. */
import type { RowId } from '../../../engine/ids.js';
import { tableAccess } from '../../access/table-access.js';
import type { TidScanNode } from '../../planner/plan-node.js';
import type { ArrayValue, Datum } from '../../types/datum.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import type { ExecState } from '../exec-state.js';
import { compileAll } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { compileFilter, type RowFilter } from '../row-filter.js';
import { makeBatch } from '../vectors.js';
import { GeneratorOperator, waitFor, type Run } from './operator.js';
import { ScanOutput } from './scan-output.js';
import { replacedRow } from './seq-scan.js';

export function compileTidScan(node: TidScanNode, compiler: PlanCompiler): Open {
  const scope = compiler.scope(node.output);
  const filter = compileFilter(node.filter, scope);
  const tids = compileAll(node.tids, compiler.scope());
  return (state) => {
    const replaced = state.replacedRows?.get(node.varno);
    return new GeneratorOperator(replaced !== undefined ? replacedRow(node, replaced, filter, state) : scan(node, tids, filter, state));
  };
}

function* scan(node: TidScanNode, tids: readonly Scalar[], filter: RowFilter | null, state: ExecState): Run {
  const frame = new Frame(state);
  const wanted = new Set<number>();
  for (const tid of tids) {
    const value: Datum = tid(frame);
    if (value === null) continue;
    if (node.isArray) (value as ArrayValue).elements.forEach((element) => element !== null && wanted.add(element as number));
    else wanted.add(value as number);
  }
  const relation = state.catalog.relation(node.relation)!;
  const access = tableAccess(relation, state.catalog);
  const output = new ScanOutput(relation, node.output);
  for (const rowId of [...wanted].sort((a, b) => a - b)) {
    const version = yield* waitFor(() => access.fetch(state.transaction, state.snapshot, rowId as RowId));
    if (!version) continue;
    const batch = makeBatch(output.vectors(access.decode(output.attnums, [version.tuple.slice()], [rowId], [version.xmin], 1), 1), 1);
    const kept = filter ? yield* filter.apply(batch, state) : batch;
    if (kept) yield kept;
  }
}
