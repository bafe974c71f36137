/**
 * Quals on a subquery that could not be merged go into it: into WHERE, or HAVING where it groups; into
 * every branch of a UNION, INTERSECT or EXCEPT. Not past LIMIT, and past DISTINCT ON or windows only on
 * the columns that they partition by.
 */
import type { Expr, Query, SetOperationNode, TargetEntry } from '../../analyzer/query-tree.js';
import { hasSet, hasSublink, isVolatile, type Logical, type Tree } from '../logical.js';
import type { Planner } from '../planner-state.js';
import { exprVarnos, mapDeep } from '../query-vars.js';
import { contains } from '../../analyzer/tree-walk.js';

export function pushDownQuals(logical: Logical, planner: Planner): Logical {
  if (logical.tree.kind !== 'from') return logical;
  const { items } = logical.tree;
  // Only entries of the inner top level: below outer joins a qual from above does not reach.
  const direct = new Set(items.flatMap((item) => (item.kind === 'rel' ? [item.varno] : preserved(item))));
  const rest = logical.tree.quals.filter((qual) => !push(qual, direct, planner));
  return { ...logical, tree: { ...logical.tree, quals: rest } };
}

/** Entries of a join whose rows are not null-extended. */
function preserved(tree: Tree): number[] {
  if (tree.kind === 'rel') return [tree.varno];
  if (tree.kind === 'from') return tree.items.flatMap(preserved);
  switch (tree.type) {
    case 'inner': return [...preserved(tree.left), ...preserved(tree.right)];
    case 'left': case 'semi': case 'anti': return preserved(tree.left);
    case 'right': return preserved(tree.right);
    case 'full': return [];
  }
}

function push(qual: Expr, direct: ReadonlySet<number>, planner: Planner): boolean {
  if (hasSublink(qual) || isVolatile(qual, planner.catalog)) return false;
  const varnos = [...exprVarnos(qual, planner)];
  if (varnos.length !== 1 || !direct.has(varnos[0]!)) return false;
  const varno = varnos[0]!;
  const entry = planner.entry(varno);
  if (entry.kind !== 'subquery' || contains(qual, (node) => node.kind === 'Var' && node.attno <= 0)) return false;
  const columns = columnsOf(qual, varno);
  if (!canTake(entry.query, columns, planner)) return false;
  planner.rangeTable[varno - 1] = { ...entry, query: take(entry.query, qual, varno, planner) };
  return true;
}

function columnsOf(qual: Expr, varno: number): Set<number> {
  const columns = new Set<number>();
  contains(qual, (node) => {
    if (node.kind === 'Var' && node.varno === varno) columns.add(node.attno);
    return false;
  });
  return columns;
}

function leaves(node: SetOperationNode): number[] {
  return node.kind === 'rangeTableRef' ? [node.rtindex] : [...leaves(node.left), ...leaves(node.right)];
}

function canTake(query: Query, columns: ReadonlySet<number>, planner: Planner): boolean {
  if (query.commandType !== 'select' || query.limitCount || query.limitOffset || query.rowMarks.length > 0) return false;
  if (query.setOperations) {
    return leaves(query.setOperations).every((varno) => {
      const leaf = planner.entry(varno);
      if (leaf.kind !== 'subquery') return false;
      const types = leaf.query.targetList.filter((t) => !t.junk);
      const outer = query.targetList.filter((t) => !t.junk);
      return canTake(leaf.query, columns, planner) && [...columns].every((column) => types[column - 1]?.expr.type === outer[column - 1]?.expr.type);
    });
  }
  const outputs = query.targetList.filter((t) => !t.junk);
  for (const column of columns) {
    const target: TargetEntry | undefined = outputs[column - 1];
    if (!target || hasSet(target.expr) || isVolatile(target.expr, planner.catalog) || hasSublink(target.expr)) return false;
    if (contains(target.expr, (node) => node.kind === 'WindowFunc')) return false;
    if (query.hasDistinctOn && !query.distinctClause.some((clause) => clause.ref === target.sortGroupRef)) return false;
    if (query.hasWindowFuncs && !query.windowClause.every((window) => window.partitionBy.some((clause) => clause.ref === target.sortGroupRef && target.sortGroupRef !== 0))) return false;
  }
  if (query.hasTargetSRFs) return false;
  return query.groupingSets === null;
}

function take(query: Query, qual: Expr, varno: number, planner: Planner): Query {
  if (query.setOperations) {
    for (const leafVarno of leaves(query.setOperations)) {
      const leaf = planner.entry(leafVarno);
      if (leaf.kind === 'subquery') planner.rangeTable[leafVarno - 1] = { ...leaf, query: take(leaf.query, qual, varno, planner) };
    }
    return query;
  }
  const outputs = query.targetList.filter((t) => !t.junk);
  const inner = mapDeep(qual, planner, (node) => (node.kind === 'Var' && node.varno === varno ? outputs[node.attno - 1]!.expr : undefined));
  const and = (existing: Expr | null): Expr => (existing === null ? inner : { kind: 'BoolExpr', op: 'and', args: [existing, inner], type: 16, typmod: -1, collation: 0, location: -1 });
  const grouped = query.hasAggs || query.groupClause.length > 0 || query.having !== null;
  if (grouped) return { ...query, having: and(query.having) };
  return { ...query, jointree: { ...query.jointree, quals: and(query.jointree.quals) } };
}
