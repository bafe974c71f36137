/**
 * Selectivity of the clauses of one join. Equalities that together name a unique key of one relation
 * are not independent: each row of the other side has at most one match, so they count as one clause
 * of selectivity 1 / rows, whatever the columns' own numbers say. Nor is a column independent of the
 * aggregate of its own group: "price = the least price of the part" holds for some row of each part.
 */
import type { Expr, OpExpr } from '../analyzer/query-tree.js';
import type { Planner } from './planner-state.js';
import { plainVar, relationRows, selectivity, selectivityOf } from './selectivity.js';

/** A guess: one row in five is the extreme of its group. */
const EQUALS_OWN_AGGREGATE = 0.2;

export function joinSelectivityOf(quals: readonly Expr[], planner: Planner): number {
  const equalities = quals.filter((qual): qual is OpExpr => qual.kind === 'OpExpr' && qual.args.length === 2 && planner.catalog.operator(qual.operator)?.oprrest === 'eqsel');
  if (equalities.length < 2) return selectivityOf(quals, planner);
  const used = new Set<Expr>();
  let result = 1;
  for (const varno of new Set(equalities.flatMap((qual) => columnsOf(qual).map((column) => column.varno)))) {
    const relation = planner.relationOf(varno);
    if (!relation) continue;
    for (const index of relation.indexes) {
      if (!index.unique || index.predicateText !== null || index.keyColumns.length < 2 || index.keyColumns.some((column) => column.attnum <= 0)) continue;
      const named = index.keyColumns.map((column) => equalities.find((qual) => !used.has(qual) && columnsOf(qual).some((side) => side.varno === varno && side.attno === column.attnum)));
      if (named.some((qual) => qual === undefined)) continue;
      const product = named.reduce((sum, qual) => sum * selectivity(qual!, planner), 1);
      result *= Math.max(product, 1 / Math.max(1, relationRows(relation, planner)));
      for (const qual of named) used.add(qual!);
      break;
    }
  }
  for (const qual of equalities) {
    if (used.has(qual) || !columnsOf(qual).some((side) => isGroupsAggregate(side, equalities, planner))) continue;
    used.add(qual);
    result *= EQUALS_OWN_AGGREGATE;
  }
  return result * selectivityOf(quals.filter((qual) => !used.has(qual)), planner);
}

/** A column of an aggregation whose group the equalities name. */
function isGroupsAggregate({ varno, attno }: { varno: number; attno: number }, equalities: readonly OpExpr[], planner: Planner): boolean {
  const entry = planner.entry(varno);
  if (entry.kind !== 'subquery' || !entry.query.hasAggs || entry.query.groupClause.length === 0 || entry.query.groupingSets) return false;
  const { targetList, groupClause } = entry.query;
  if (targetList.find((target) => target.resno === attno)?.sortGroupRef !== 0) return false;
  return groupClause.every(({ ref }) => {
    const key = targetList.find((target) => target.sortGroupRef === ref);
    return key !== undefined && equalities.some((qual) => columnsOf(qual).some((side) => side.varno === varno && side.attno === key.resno));
  });
}

/** The columns that an equality of two relations compares. */
function columnsOf(qual: OpExpr): { varno: number; attno: number }[] {
  const [left, right] = [plainVar(qual.args[0]!), plainVar(qual.args[1]!)];
  return left && right && left.varno !== right.varno ? [left, right] : [];
}
