/** Which row a unique key's values lead to. Recognises the scan whose conditions fix every column of a unique index. */
import type { RowId } from '../../../engine/ids.js';
import { LONG_KEY, equalBytes } from '../../../engine/keycode.js';
import { hasLarge } from '../../../engine/mvcc/row-format.js';
import { Pending } from '../../../engine/pending.js';
import type { Snapshot, Transaction } from '../../../engine/storage.js';
import { indexAccess, type IndexAccess } from '../../access/index-access.js';
import type { TableAccess } from '../../access/table-access.js';
import type { Expr } from '../../analyzer/query-tree.js';
import type { Catalog } from '../../catalog/catalog.js';
import type { EvalContext } from '../../functions/context.js';
import type { IndexScanNode } from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import { compile } from '../expressions/compile.js';
import type { Frame, Scalar } from '../expressions/frame.js';
import { EMPTY_LAYOUT, type CompileScope } from '../expressions/scope.js';
import { mayWait } from '../expressions/waiting.js';
import type { ExecState } from '../exec-state.js';
import { INTEGER_RANGES, outside, type IntegerRange } from '../integer-range.js';
import { rowCompilerOf } from '../row-compiler.js';
import { GENERAL } from './short-plan.js';
import { readsOnly } from './stored-row.js';

/** Key types whose encoding is never cut: bool, int2, int4, int8, oid, float8, date, timestamps, uuid. */
export const FIXED: Readonly<Record<number, true>> = { 16: true, 20: true, 21: true, 23: true, 26: true, 701: true, 1082: true, 1114: true, 1184: true, 2950: true };
const INTEGERS: Readonly<Record<number, true>> = { 20: true, 21: true, 23: true };
export const TEXT: Readonly<Record<number, true>> = { 25: true, 1043: true };

export class KeyLookup {
  /** Key of the last look-up. */
  private key: Uint8Array = new Uint8Array(0);

  constructor(
    private readonly index: IndexAccess, private readonly relationName: string, private readonly values: readonly Scalar[], private readonly ranges: readonly (IntegerRange | undefined)[],
  ) {}

  /** 0: there is no such row; -1: the general way must look. */
  find(frame: Frame, transaction: Transaction, snapshot: Snapshot): RowId | 0 | -1 {
    const values = new Array<Datum>(this.values.length);
    for (let i = 0; i < values.length; i++) {
      const value = this.values[i]!(frame);
      if (value === null) return 0;
      const range = this.ranges[i];
      if (range && outside(value, range) !== 0) return 0;
      values[i] = value;
    }
    const key = this.index.key(values, this.relationName);
    if (key.length >= LONG_KEY) return -1;
    this.key = key;
    return transaction.lookup(this.index.index.storage, key, snapshot);
  }

  /** Does this version of the row found still have the key that was looked for? */
  matches(row: readonly Datum[]): boolean {
    return equalBytes(this.index.key(this.index.keyValues(row), this.relationName), this.key);
  }
}

/**
 * Reads the row that the key leads to, as the statement's snapshot sees it, into `frame`. Answers its id; 0 when there is none or the
 * filter refuses it, GENERAL when the general way must look.
 */
export function readByKey(frame: Frame, { transaction, snapshot }: ExecState, lookup: KeyLookup, table: TableAccess, filter: Scalar | null): RowId | 0 | typeof GENERAL {
  const found = lookup.find(frame, transaction, snapshot);
  if (found <= 0) return found === 0 ? 0 : GENERAL;
  const rowId = found as RowId;
  const seen = table.fetchOne(transaction, snapshot, rowId);
  if (!seen) return 0;
  if (seen instanceof Pending || hasLarge(seen.tuple)) return GENERAL;
  frame.tuple = seen.tuple.slice();
  return filter && filter(frame) !== true ? 0 : rowId;
}

/** The values of a whole unique key that the scan looks up; undefined where it is no such look-up. `inPlan`: other nodes of its plan may set parameters. */
export function keyValues(scan: IndexScanNode, catalog: Catalog, inPlan = false): Expr[] | undefined {
  const index = catalog.index(scan.index);
  if (!index || !index.unique || !index.immediate || index.predicateText !== null) return undefined;
  if (scan.conditions.length !== index.keyColumns.length || scan.conditions.some((condition) => condition.strategy !== '=')) return undefined;
  const values: Expr[] = [];
  for (const [at, { attnum, typeOid: type }] of index.keyColumns.entries()) {
    const expr = scan.conditions.find((condition) => condition.column === at)?.value;
    if (attnum === 0 || !(type in FIXED || type in TEXT) || !expr || !readsOnly(expr, -1, inPlan) || mayWait(expr, { catalog, layout: EMPTY_LAYOUT, subLinks: null })) return undefined;
    // Values of another type, where their keys are the same: integers among themselves, text and varchar.
    if (expr.type !== type && !(type in INTEGERS && expr.type in INTEGERS) && !(type in TEXT && expr.type in TEXT)) return undefined;
    values.push(expr);
  }
  return values;
}

/** undefined where the scan is no look-up of one key. */
export function keyLookup(scan: IndexScanNode, catalog: Catalog, context: EvalContext, inPlan = false): KeyLookup | undefined {
  const exprs = keyValues(scan, catalog, inPlan);
  const relation = catalog.relation(scan.relation);
  if (!exprs || !relation) return undefined;
  const index = catalog.index(scan.index)!;
  const scope: CompileScope = { catalog, layout: EMPTY_LAYOUT, subLinks: null };
  const ranges = index.keyColumns.map(({ typeOid }, at) => (exprs[at]!.type === typeOid ? undefined : INTEGER_RANGES[typeOid]));
  return new KeyLookup(indexAccess(index, catalog, rowCompilerOf(catalog, context)), relation.relname, exprs.map((expr) => compile(expr, scope)), ranges);
}
