/**
 * Simple subqueries in FROM (and views) are merged into the query around them: their join tree takes
 * the entry's place, their outputs the place of its Vars. Below an outer join's nullable side only
 * subqueries whose outputs are plain columns are merged, because others would not become NULL there.
 */
import type { Expr, Query } from '../../analyzer/query-tree.js';
import { hasSet, isVolatile, mapLogical, toLogical, type Logical, type Tree } from '../logical.js';
import type { Planner } from '../planner-state.js';
import { pullUpSublinks } from './pull-up-sublinks.js';
import { unnestAggregates } from './unnest-aggregates.js';
import { freeVars, walkQueryVars, walkVars } from '../query-vars.js';

export function pullUpSubqueries(logical: Logical, planner: Planner): Logical {
  let current = logical;
  for (;;) {
    const found = findCandidate(current.tree, false, current, planner);
    if (!found) return inlineSingleItems(current);
    current = merge(current, found.varno, found.query, planner);
  }
}

interface Candidate { readonly varno: number; readonly query: Query }

function findCandidate(tree: Tree, nullable: boolean, logical: Logical, planner: Planner, onlyItem = false): Candidate | null {
  switch (tree.kind) {
    case 'rel':
      return candidate(tree.varno, nullable, logical, planner, onlyItem);
    case 'join': {
      const leftNullable = nullable || tree.type === 'right' || tree.type === 'full';
      const rightNullable = nullable || tree.type === 'left' || tree.type === 'full' || tree.type === 'anti';
      return findCandidate(tree.left, leftNullable, logical, planner) ?? findCandidate(tree.right, rightNullable, logical, planner);
    }
    case 'from':
      for (const item of tree.items) {
        const found = findCandidate(item, nullable, logical, planner, true);
        if (found) return found;
      }
      return null;
  }
}

function candidate(varno: number, nullable: boolean, logical: Logical, planner: Planner, inFrom: boolean): Candidate | null {
  const entry = planner.entry(varno);
  if (entry.kind !== 'subquery') return null;
  const { query } = entry;
  const simple = query.commandType === 'select' && !query.setOperations && !query.hasAggs && query.groupClause.length === 0 && !query.groupingSets && !query.having
    && !query.hasWindowFuncs && !query.hasTargetSRFs && !query.limitOffset && !query.limitCount && query.ctes.length === 0 && query.rowMarks.length === 0
    && query.distinctClause.length === 0 && query.sortClause.length === 0;
  if (!simple) return null;
  if (query.jointree.from.length === 0 && (nullable || !inFrom)) return null;
  if (query.targetList.some((t) => isVolatile(t.expr, planner.catalog) || hasSet(t.expr))) return null;
  if (nullable) {
    if (query.targetList.some((t) => !t.junk && t.expr.kind !== 'Var')) return null;
    if (freeVars(query, planner).length > 0) return null;
  }
  // A whole-row reference needs the row as the subquery makes it.
  let wholeRow = false;
  const visit = (expr: Expr): void => walkVars(expr, planner, (node) => {
    if (node.varno === varno && node.attno === 0) wholeRow = true;
  });
  logical.query.targetList.forEach((t) => visit(t.expr));
  walkQueryVars({ ...logical.query, targetList: [] }, planner, (node) => {
    if (node.varno === varno && node.attno === 0) wholeRow = true;
  });
  return wholeRow ? null : { varno, query };
}

function merge(logical: Logical, varno: number, query: Query, planner: Planner): Logical {
  // Its own sublinks come up with it.
  let inner = toLogical(query);
  if (planner.ruleEnabled('pull-up-sublinks')) inner = pullUpSublinks(inner, planner);
  if (planner.ruleEnabled('unnest-aggregates')) inner = unnestAggregates(inner, planner);
  const outputs = query.targetList.filter((entry) => !entry.junk);
  const replaced: Logical = { ...logical, tree: replaceRel(logical.tree, varno, inner.tree) };
  return mapLogical(replaced, planner, (node) => {
    if (node.kind !== 'Var' || node.varno !== varno) return undefined;
    return outputs[node.attno - 1]!.expr;
  });
}

function replaceRel(tree: Tree, varno: number, by: Tree): Tree {
  if (tree.kind === 'rel') return tree.varno === varno ? by : tree;
  if (tree.kind === 'join') return { ...tree, left: replaceRel(tree.left, varno, by), right: replaceRel(tree.right, varno, by) };
  return { ...tree, items: tree.items.map((item) => replaceRel(item, varno, by)) };
}

/** from(from(a, b), c) with inner levels only is one level. */
function inlineSingleItems(logical: Logical): Logical {
  const flatten = (tree: Tree): Tree => {
    if (tree.kind === 'rel') return tree;
    if (tree.kind === 'join') return { ...tree, left: flatten(tree.left), right: flatten(tree.right) };
    const items: Tree[] = [];
    const quals = [...tree.quals];
    for (const item of tree.items) {
      const flat = flatten(item);
      if (flat.kind === 'from') {
        items.push(...flat.items);
        quals.push(...flat.quals);
      } else if (flat.kind === 'join' && flat.type === 'inner') {
        items.push(flat.left, flat.right);
        quals.push(...flat.quals);
      } else items.push(flat);
    }
    const again = items.some((item) => item.kind === 'from' || (item.kind === 'join' && item.type === 'inner'));
    return again ? flatten({ kind: 'from', items, quals }) : { kind: 'from', items, quals };
  };
  return { ...logical, tree: flatten(logical.tree) };
}
