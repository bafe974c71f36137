/**
 * SELECT ... FROM t WHERE range of an index [ORDER BY the index] [LIMIT n], where that is few rows: entries, then row by row, without operators
 * and batches. What turns out to be more goes the general way, and a statement of which that is the rule is left to it.
 */
import type { RowId } from '../../../engine/ids.js';
import { hasLarge } from '../../../engine/mvcc/row-format.js';
import { Pending } from '../../../engine/pending.js';
import { slabCopy } from '../../../engine/slab.js';
import type { IndexBlock } from '../../../engine/storage.js';
import { indexAccess, type IndexAccess } from '../../access/index-access.js';
import { tableAccess, type TableAccess } from '../../access/table-access.js';
import type { Catalog, Index } from '../../catalog/catalog.js';
import type { EvalContext } from '../../functions/context.js';
import type { IndexScanNode, PlanNode } from '../../planner/plan-node.js';
import { andOf } from '../expressions/boolean.js';
import { compile, compileAll } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { EMPTY_LAYOUT, type CompileScope } from '../expressions/scope.js';
import { mayWait } from '../expressions/waiting.js';
import { IndexRanges } from '../operators/index-ranges.js';
import { rowCompilerOf } from '../row-compiler.js';
import { GENERAL, type ShortExecution, type ShortPlan } from './short-plan.js';
import { readsOnly, StoredOutput, StoredRowLayout } from './stored-row.js';

/** Rows read at most, those that the filter refuses included. */
const MAX_ROWS = 256;
const MAX_BYTES = 256 << 10;
/** Entries asked for at once. */
const FIRST_ENTRIES = 128;
/** So often in a row it may be too much before it is not tried any more. */
const MAX_MISSES = 8;

class ShortRange implements ShortPlan {
  readonly readOnly = true;
  private misses = 0;
  private readonly block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };

  constructor(
    private readonly table: TableAccess, private readonly index: Index, private readonly access: IndexAccess, private readonly ranges: IndexRanges, private readonly limit: Scalar | null,
    private readonly filter: Scalar | null, readonly output: StoredOutput, private readonly catalog: Catalog,
  ) {}

  run(execution: ShortExecution): number | Pending {
    if (this.misses >= MAX_MISSES) return GENERAL;
    const count = this.read(execution);
    if (count === GENERAL) this.misses++;
    else this.misses = 0;
    return count;
  }

  private read({ state, emitStored }: ShortExecution): number {
    const { transaction, snapshot } = state;
    const { filter, table, block } = this;
    const frame = new Frame(state);
    const limit = this.limitOf(frame);
    if (limit < 0) return GENERAL;
    const tuples: Uint8Array[] = [];
    let seen = 0;
    let bytes = 0;
    for (const condition of limit === 0 ? [] : this.ranges.evaluate(this.index, this.catalog, state)) {
      const { range, recheck } = this.access.range(condition);
      if (recheck) return GENERAL;
      const cursor = transaction.scanIndex(this.index.storage, snapshot, range);
      try {
        while (tuples.length < limit) {
          // Without a filter no more entries are wanted than rows.
          const filled = cursor.fill(block, filter ? FIRST_ENTRIES : Math.min(limit - tuples.length, FIRST_ENTRIES));
          if (filled instanceof Pending) return GENERAL;
          if (filled === 0) break;
          for (let i = 0; i < filled && tuples.length < limit; i++) {
            if (++seen > MAX_ROWS) return GENERAL;
            const version = table.fetchOne(transaction, snapshot, block.rowIds[i]! as RowId);
            if (!version) continue;
            if (version instanceof Pending || hasLarge(version.tuple)) return GENERAL;
            frame.tuple = version.tuple;
            if (filter && filter(frame) !== true) continue;
            const { length } = version.tuple;
            if ((bytes += length) > MAX_BYTES) return GENERAL;
            tuples.push(slabCopy(version.tuple, 0, length));
          }
        }
      } finally {
        cursor.close();
      }
      if (tuples.length === limit) break;
    }
    for (const tuple of tuples) emitStored(tuple);
    return tuples.length;
  }

  /** Infinity without one; -1 where the general way must raise an error. */
  private limitOf(frame: Frame): number {
    const value = this.limit ? this.limit(frame) : null;
    return value === null ? Infinity : Math.max(Number(value as number | bigint), -1);
  }
}

/** null where the plan is no such range. */
export function shortRange(root: PlanNode, catalog: Catalog, context: EvalContext): ShortPlan | null {
  let node = root;
  const above = node.kind === 'Project' ? node.output : null;
  if (node.kind === 'Project') node = node.child;
  const limit = node.kind === 'Limit' ? node : null;
  if (limit) {
    if (limit.offset || limit.tieKeys) return null;
    node = limit.child;
  }
  const below = node.kind === 'Project' && !above ? node.output : null;
  if (below && node.kind === 'Project') node = node.child;
  if (node.kind !== 'IndexScan' || node.indexOnly || node.conditions.length === 0) return null;
  const scan: IndexScanNode = node;
  const relation = catalog.relation(scan.relation);
  const index = catalog.index(scan.index);
  if (!relation || relation.isCatalog || !index) return null;
  const exprs = above ?? below ?? scan.output;
  const table = tableAccess(relation, catalog);
  const scope: CompileScope = { catalog, layout: new StoredRowLayout(scan.varno, table.codec), subLinks: null };
  if ([...scan.filter, ...exprs].some((expr) => !readsOnly(expr, scan.varno) || mayWait(expr, scope))) return null;
  const fixed: CompileScope = { catalog, layout: EMPTY_LAYOUT, subLinks: null };
  const values = [...scan.conditions.flatMap(({ value }) => (value ? [value] : [])), ...(limit?.count ? [limit.count] : [])];
  if (values.some((value) => !readsOnly(value, -1) || mayWait(value, fixed))) return null;
  return new ShortRange(
    table, index, indexAccess(index, catalog, rowCompilerOf(catalog, context)), new IndexRanges(scan.conditions, scan.backward, fixed), limit?.count ? compile(limit.count, fixed) : null,
    scan.filter.length > 0 ? andOf(compileAll(scan.filter, scope)) : null, new StoredOutput(exprs, table.codec, scope), catalog,
  );
}
