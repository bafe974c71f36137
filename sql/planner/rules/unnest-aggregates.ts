/**
 * `x < (SELECT f(agg(y)) FROM t WHERE t.k = outer.k AND ...)` becomes a join with the aggregates of all
 * k at once. The subquery gives NULL where no row matches, and the comparison is then not true, so an
 * inner join loses nothing; that needs aggregates that are NULL over no rows (not count) under strict
 * functions only. Whether it pays is for the costs to say: planQuery plans both ways.
 */
import type { Expr, Query, SortGroupClause, SubLink, TargetEntry } from '../../analyzer/query-tree.js';
import { contains, mapChildren } from '../../analyzer/tree-walk.js';
import { conjuncts, exprVarnos, functionOf, hasSublink, isVolatile, type Logical, type Tree } from '../logical.js';
import type { Planner } from '../planner-state.js';
import { deepVarnos, freeVars } from '../query-vars.js';

/** NULL over no rows. */
const NULL_WHEN_EMPTY = new Set(['sum', 'avg', 'min', 'max', 'stddev', 'variance']);
/** Functions around the aggregates that raise no error for groups that nobody asks for. */
const HARMLESS = /^(numeric_(add|sub|mul|uminus)|float8(pl|mi|mul)|numeric|float8)$/;

export function unnestAggregates(logical: Logical, planner: Planner): Logical {
  return { ...logical, tree: unnestTree(logical.tree, planner) };
}

function unnestTree(tree: Tree, planner: Planner): Tree {
  if (tree.kind === 'rel') return tree;
  if (tree.kind === 'join') return { ...tree, left: unnestTree(tree.left, planner), right: unnestTree(tree.right, planner) };
  const items = tree.items.map((item) => unnestTree(item, planner));
  const quals: Expr[] = [];
  for (const qual of tree.quals) {
    const unnested = unnestQual(qual, planner);
    if (unnested) {
      items.push({ kind: 'rel', varno: unnested.varno });
      quals.push(...unnested.quals);
      planner.unnested++;
    } else quals.push(qual);
  }
  return { kind: 'from', items, quals };
}

function unnestQual(qual: Expr, planner: Planner): { varno: number; quals: Expr[] } | null {
  if (qual.kind !== 'OpExpr' || qual.args.length !== 2 || !strict(qual, planner)) return null;
  const links: SubLink[] = [];
  contains(qual, (node) => {
    if (node.kind === 'SubLink') links.push(node);
    return false;
  });
  if (links.length !== 1 || links[0]!.subLinkType !== 'expr') return null;
  const [link] = links as [SubLink];
  const side = qual.args.find((arg) => contains(arg, (node) => node === link))!;
  if (!strictPath(side, link, planner)) return null;
  const made = grouped(link, planner);
  if (!made) return null;
  const replace = (node: Expr): Expr => (node === link ? planner.var(made.varno, 1) : mapChildren(node, replace));
  return { varno: made.varno, quals: [replace(qual), ...made.joins] };
}

function strict(expr: Expr, planner: Planner): boolean {
  const func = functionOf(expr, planner.catalog);
  return func !== 0 && planner.catalog.proc(func)?.proisstrict === true;
}

/** Whether the expression is NULL when the sublink is. */
function strictPath(expr: Expr, link: SubLink, planner: Planner): boolean {
  if (expr === link) return true;
  if (expr.kind === 'RelabelType') return strictPath(expr.arg, link, planner);
  if ((expr.kind !== 'OpExpr' && expr.kind !== 'FuncExpr') || !strict(expr, planner)) return false;
  return strictPath(expr.args.find((arg) => contains(arg, (node) => node === link))!, link, planner);
}

/** The subquery over all keys, as an entry of its own, and what joins it. */
function grouped(link: SubLink, planner: Planner): { varno: number; joins: Expr[] } | null {
  const query = link.subquery;
  if (planner.linkBindings.has(link.id) || query.commandType !== 'select' || query.setOperations || !query.hasAggs || query.groupClause.length > 0 || query.groupingSets || query.having
    || query.hasWindowFuncs || query.hasTargetSRFs || query.limitCount || query.limitOffset || query.ctes.length > 0 || query.rowMarks.length > 0 || query.distinctClause.length > 0) return null;
  const visible = query.targetList.filter((entry) => !entry.junk);
  if (visible.length !== 1 || query.targetList.length !== 1 || !harmless(visible[0]!.expr, planner)) return null;
  const own = deepVarnos(query, planner);
  const rest: Expr[] = [];
  const keys: { inner: Expr; outer: Expr; original: Extract<Expr, { kind: 'OpExpr' }>; swapped: boolean }[] = [];
  for (const qual of conjuncts(query.jointree.quals)) {
    const varnos = [...exprVarnos(qual, planner)];
    if (varnos.every((varno) => own.has(varno)) && !hasSublink(qual)) {
      rest.push(qual);
      continue;
    }
    const key = correlation(qual, own, planner);
    if (!key) return null;
    keys.push(key);
  }
  if (keys.length === 0 || rest.some((qual) => isVolatile(qual, planner.catalog))) return null;
  const targetList: TargetEntry[] = [visible[0]!];
  const groupClause: SortGroupClause[] = [];
  keys.forEach((key, i) => {
    targetList.push({ expr: key.inner, resno: i + 2, name: `key${i + 1}`, sortGroupRef: i + 1, originTable: 0, originColumn: 0, junk: false });
    groupClause.push({ ref: i + 1, equalityOperator: key.original.operator, sortOperator: 0, descending: false, nullsFirst: false, hashable: true });
  });
  const quals = rest.length === 0 ? null : rest.length === 1 ? rest[0]! : ({ kind: 'BoolExpr', op: 'and', args: rest, type: 16, typmod: -1, collation: 0, location: -1 } as Expr);
  const unnested: Query = { ...query, targetList, groupClause, sortClause: [], jointree: { ...query.jointree, quals } };
  if (freeVars(unnested, planner).length > 0) return null;
  const varno = planner.addEntry({
    kind: 'subquery', name: 'unnested', aliased: false, lateral: false, query: unnested, view: 0,
    columns: targetList.map((entry) => ({ name: entry.name ?? '?column?', type: entry.expr.type, typmod: entry.expr.typmod, collation: entry.expr.collation })),
  });
  const joins = keys.map(({ outer, original, swapped }, i): Expr => {
    const key = planner.var(varno, i + 2);
    return { ...original, args: swapped ? [outer, key] : [key, outer] };
  });
  return { varno, joins };
}

/** `inner = outer` over one hashable type, either way round. */
function correlation(qual: Expr, own: ReadonlySet<number>, planner: Planner): { inner: Expr; outer: Expr; original: Extract<Expr, { kind: 'OpExpr' }>; swapped: boolean } | null {
  if (qual.kind !== 'OpExpr' || qual.args.length !== 2 || hasSublink(qual)) return null;
  const operator = planner.catalog.operator(qual.operator);
  const [left, right] = qual.args as [Expr, Expr];
  if (!operator || operator.oprname !== '=' || !operator.oprcanhash || operator.oprrest !== 'eqsel' || left.type !== right.type || isVolatile(qual, planner.catalog)) return null;
  const inside = (expr: Expr): boolean => {
    const varnos = [...exprVarnos(expr, planner)];
    return varnos.length > 0 && varnos.every((varno) => own.has(varno));
  };
  const outside = (expr: Expr): boolean => {
    const varnos = [...exprVarnos(expr, planner)];
    return varnos.length > 0 && varnos.every((varno) => !own.has(varno));
  };
  if (inside(left) && outside(right)) return { inner: left, outer: right, original: qual, swapped: false };
  return inside(right) && outside(left) ? { inner: right, outer: left, original: qual, swapped: true } : null;
}

function harmless(expr: Expr, planner: Planner): boolean {
  switch (expr.kind) {
    case 'Const':
      return true;
    case 'Aggref':
      return NULL_WHEN_EMPTY.has(planner.catalog.proc(expr.func)?.proname ?? '') && expr.levelsUp === 0 && expr.args.every((arg) => !hasSublink(arg.expr));
    case 'OpExpr': case 'FuncExpr':
      return HARMLESS.test(planner.catalog.proc(functionOf(expr, planner.catalog))?.proname ?? '') && strict(expr, planner) && expr.args.every((arg) => harmless(arg, planner));
    case 'RelabelType':
      return harmless(expr.arg, planner);
    default:
      return false;
  }
}
