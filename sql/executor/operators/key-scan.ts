/**
 * An index scan that a whole unique key leads to one row, or none: what the inner side of a nested loop is, run anew for each outer
 * row. No cursor, no generator; what the key alone does not decide goes the way of every index scan.
 */
import type { RowId } from '../../../engine/ids.js';
import { hasLarge } from '../../../engine/mvcc/row-format.js';
import { Pending } from '../../../engine/pending.js';
import { slabCopy } from '../../../engine/slab.js';
import { tableAccess, type TableAccess } from '../../access/table-access.js';
import { isLearned } from '../../learned/learned-options.js';
import type { IndexScanNode } from '../../planner/plan-node.js';
import type { Batch, Operator } from '../batch.js';
import type { Open, PlanCompiler } from '../compile-plan.js';
import type { ExecState } from '../exec-state.js';
import { andOf } from '../expressions/boolean.js';
import { compileAll } from '../expressions/compile.js';
import { Frame, type Scalar } from '../expressions/frame.js';
import { mayWait } from '../expressions/waiting.js';
import { keyLookup, keyValues, type KeyLookup } from '../short/key-lookup.js';
import { StoredRowLayout, readsOnly } from '../short/stored-row.js';
import { makeBatch } from '../vectors.js';
import { ScanOutput } from './scan-output.js';
import { countRemoved } from './seq-scan.js';

interface KeyScan {
  readonly node: IndexScanNode;
  readonly lookup: KeyLookup;
  readonly table: TableAccess;
  readonly output: ScanOutput;
  readonly filter: Scalar | null;
  /** The way of every index scan. */
  readonly general: Open;
}

/** null where the scan is no look-up of one row. */
export function compileKeyScan(node: IndexScanNode, compiler: PlanCompiler, general: Open): Open | null {
  const { catalog } = compiler;
  const relation = catalog.relation(node.relation);
  if (!relation || relation.isCatalog || isLearned(catalog.index(node.index)!) || !keyValues(node, catalog, true)) return null;
  const table = tableAccess(relation, catalog);
  const scope = { ...compiler.scope(), layout: new StoredRowLayout(node.varno, table.codec) };
  if (node.filter.some((qual) => !readsOnly(qual, node.varno, true) || mayWait(qual, scope))) return null;
  const filter = node.filter.length > 0 ? andOf(compileAll(node.filter, scope)) : null;
  const output = new ScanOutput(relation, node.output);
  let scan: KeyScan | undefined;
  return (state) => new KeyScanOperator((scan ??= { node, lookup: keyLookup(node, catalog, state.context, true)!, table, output, filter, general }), state);
}

class KeyScanOperator implements Operator {
  private done = false;
  private general: Operator | undefined;

  constructor(private readonly scan: KeyScan, private readonly state: ExecState) {}

  next(): Batch | null | Pending {
    if (this.general) return this.general.next();
    if (this.done) return null;
    this.done = true;
    const { scan: { node, lookup, table, output, filter }, state } = this;
    const { transaction, snapshot } = state;
    const frame = new Frame(state);
    const found = lookup.find(frame, transaction, snapshot);
    if (found === 0) return null;
    if (found < 0) return this.goGeneral();
    const rowId = found as RowId;
    const version = table.fetch(transaction, snapshot, rowId, true);
    if (!version) return null;
    if (version instanceof Pending || hasLarge(version.tuple)) return this.goGeneral();
    frame.tuple = version.tuple;
    if (filter && filter(frame) !== true) {
      if (state.instrument) countRemoved(state, node, 1);
      return null;
    }
    const tuples = [slabCopy(version.tuple, 0, version.tuple.length)];
    return makeBatch(output.vectors(table.decode(output.attnums, tuples, [rowId], [version.xmin], 1), 1), 1);
  }

  close(): void {
    this.general?.close();
  }

  private goGeneral(): Batch | null | Pending {
    this.general = this.scan.general(this.state);
    return this.general.next();
  }
}
