/**
 * Short paths: statements that touch one row by a unique key, read few rows by a range, or insert one row, without operators, batches or
 * generators. Recognised once per plan; whatever is out of the ordinary (changed keys that others refer to, deferrable keys, views,
 * sub-queries, functions that wait, rows with long values elsewhere, EXPLAIN ANALYZE) is left to the general way, which must give the same
 * answers: test/differential/short-paths.test.ts runs both.
 */
import type { RowId } from '../../../engine/ids.js';
import { Pending } from '../../../engine/pending.js';
import type { Catalog, Relation } from '../../catalog/catalog.js';
import type { EvalContext } from '../../functions/context.js';
import type { PhysicalPlan } from '../../planner/plan-node.js';
import type { Datum } from '../../types/datum.js';
import type { TableWriter } from '../../access/table-writer.js';
import { newWriter } from '../constraints/row-writer.js';
import type { ExecState } from '../exec-state.js';
import type { Frame } from '../expressions/frame.js';
import { shortChange } from './short-change.js';
import { shortConflict } from './short-conflict.js';
import { shortInsert } from './short-insert.js';
import { shortLock } from './short-lock.js';
import { shortRange } from './short-range.js';
import { shortRead } from './short-read.js';
import type { StoredOutput } from './stored-row.js';

/** The plan cannot be run the short way this time; nothing was done. */
export const GENERAL = -1;

/** What is kept between the calls of one execution that has to wait. */
export class ShortExecution {
  /** The row to insert, or the new version of the row to update, once it has been computed: long values that were put away are known by it. */
  proposed: Datum[] | null = null;
  /** The row in the way of one to insert, locked, and what becomes of it. */
  change: { readonly rowId: RowId; readonly old: readonly Datum[]; readonly next: Datum[] } | null = null;
  /** Parameters of all rows to insert, one after the other, and how many of them are done. */
  rows: readonly Datum[] | null = null;
  done = 0;
  /** What writes the row: it remembers long values that it has put away before a wait. */
  #writer: TableWriter | null = null;

  constructor(
    readonly state: ExecState,
    /** Takes a result row, valid during the call. */
    readonly emit: (row: readonly Datum[]) => void,
    /** Takes a stored row (`frame.tuple`), valid during the call, that the plan's `output` is to be read from. Where `run` answers GENERAL afterwards, it is taken back. */
    readonly emitStored: (frame: Frame) => void,
  ) {}

  writer(relation: Relation): TableWriter {
    const { transaction, catalog, context } = this.state;
    return (this.#writer ??= newWriter(relation, transaction, catalog, context));
  }
}

export interface ShortPlan {
  /** Reads only: it needs no snapshot that outlives the call. */
  readonly readOnly: boolean;
  /** It runs as well for a list of rows (ShortExecution.rows), of which the state's parameters are one after the other. */
  readonly takesRows?: boolean;
  /** Of one that emits stored rows: what is answered for each. */
  readonly output?: StoredOutput;
  /** Rows read or changed, or GENERAL. Pending: nothing was written; call again with the same execution afterwards. */
  run(execution: ShortExecution): number | Pending;
}

/** null where the plan has no short path. */
export function shortPlanOf(plan: PhysicalPlan, catalog: Catalog, context: EvalContext): ShortPlan | null {
  if (plan.ctes.length > 0 || plan.subPlans.size > 0) return null;
  const { root } = plan;
  if (root.kind === 'ModifyTable') {
    const relation = catalog.relation(root.relation);
    if (!relation || !root.canSetTag || !isPlain(relation)) return null;
    // What else a change of keys asks for is left to the general way.
    if (root.onConflict) return touchesForeignKey(relation, root.onConflict.set.map(({ attno }) => attno)) ? null : shortConflict(root, relation, catalog);
    if (root.operation === 'delete' && relation.referencedBy.length > 0) return null;
    if (root.operation === 'update' && touchesForeignKey(relation, root.set.map(({ attno }) => attno))) return null;
    return root.operation === 'insert' ? shortInsert(root, relation, catalog, context) : root.operation === 'merge' ? null : shortChange(root, relation, catalog, context);
  }
  return shortLock(root, catalog, context) ?? (plan.modifies ? null : (shortRead(root, catalog, context) ?? shortRange(root, catalog, context)));
}

/** Columns of a foreign key, this relation's or one that refers to it. Generated columns count as changed. */
function touchesForeignKey(relation: Relation, set: readonly number[]): boolean {
  const changed = new Set([...set, ...relation.attributes.filter((attribute) => attribute.attgenerated !== '').map((attribute) => attribute.attnum)]);
  return relation.constraints.some((constraint) => constraint.contype === 'f' && constraint.conkey.some((attnum) => changed.has(attnum)))
    || relation.referencedBy.some((constraint) => constraint.confkey.some((attnum) => changed.has(attnum)));
}

/** No unique key that may be checked later. */
function isPlain(relation: Relation): boolean {
  return relation.relkind === 'r' && !relation.isCatalog
    && relation.constraints.every((constraint) => constraint.contype !== 'x')
    && relation.indexes.every((index) => index.immediate && !index.exclusion);
}

