/**
 * The short path of a one-row key read: SELECT columns FROM t WHERE unique key = values. Recognised
 * once per plan; run without operators, generators or batches of more than its one row. What
 * does not fit (waiting expressions, EXPLAIN ANALYZE, rechecks) takes the ordinary way.
 */
import { Pending } from '../../engine/pending.js';
import type { RowId } from '../../engine/ids.js';
import type { IndexBlock } from '../../engine/storage.js';
import { indexAccess, type IndexAccess } from '../access/index-access.js';
import { tableAccess, type TableAccess } from '../access/table-access.js';
import type { Catalog } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import type { IndexScanNode, PhysicalPlan, PlanNode } from '../planner/plan-node.js';
import type { Datum } from '../types/datum.js';
import type { Batch } from './batch.js';
import type { PlanCompiler } from './compile-plan.js';
import type { ExecState } from './exec-state.js';
import { compile } from './expressions/compile.js';
import { Frame, type Scalar } from './expressions/frame.js';
import { mayWait } from './expressions/waiting.js';
import { INTEGER_RANGES, outside, type IntegerRange } from './integer-range.js';
import { rowCompilerOf } from './row-compiler.js';
import { compileFilter, type RowFilter } from './row-filter.js';
import { compileProjection, type Projection } from './projection.js';

export class PointRead {
  private readonly block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };

  constructor(
    private readonly table: TableAccess, private readonly index: IndexAccess, private readonly keys: readonly Scalar[], private readonly ranges: readonly (IntegerRange | undefined)[],
    private readonly attnums: readonly number[], private readonly filter: RowFilter | null, private readonly projection: Projection | null,
  ) {}

  /** The row, null when there is none. Pending: call again. */
  run(state: ExecState): Batch | null | Pending {
    const frame = new Frame(state);
    const values: Datum[] = [];
    for (let i = 0; i < this.keys.length; i++) {
      const value = this.keys[i]!(frame);
      if (value === null) return null;
      const range = this.ranges[i];
      if (range && outside(value, range) !== 0) return null;
      values.push(value);
    }
    const { transaction, snapshot } = state;
    const { range, recheck } = this.index.range({ equal: values });
    const cursor = transaction.scanIndex(this.index.index.storage, snapshot, range);
    let rowId: number;
    try {
      const filled = cursor.fill(this.block, recheck ? 2 : 1);
      if (filled instanceof Pending) return filled;
      if (filled === 0) return null;
      rowId = this.block.rowIds[0]!;
    } finally {
      cursor.close();
    }
    const version = this.table.fetch(transaction, snapshot, rowId as RowId);
    if (version instanceof Pending) return version;
    if (!version) return null;
    const loading = this.table.load(this.attnums, [version.tuple], 1);
    if (loading) return loading;
    let batch: Batch = { columns: this.table.decode(this.attnums, [version.tuple], [rowId], [version.xmin], 1), length: 1, selection: null };
    if (this.filter) {
      const kept = this.filter.applyNow(batch, state);
      if (kept === null) return null;
      batch = kept;
    }
    return this.projection ? this.projection.applyNow(batch, state) : batch;
  }
}

const recognised = new WeakMap<PhysicalPlan, PointRead | null>();

/** The plan's short path, if it has one. */
export function pointReadOf(plan: PhysicalPlan, compiler: PlanCompiler, catalog: Catalog, context: EvalContext): PointRead | null {
  let read = recognised.get(plan);
  if (read === undefined) recognised.set(plan, (read = recognise(plan, compiler, catalog, context)));
  return read;
}

function recognise(plan: PhysicalPlan, compiler: PlanCompiler, catalog: Catalog, context: EvalContext): PointRead | null {
  if (plan.modifies || plan.ctes.length > 0 || plan.subPlans.size > 0) return null;
  const { root } = plan;
  const scan: PlanNode = root.kind === 'Project' ? root.child : root;
  if (scan.kind !== 'IndexScan' || scan.output.some((expr) => expr.kind !== 'Var' || expr.attno === 0)) return null;
  const index = catalog.index(scan.index);
  const relation = catalog.relation(scan.relation);
  if (!index || !relation || relation.isCatalog || !isUniqueKey(scan, index.unique, index.keyColumns.length)) return null;
  // Long text keys may be cut; their rows would have to be compared again.
  if (index.keyColumns.some((column) => !(column.typeOid in FIXED))) return null;
  const scope = compiler.scope();
  const rowScope = compiler.scope(scan.output);
  const keys = index.keyColumns.map((_, column) => scan.conditions.find((condition) => condition.column === column)!.value!);
  const exprs = root.kind === 'Project' ? root.output : [];
  if (keys.some((expr) => mayWait(expr, scope)) || [...exprs, ...scan.filter].some((expr) => mayWait(expr, rowScope))) return null;
  return new PointRead(
    tableAccess(relation, catalog), indexAccess(index, catalog, rowCompilerOf(catalog, context)), keys.map((expr) => compile(expr, scope)),
    keys.map((expr, i) => (expr.type === index.keyColumns[i]!.typeOid ? undefined : INTEGER_RANGES[index.keyColumns[i]!.typeOid])),
    scan.output.map((expr) => (expr as { attno: number }).attno), compileFilter(scan.filter, rowScope),
    root.kind === 'Project' ? compileProjection(root.output, rowScope, compiler.layout(scan.output)) : null,
  );
}

/** Key types whose encoding is never cut: bool, int2, int4, int8, oid, float8, date, timestamps, uuid. */
const FIXED: Readonly<Record<number, true>> = { 16: true, 20: true, 21: true, 23: true, 26: true, 701: true, 1082: true, 1114: true, 1184: true, 2950: true };

function isUniqueKey(scan: IndexScanNode, unique: boolean, columns: number): boolean {
  return unique && scan.conditions.length === columns && scan.conditions.every((condition) => condition.strategy === '=');
}
