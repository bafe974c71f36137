/** Finds expressions among a node's output columns. */
import type { Expr } from '../analyzer/query-tree.js';
import { equalExpr } from '../analyzer/tree-walk.js';
import type { Scalar } from './expressions/frame.js';
import type { Layout } from './expressions/scope.js';
import { readVector } from './vectors.js';

export class OutputLayout implements Layout {
  private readonly vars = new Map<number, Map<number, number>>();
  private readonly others: { expr: Expr; index: number }[] = [];
  /** The very same node first: two calls of random() are equal but not one column. */
  private readonly identical = new Map<Expr, number>();

  constructor(readonly output: readonly Expr[]) {
    output.forEach((expr, index) => {
      if (!this.identical.has(expr)) this.identical.set(expr, index);
      if (expr.kind === 'Var') {
        let byAttno = this.vars.get(expr.varno);
        if (!byAttno) this.vars.set(expr.varno, (byAttno = new Map()));
        if (!byAttno.has(expr.attno)) byAttno.set(expr.attno, index);
      } else if (expr.kind !== 'Const' && expr.kind !== 'Param') {
        this.others.push({ expr, index });
      }
    });
  }

  /** The column that holds the expression, -1 without one. */
  indexOf(expr: Expr): number {
    if (expr.kind === 'Var') return this.vars.get(expr.varno)?.get(expr.attno) ?? -1;
    const same = this.identical.get(expr);
    if (same !== undefined) return same;
    for (const other of this.others) if (other.expr.kind === expr.kind && equalExpr(other.expr, expr)) return other.index;
    return -1;
  }

  resolve(expr: Expr): Scalar | undefined {
    const index = this.indexOf(expr);
    return index < 0 ? undefined : slot(index);
  }
}

export function slot(index: number): Scalar {
  return (frame) => {
    const vector = frame.columns[index]!;
    return vector.kind === 'any' ? vector.data[frame.row]! : readVector(vector, frame.row);
  };
}
