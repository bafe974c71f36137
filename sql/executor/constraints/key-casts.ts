/**
 * Foreign keys whose two sides have different types. As PostgreSQL's operators for them do, the referencing value is
 * compared as one of the referenced column's type: a date with midnight of it, an integer with the numeric. Integers of
 * any width, and text beside varchar, need nothing of that: their values are the same.
 */
import { DatabaseError } from '../../../engine/errors.js';
import type { Catalog, Constraint, Relation } from '../../catalog/catalog.js';
import type { EvalContext } from '../../functions/context.js';
import { quoteIdentifier } from '../../types/identifier.js';
import type { Datum } from '../../types/datum.js';
import { compileExpression } from '../compile-expression.js';
import { analyzeRelationExpression } from '../relation-expression.js';
import { sameDatum } from './row-writer.js';

const ALIKE: readonly ReadonlySet<number>[] = [new Set([20, 21, 23]), new Set([25, 1043])];
/** Compared as they are, not after a cast: what a cast to the other side's type would lose makes them differ. */
const EXACT: readonly ReadonlySet<number>[] = [new Set([1082, 1114, 1184]), new Set([700, 701])];

type Evaluate = (row: readonly Datum[], context: EvalContext) => Datum;

interface Column {
  readonly attnum: number;
  readonly type: number;
  /** From the child's row, and from the parent's; null: as it is. */
  readonly toParent: Evaluate | null;
  readonly toChild: Evaluate | null;
  /** The child's value as it comes back from the parent's type, for those that are compared exactly. */
  readonly exact: ((value: Datum, context: EvalContext) => Datum) | null;
}

export class KeyCasts {
  constructor(private readonly columns: readonly Column[], private readonly parentColumns: readonly number[]) {}

  /** The key of a referencing row as the other side has it; null: no row there can have it. */
  toParent(child: readonly Datum[], catalog: Catalog, context: EvalContext): Datum[] | null {
    const key: Datum[] = [];
    for (const { attnum, type, toParent, exact } of this.columns) {
      const value = child[attnum - 1] ?? null;
      if (!toParent || value === null) {
        key.push(value);
        continue;
      }
      const cast = castOrNull(() => toParent(child, context));
      if (cast === null) return null;
      if (exact && !sameDatum(castOrNull(() => exact(cast, context)), value, type, catalog)) return null;
      key.push(cast);
    }
    return key;
  }

  /** The key of a referenced row as the referencing columns take it (ON UPDATE CASCADE). */
  toChild(parent: readonly Datum[], context: EvalContext): Datum[] {
    return this.columns.map(({ toChild }, i) => (toChild ? toChild(parent, context) : (parent[this.parentColumns[i]! - 1] ?? null)));
  }
}

/** A value that the other type does not hold equals none of it. */
function castOrNull(cast: () => Datum): Datum {
  try {
    return cast();
  } catch (error) {
    if (error instanceof DatabaseError && error.sqlstate.startsWith('22')) return null;
    throw error;
  }
}

const remembered = new WeakMap<Constraint, { readonly child: Relation; readonly parent: Relation; readonly casts: KeyCasts | null }>();

/** Undefined type modifiers: a value is cast to the type, not to a column's length. */
const ANY_LENGTH = -1;

/** Null where both sides have values of one kind. */
export function keyCasts(constraint: Constraint, child: Relation, parent: Relation, catalog: Catalog, context: EvalContext): KeyCasts | null {
  const known = remembered.get(constraint);
  if (known && known.child === child && known.parent === parent) return known.casts;
  const base = (type: number): number => {
    const row = catalog.type(type);
    return row?.typtype === 'd' ? base(row.typbasetype) : type;
  };
  const cast = (relation: Relation, attnum: number, type: number): Evaluate =>
    compileExpression(analyzeRelationExpression(quoteIdentifier(relation.attributes[attnum - 1]!.attname), relation.oid, catalog, context, 'other', { type, typmod: ANY_LENGTH }), catalog);
  let differs = false;
  const columns = constraint.conkey.map((attnum, i): Column => {
    const parentAttnum = constraint.confkey[i]!;
    const from = base(child.attributes[attnum - 1]!.atttypid);
    const to = base(parent.attributes[parentAttnum - 1]!.atttypid);
    const both = (set: ReadonlySet<number>): boolean => set.has(from) && set.has(to);
    if (from === to || ALIKE.some(both)) return { attnum, type: from, toParent: null, toChild: null, exact: null };
    differs = true;
    const toChild = cast(parent, parentAttnum, from);
    let exact: Column['exact'] = null;
    if (EXACT.some(both)) {
      const row: Datum[] = new Array<Datum>(parent.attributes.length).fill(null);
      exact = (value, evaluating) => {
        row[parentAttnum - 1] = value;
        return toChild(row, evaluating);
      };
    }
    return { attnum, type: from, toParent: cast(child, attnum, to), toChild, exact };
  });
  const casts = differs ? new KeyCasts(columns, constraint.confkey) : null;
  remembered.set(constraint, { child, parent, casts });
  return casts;
}
