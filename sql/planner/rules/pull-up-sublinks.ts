/**
 * EXISTS, NOT EXISTS and IN in WHERE become semi and anti joins, so that the planner may choose how to
 * join. `x IN (subquery)` needs the subquery uncorrelated; EXISTS needs its FROM uncorrelated.
 */
import type { Expr, Query, SubLink } from '../../analyzer/query-tree.js';
import { contains, mapChildren } from '../../analyzer/tree-walk.js';
import { conjuncts, isVolatile, toLogical, treeVarnos, type Logical, type Tree } from '../logical.js';
import type { Planner } from '../planner-state.js';
import { deepVarnos, exprVarnos, freeVars } from '../query-vars.js';

export function pullUpSublinks(logical: Logical, planner: Planner): Logical {
  return { ...logical, tree: pullUp(logical.tree, planner) };
}

function pullUp(tree: Tree, planner: Planner): Tree {
  if (tree.kind === 'rel') return tree;
  if (tree.kind === 'join') {
    const left = pullUp(tree.left, planner);
    const right = pullUp(tree.right, planner);
    if (tree.type !== 'inner') return { ...tree, left, right };
    return absorb({ kind: 'from', items: [left, right], quals: tree.quals }, planner);
  }
  return absorb({ ...tree, items: tree.items.map((item) => pullUp(item, planner)) }, planner);
}

/** Takes what can be joined out of the quals of an inner level. */
function absorb(tree: Extract<Tree, { kind: 'from' }>, planner: Planner): Tree {
  const available = new Set(treeVarnos(tree));
  const rest: Expr[] = [];
  let current: Tree = { kind: 'from', items: tree.items, quals: [] };
  let changed = false;
  for (const qual of tree.quals) {
    const joined: Tree | null = tree.items.length > 0 ? toJoin(qual, current, available, planner) : null;
    if (joined) {
      current = joined;
      changed = true;
    } else {
      rest.push(qual);
    }
  }
  return changed ? { kind: 'from', items: [current], quals: rest } : { ...tree, quals: rest };
}

function toJoin(qual: Expr, left: Tree, available: ReadonlySet<number>, planner: Planner): Tree | null {
  if (qual.kind === 'SubLink') {
    if (qual.subLinkType === 'exists') return existsJoin(qual, 'semi', left, available, planner);
    if (qual.subLinkType === 'any') return anyJoin(qual, left, available, planner);
  }
  if (qual.kind === 'BoolExpr' && qual.op === 'not') {
    const [arg] = qual.args;
    if (arg?.kind === 'SubLink' && arg.subLinkType === 'exists') return existsJoin(arg, 'anti', left, available, planner);
  }
  return null;
}

function isSimpleSelect(query: Query): boolean {
  return query.commandType === 'select' && !query.setOperations && !query.hasAggs && query.groupClause.length === 0 && !query.groupingSets && !query.having
    && !query.hasWindowFuncs && !query.hasTargetSRFs && !query.limitOffset && query.ctes.length === 0 && query.rowMarks.length === 0;
}

function existsJoin(link: SubLink, type: 'semi' | 'anti', left: Tree, available: ReadonlySet<number>, planner: Planner): Tree | null {
  const query = link.subquery;
  if (!isSimpleSelect(query) || planner.linkBindings.has(link.id)) return null;
  if (query.limitCount && !(query.limitCount.kind === 'Const' && Number(query.limitCount.value as number) > 0)) return null;
  const inner = toLogical(query);
  if (inner.tree.kind !== 'from' || inner.tree.items.length === 0) return null;
  const quals = [...inner.tree.quals];
  if (quals.some((qual) => isVolatile(qual, planner.catalog))) return null;
  // FROM itself must not refer outside; WHERE must (else it is better as an InitPlan), and only to this level.
  const from: Tree = { kind: 'from', items: inner.tree.items, quals: [] };
  const own = deepVarnos(query, planner);
  const bare = { ...query, targetList: [], jointree: { ...query.jointree, quals: null }, having: null, sortClause: [], distinctClause: [] };
  if (freeVars(bare, planner).length > 0) return null;
  let correlated = false;
  for (const qual of quals) {
    for (const varno of exprVarnos(qual, planner)) {
      if (own.has(varno)) continue;
      if (!available.has(varno)) return null;
      correlated = true;
    }
  }
  if (!correlated) return null;
  return { kind: 'join', type, left, right: pullUp(from, planner), quals };
}

/** Outer columns = columns of the subquery: the subquery becomes a range table entry of its own. */
function anyJoin(link: SubLink, left: Tree, available: ReadonlySet<number>, planner: Planner): Tree | null {
  const query = link.subquery;
  const test = link.testExpr!;
  if (query.commandType !== 'select' || planner.linkBindings.has(link.id) || freeVars(query, planner).length > 0) return null;
  if (isVolatile(test, planner.catalog)) return null;
  const varnos = exprVarnos(test, planner);
  if (varnos.size === 0 || [...varnos].some((varno) => !available.has(varno))) return null;
  if (contains(test, (node) => node.kind === 'SubLink')) return null;
  const visible = query.targetList.filter((entry) => !entry.junk);
  const varno = planner.addEntry({
    kind: 'subquery', name: 'ANY_subquery', aliased: false, lateral: false, query, view: 0,
    columns: visible.map((entry) => ({ name: entry.name ?? '?column?', type: entry.expr.type, typmod: entry.expr.typmod, collation: entry.expr.collation })),
  });
  const substitute = (node: Expr): Expr => (node.kind === 'SubLinkParam' ? { ...planner.var(varno, node.column) } : mapChildren(node, substitute));
  return { kind: 'join', type: 'semi', left, right: { kind: 'rel', varno }, quals: conjuncts(substitute(test)) };
}
