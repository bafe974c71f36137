/**
 * SELECT ... FROM t WHERE range of an index, where that is few rows: as they come [LIMIT n], aggregated into one row, or sorted and made distinct.
 * Row ids, then row by row where each lies, without operators and batches. What turns out to be more goes the general way, and a
 * statement of which that is the rule is left to it.
 */
import type { RowId } from '../../../engine/ids.js';
import { LARGE_MARK } from '../../../engine/mvcc/row-format.js';
import { Pending } from '../../../engine/pending.js';
import type { IndexBlock, KeyRange, RowPlace } from '../../../engine/storage.js';
import { indexAccess, type IndexAccess } from '../../access/index-access.js';
import { tableAccess, type TableAccess } from '../../access/table-access.js';
import { childrenOf, equalExpr } from '../../analyzer/tree-walk.js';
import type { Expr } from '../../analyzer/query-tree.js';
import type { Catalog, Index } from '../../catalog/catalog.js';
import type { EvalContext } from '../../functions/context.js';
import type { AggNode, IndexScanNode, PlanNode, SortKey } from '../../planner/plan-node.js';
import { compileAggregate } from '../aggregation.js';
import { compareBy } from '../compare.js';
import { andOf } from '../expressions/boolean.js';
import { compile, compileAll } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { EMPTY_LAYOUT, type CompileScope } from '../expressions/scope.js';
import { mayWait } from '../expressions/waiting.js';
import { OutputLayout } from '../layout.js';
import { IndexRanges } from '../operators/index-ranges.js';
import { rowCompilerOf } from '../row-compiler.js';
import { AggregatedRows, PlainRows, SortedRows, sortKeyOf, type RangeFinish } from './range-finish.js';
import { GENERAL, type ShortExecution, type ShortPlan } from './short-plan.js';
import { readsOnly, StoredOutput, StoredRowLayout } from './stored-row.js';

/** Rows read at most, those that the filter refuses included. */
const MAX_ROWS = 256;
const MAX_BYTES = 256 << 10;
/** So often in a row it may be too much before it is not tried any more. */
const MAX_MISSES = 8;

const rowIds = new Float64Array(MAX_ROWS + 1);
const place: RowPlace = { bytes: new Uint8Array(0), start: 0, end: 0 };

class ShortRange implements ShortPlan {
  readonly readOnly = true;
  private misses = 0;
  private readonly block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };

  constructor(
    private readonly table: TableAccess, private readonly index: Index, private readonly access: IndexAccess, private readonly ranges: IndexRanges, private readonly limit: Scalar | null,
    private readonly filter: Scalar | null, private readonly finish: RangeFinish, readonly output: StoredOutput | undefined, private readonly catalog: Catalog,
  ) {}

  run(execution: ShortExecution): number | Pending {
    if (this.misses >= MAX_MISSES) return GENERAL;
    const count = this.read(execution);
    if (count === GENERAL) this.misses++;
    else this.misses = 0;
    return count;
  }

  private read(execution: ShortExecution): number {
    const { state } = execution;
    const { filter, finish, table } = this;
    const { transaction, snapshot } = state;
    const frame = new Frame(state);
    const limit = this.limitOf(frame);
    if (limit < 0) return GENERAL;
    table.codec.large ??= transaction.largeValues;
    finish.begin();
    const { storage } = table.relation;
    // Without a filter no more entries are wanted than rows.
    const enough = finish.stopsAtLimit ? limit : Infinity;
    const wanted = filter ? Infinity : enough;
    let seen = 0;
    let taken = 0;
    let bytes = 0;
    for (const condition of limit === 0 ? [] : this.ranges.evaluate(this.index, this.catalog, state)) {
      const { range, recheck } = this.access.range(condition);
      if (recheck) return GENERAL;
      const count = this.rowIdsOf(execution, range, Math.min(MAX_ROWS + 1 - seen, wanted - taken));
      if (count < 0 || (seen += count) > MAX_ROWS) return GENERAL;
      for (let i = 0; i < count && taken < enough; i++) {
        if (!finish.blind || filter) {
          if (!transaction.placeOf(storage, rowIds[i] as RowId, snapshot, place)) continue;
          const { start, end } = place;
          if (place.bytes[start + 1]! & LARGE_MARK || (bytes += end - start) > MAX_BYTES) return GENERAL;
          frame.tuple = place.bytes;
          frame.tupleAt = start;
          frame.tupleEnd = end;
          if (filter && filter(frame) !== true) continue;
        }
        taken++;
        if (!finish.row(frame, execution)) return GENERAL;
      }
      if (taken >= enough) break;
    }
    return finish.end(frame, execution, limit);
  }

  /** Fills `rowIds`; GENERAL where that has to wait. */
  private rowIdsOf({ state }: ShortExecution, range: KeyRange, max: number): number {
    const { transaction, snapshot } = state;
    const told = transaction.rowIdsOf(this.index.storage, snapshot, range, max, rowIds);
    if (told >= 0) return told;
    const { block } = this;
    const cursor = transaction.scanIndex(this.index.storage, snapshot, range);
    try {
      let count = 0;
      while (count < max) {
        const filled = cursor.fill(block, max - count);
        if (filled instanceof Pending) return GENERAL;
        if (filled === 0) break;
        for (let i = 0; i < filled; i++) rowIds[count++] = block.rowIds[i]!;
      }
      return count;
    } finally {
      cursor.close();
    }
  }

  /** Infinity without one; -1 where the general way must raise an error. */
  private limitOf(frame: Frame): number {
    const value = this.limit ? this.limit(frame) : null;
    return value === null ? Infinity : Math.max(Number(value as number | bigint), -1);
  }
}

/** The nodes of a plan that is a range and what becomes of it. */
interface RangePlan {
  readonly scan: IndexScanNode;
  readonly limit: Expr | null;
  readonly sort: readonly SortKey[] | null;
  readonly distinct: readonly Expr[] | null;
  readonly agg: AggNode | null;
  /** What is answered, in terms of the scan's columns (and of aggregates). */
  readonly output: readonly Expr[];
}

function rangePlan(root: PlanNode): RangePlan | null {
  let node = root;
  let limit: Expr | null = null;
  let sort: readonly SortKey[] | null = null;
  let distinct: readonly Expr[] | null = null;
  let agg: AggNode | null = null;
  const throughProject = (): void => {
    if (node.kind === 'Project') node = node.child;
  };
  throughProject();
  if (node.kind === 'Limit') {
    if (node.offset || node.tieKeys) return null;
    limit = node.count;
    node = node.child;
    throughProject();
  }
  if (node.kind === 'Unique') {
    distinct = node.keys;
    node = node.child;
    throughProject();
  }
  if (node.kind === 'Sort') {
    sort = node.keys;
    node = node.child;
    throughProject();
  }
  if (node.kind === 'Agg') {
    if (node.groupingSets || node.filter.length > 0) return null;
    if (node.groups.length > 0) {
      // DISTINCT by a hash table: sorted above, it is the same as sorted below.
      if (node.aggs.length > 0 || distinct || !sort) return null;
      distinct = node.groups;
    } else {
      if (sort || distinct) return null;
      agg = node;
    }
    node = node.child;
    throughProject();
  }
  if (node.kind !== 'IndexScan' || node.conditions.length === 0 || (distinct && !sort)) return null;
  return { scan: node, limit, sort, distinct, agg, output: root.kind === 'Limit' ? root.child.output : root.output };
}

/** null where the plan is no such range. */
export function shortRange(root: PlanNode, catalog: Catalog, context: EvalContext): ShortPlan | null {
  const plan = rangePlan(root);
  if (!plan) return null;
  const { scan, limit } = plan;
  const relation = catalog.relation(scan.relation);
  const index = catalog.index(scan.index);
  if (!relation || relation.isCatalog || !index) return null;
  const table = tableAccess(relation, catalog);
  const scope: CompileScope = { catalog, layout: new StoredRowLayout(scan.varno, table.codec), subLinks: null };
  const reads = (exprs: readonly Expr[]): boolean => exprs.every((expr) => readsOnly(expr, scan.varno) && !mayWait(expr, scope));
  const fixed: CompileScope = { catalog, layout: EMPTY_LAYOUT, subLinks: null };
  const values = [...scan.conditions.flatMap(({ value }) => (value ? [value] : [])), ...(limit ? [limit] : [])];
  if (!reads(scan.filter) || values.some((value) => !readsOnly(value, -1) || mayWait(value, fixed))) return null;
  const finish = plan.agg ? aggregated(plan.agg, plan.output, reads, scope) : reads(plan.output) ? (plan.sort ? sorted(plan, table, catalog) : new PlainRows()) : null;
  if (!finish || (scan.indexOnly && !finish.blind)) return null;
  return new ShortRange(
    table, index, indexAccess(index, catalog, rowCompilerOf(catalog, context)), new IndexRanges(scan.conditions, scan.backward, fixed), limit ? compile(limit, fixed) : null,
    scan.filter.length > 0 ? andOf(compileAll(scan.filter, scope)) : null, finish, plan.agg ? undefined : new StoredOutput(plan.output, table.codec, scope), catalog,
  );
}

/** Plain columns alone: nothing is computed at another time, or another number of times, than the general way does. */
function sorted({ sort, distinct, output }: RangePlan, table: TableAccess, catalog: Catalog): RangeFinish | null {
  const keys = sort!.map((key) => sortKeyOf(key, compareBy({ type: key.expr.type, descending: key.descending, nullsFirst: key.nullsFirst }, catalog)));
  if (keys.some((key) => key === null) || output.some((expr) => expr.kind !== 'Var')) return null;
  if (distinct && (distinct.length !== keys.length || distinct.some((expr) => !sort!.some((key) => equalExpr(key.expr, expr))))) return null;
  return new SortedRows(table.codec, keys as Exclude<(typeof keys)[number], null>[], distinct !== null);
}

function aggregated(node: AggNode, output: readonly Expr[], reads: (exprs: readonly Expr[]) => boolean, scope: CompileScope): RangeFinish | null {
  for (const agg of node.aggs) if (agg.levelsUp > 0 || !reads(agg.directArgs) || !reads(agg.args.map(({ expr }) => expr)) || (agg.filter && !reads([agg.filter]))) return null;
  const results = new OutputLayout(node.aggs);
  const layout = {
    resolve: (expr: Expr): Scalar | undefined => {
      const at = results.indexOf(expr);
      return at < 0 ? undefined : (frame) => frame.values[at]!;
    },
  };
  const above: CompileScope = { ...scope, layout };
  // Nothing of a row beside its aggregates.
  if (output.some((expr) => !readsAggregates(expr, results) || mayWait(expr, above))) return null;
  const blind = node.aggs.every((agg) => agg.args.length === 0 && agg.directArgs.length === 0 && !agg.filter);
  return new AggregatedRows(node.aggs.map((agg) => compileAggregate(agg, scope)), output.map((expr) => compile(expr, above)), blind);
}

function readsAggregates(expr: Expr, results: OutputLayout): boolean {
  if (results.indexOf(expr) >= 0) return true;
  if (expr.kind === 'Var' || expr.kind === 'SubLink' || expr.kind === 'Aggref' || (expr.kind === 'Param' && expr.paramKind === 'exec')) return false;
  return childrenOf(expr).every((child) => readsAggregates(child, results));
}
