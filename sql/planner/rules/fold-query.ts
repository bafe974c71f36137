/** Constant folding over all of a query's expressions. */
import { foldConstants } from '../fold.js';
import { mapExpressions, treeVarnos, type Logical } from '../logical.js';
import type { Planner } from '../planner-state.js';

export function foldQuery(logical: Logical, planner: Planner): Logical {
  for (const varno of treeVarnos(logical.tree)) {
    const entry = planner.entry(varno);
    if (entry.kind === 'function') {
      planner.rangeTable[varno - 1] = { ...entry, functions: entry.functions.map((expr) => (expr.kind === 'FuncExpr' ? { ...expr, args: expr.args.map((arg) => foldConstants(arg, planner)) } : foldConstants(expr, planner))) };
    } else if (entry.kind === 'values') {
      planner.rangeTable[varno - 1] = { ...entry, rows: entry.rows.map((row) => row.map((expr) => foldConstants(expr, planner))) };
    }
  }
  return mapExpressions(logical, (expr) => foldConstants(expr, planner));
}
