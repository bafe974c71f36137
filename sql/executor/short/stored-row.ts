/** Expressions over one stored row: columns are read from its bytes when they are asked for. */
import type { Expr } from '../../analyzer/query-tree.js';
import type { TupleCodec } from '../../access/tuple-codec.js';
import { childrenOf } from '../../analyzer/tree-walk.js';
import { compile } from '../expressions/compile.js';
import type { Scalar } from '../expressions/frame.js';
import type { CompileScope, Layout } from '../expressions/scope.js';

/** Vars read `frame.tuple` from `frame.tupleAt` on. */
export class StoredRowLayout implements Layout {
  constructor(private readonly varno: number, private readonly codec: TupleCodec) {}

  resolve(expr: Expr): Scalar | undefined {
    if (expr.kind !== 'Var' || expr.varno !== this.varno || expr.attno <= 0) return undefined;
    const { codec } = this;
    const column = expr.attno - 1;
    return (frame) => codec.read(frame.tuple, column, frame.tupleAt);
  }
}

/** Does the expression read nothing but ordinary columns of this relation, and no sub-query? */
export function readsOnly(expr: Expr, varno: number, inPlan = false): boolean {
  if (expr.kind === 'Var') return expr.varno === varno && expr.attno > 0;
  if (expr.kind === 'SubLink' || (!inPlan && expr.kind === 'Param' && expr.paramKind === 'exec')) return false;
  return childrenOf(expr).every((child) => readsOnly(child, varno, inPlan));
}

/** What a query answers for each stored row: columns as they lie there, where the query asks for nothing else, or computed values. */
export class StoredOutput {
  /** Position of each column in the row; -1: computed. */
  readonly columns: readonly number[];
  readonly scalars: readonly Scalar[];

  constructor(exprs: readonly Expr[], readonly codec: TupleCodec, scope: CompileScope) {
    this.columns = exprs.map((expr) => (expr.kind === 'Var' ? expr.attno - 1 : -1));
    this.scalars = exprs.map((expr) => compile(expr, scope));
  }
}
