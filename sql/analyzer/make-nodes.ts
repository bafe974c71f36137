/** Constructors for expression nodes, so that defaults (typmod -1, collation of the type) are set in one place. */
import type { Catalog, Oid } from '../catalog/catalog.js';
import { TypeOid } from '../catalog/type-oids.js';
import type { Datum } from '../types/datum.js';
import type { BoolExpr, Const, Expr, ExprBase, RangeTableEntry, TargetEntry, Var } from './query-tree.js';

export function typeCollation(catalog: Catalog, type: Oid): Oid {
  return catalog.type(type)?.typcollation ?? 0;
}

/** Collation that the arguments of a call have: the first one that is collatable, an explicit COLLATE first. */
export function inputCollation(args: readonly Expr[]): Oid {
  for (const arg of args) if (arg.kind === 'CollateExpr') return arg.collationOid;
  for (const arg of args) if (arg.collation !== 0) return arg.collation;
  return 0;
}

/** Collation of a result of type `type` computed from `args`. */
export function resultCollation(catalog: Catalog, type: Oid, args: readonly Expr[]): Oid {
  const own = typeCollation(catalog, type);
  return own === 0 ? 0 : inputCollation(args) || own;
}

export function base(type: Oid, typmod = -1, collation: Oid = 0, location = -1): ExprBase {
  return { type, typmod, collation, location };
}

export function makeConst(catalog: Catalog, type: Oid, value: Datum, location = -1, typmod = -1): Const {
  return { kind: 'Const', value, ...base(type, typmod, typeCollation(catalog, type), location) };
}

export function makeNull(catalog: Catalog, type: Oid, typmod = -1, location = -1): Const {
  return makeConst(catalog, type, null, location, typmod);
}

export function makeBool(value: boolean | null, location = -1): Const {
  return { kind: 'Const', value, ...base(TypeOid.bool, -1, 0, location) };
}

/** AND/OR of a list; the single argument itself for one, null for none. */
export function makeAnd(args: readonly Expr[]): Expr | null {
  if (args.length === 0) return null;
  if (args.length === 1) return args[0];
  return { kind: 'BoolExpr', op: 'and', args, ...base(TypeOid.bool) };
}

export function makeNot(arg: Expr, location = -1): BoolExpr {
  return { kind: 'BoolExpr', op: 'not', args: [arg], ...base(TypeOid.bool, -1, 0, location) };
}

export function makeVar(rtindex: number, entry: RangeTableEntry, attno: number, levelsUp = 0, location = -1): Var {
  const column = entry.columns[attno - 1];
  return { kind: 'Var', varno: rtindex, attno, levelsUp, ...base(column.type, column.typmod, column.collation, location) };
}

export function makeTargetEntry(expr: Expr, resno: number, name: string | null, junk = false): TargetEntry {
  return { expr, resno, name, sortGroupRef: 0, originTable: 0, originColumn: 0, junk };
}
