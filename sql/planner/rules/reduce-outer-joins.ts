/**
 * A qual above an outer join that is never true for NULLs of the nullable side makes the null-extended
 * rows pointless: LEFT and RIGHT become INNER, FULL becomes LEFT or RIGHT. A LEFT JOIN whose right
 * side is then required to be NULL in a join column becomes an anti join.
 */
import type { Expr } from '../../analyzer/query-tree.js';
import { functionOf, treeVarnos, type Logical, type Tree } from '../logical.js';
import type { PlanJoinType } from '../plan-node.js';
import type { Planner } from '../planner-state.js';

export function reduceOuterJoins(logical: Logical, planner: Planner): Logical {
  return { ...logical, tree: reduce(logical.tree, new Set(), planner) };
}

/** `forced`: entries whose Vars some qual above needs to be non-NULL. */
function reduce(tree: Tree, forced: ReadonlySet<number>, planner: Planner): Tree {
  if (tree.kind === 'rel') return tree;
  if (tree.kind === 'from') {
    const all = new Set(forced);
    for (const qual of tree.quals) nonnullable(qual, planner, true).forEach((varno) => all.add(varno));
    return { ...tree, items: tree.items.map((item) => reduce(item, all, planner)) };
  }
  const left = new Set(treeVarnos(tree.left));
  const right = new Set(treeVarnos(tree.right));
  const hits = (side: ReadonlySet<number>): boolean => [...side].some((varno) => forced.has(varno));
  let type: PlanJoinType = tree.type;
  if (type === 'full') {
    if (hits(left)) type = hits(right) ? 'inner' : 'left';
    else if (hits(right)) type = 'right';
  } else if (type === 'left' && hits(right)) type = 'inner';
  else if (type === 'right' && hits(left)) type = 'inner';
  let { left: l, right: r } = tree;
  if (type === 'right') {
    // One shape less for the rest of the planner.
    [l, r] = [r, l];
    type = 'left';
  }
  const own = new Set<number>();
  for (const qual of tree.quals) nonnullable(qual, planner, true).forEach((varno) => own.add(varno));
  const both = new Set([...forced, ...own]);
  const below = (side: 'left' | 'right'): ReadonlySet<number> => {
    switch (type) {
      case 'inner': return both;
      case 'semi': return both;
      case 'left': case 'anti': return side === 'left' ? forced : type === 'left' ? both : own;
      default: return new Set();
    }
  };
  return { ...tree, type, left: reduce(l, below('left'), planner), right: reduce(r, below('right'), planner) };
}

/** Entries such that the expression is not true (`top`) or NULL (otherwise) if all their columns are NULL. */
export function nonnullable(expr: Expr, planner: Planner, top: boolean): Set<number> {
  const union = (args: readonly Expr[], level: boolean): Set<number> => new Set(args.flatMap((arg) => [...nonnullable(arg, planner, level)]));
  switch (expr.kind) {
    case 'Var':
      return new Set([expr.varno]);
    case 'OpExpr': case 'FuncExpr': {
      if (expr.kind === 'FuncExpr' && expr.returnsSet) return new Set();
      const proc = planner.catalog.proc(functionOf(expr, planner.catalog));
      return proc?.proisstrict ? union(expr.args, false) : new Set();
    }
    case 'ScalarArrayOpExpr': {
      const proc = planner.catalog.proc(functionOf(expr, planner.catalog));
      if (!proc?.proisstrict) return new Set();
      const constantArray = expr.args[1].kind === 'Const' || expr.args[1].kind === 'ArrayExpr';
      return constantArray && (expr.useOr || top) ? nonnullable(expr.args[0], planner, false) : new Set();
    }
    case 'BoolExpr':
      if (expr.op === 'not') return nonnullable(expr.args[0]!, planner, false);
      if (expr.op === 'and' && top) return union(expr.args, true);
      return intersection(expr.args.map((arg) => nonnullable(arg, planner, top)));
    case 'RelabelType': case 'CollateExpr': case 'CoerceViaIO': case 'ArrayCoerceExpr':
      return nonnullable(expr.arg, planner, top);
    case 'NullTest':
      return top && expr.negated && !expr.argIsRow ? nonnullable(expr.arg, planner, false) : new Set();
    case 'BooleanTest':
      return top && (expr.test === 'true' || expr.test === 'false' || expr.test === 'not unknown') ? nonnullable(expr.arg, planner, false) : new Set();
    default:
      return new Set();
  }
}

function intersection(sets: readonly Set<number>[]): Set<number> {
  const [first, ...others] = sets;
  if (!first) return new Set();
  return new Set([...first].filter((varno) => others.every((other) => other.has(varno))));
}
