/**
 * (a AND b) OR (a AND c) is a AND (b OR c): what all arms of an OR have in common becomes a qual of its
 * own, a join clause perhaps. And an OR over several relations, each arm of which says something about
 * one of them alone, gives that relation a qual to filter by before it is joined.
 */
import type { Expr } from '../../analyzer/query-tree.js';
import { equalExpr } from '../../analyzer/tree-walk.js';
import { conjuncts, exprVarnos, hasSublink, isVolatile, type Logical, type Tree } from '../logical.js';
import { selectivity } from '../selectivity.js';
import type { Planner } from '../planner-state.js';

export function factorDisjunctions(logical: Logical, planner: Planner): Logical {
  return { ...logical, tree: factorTree(logical.tree, planner) };
}

function factorTree(tree: Tree, planner: Planner): Tree {
  if (tree.kind === 'rel') return tree;
  const factored = tree.quals.flatMap(factor);
  if (tree.kind === 'join') {
    return { ...tree, left: factorTree(tree.left, planner), right: factorTree(tree.right, planner), quals: tree.type === 'inner' ? withRestrictions(factored, planner) : factored };
  }
  return { ...tree, items: tree.items.map((item) => factorTree(item, planner)), quals: withRestrictions(factored, planner) };
}

function logic(op: 'and' | 'or', args: readonly Expr[]): Expr {
  return args.length === 1 ? args[0]! : { kind: 'BoolExpr', op, args, type: 16, typmod: -1, collation: 0, location: -1 };
}

function factor(qual: Expr): Expr[] {
  if (qual.kind !== 'BoolExpr' || qual.op !== 'or') return [qual];
  const arms = qual.args.map(conjuncts);
  const shared = arms[0]!.filter((expr) => arms.every((arm) => arm.some((other) => equalExpr(other, expr))));
  if (shared.length === 0) return [qual];
  const rest = arms.map((arm) => arm.filter((expr) => !shared.some((common) => equalExpr(common, expr))));
  // An arm that is nothing but the common part makes the OR true wherever that holds.
  if (rest.some((arm) => arm.length === 0)) return shared;
  return [...shared, ...factor(logic('or', rest.map((arm) => logic('and', arm))))];
}

function withRestrictions(quals: readonly Expr[], planner: Planner): Expr[] {
  const added: Expr[] = [];
  for (const qual of quals) {
    if (qual.kind !== 'BoolExpr' || qual.op !== 'or' || hasSublink(qual) || isVolatile(qual, planner.catalog)) continue;
    const varnos = exprVarnos(qual, planner);
    if (varnos.size < 2) continue;
    const arms = qual.args.map(conjuncts);
    for (const varno of varnos) {
      const own = arms.map((arm) => arm.filter((expr) => {
        const used = exprVarnos(expr, planner);
        return used.size === 1 && used.has(varno);
      }));
      if (own.some((arm) => arm.length === 0)) continue;
      const restriction = logic('or', own.map((arm) => logic('and', arm)));
      added.push(restriction);
      planner.correctOr(qual, 1 / Math.max(selectivity(restriction, planner), 1e-6));
    }
  }
  return [...quals, ...added];
}
