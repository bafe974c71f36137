/**
 * ORDER BY, GROUP BY, DISTINCT: finding or adding the target-list entry and its operators. After
 * findTargetlistEntrySQL92/99, addTargetToSortList, transformGroupClause (parse_clause.c).
 */
import type { Node, SortBy } from '@pgsql/types';
import type { Oid } from '../catalog/catalog.js';
import { TypeOid as T } from '../catalog/type-oids.js';
import { coerceType, resolveUnknown } from './coerce.js';
import { columnByName } from './column-reference.js';
import { locationOf, transformExpression } from './expression.js';
import { makeTargetEntry } from './make-nodes.js';
import { formatType, namesOf, stringOf } from './names.js';
import { resolveBinaryOperator, sortOperators } from './overloads.js';
import type { ExprKind, ParseState } from './parse-state.js';
import type { Expr, SortGroupClause, TargetEntry } from './query-tree.js';
import { contains, equalExpr } from './tree-walk.js';

/** Mutable target list while clauses add junk entries to it. */
export type TargetList = TargetEntry[];

function assignRef(list: TargetList, index: number): number {
  const entry = list[index];
  if (entry.sortGroupRef !== 0) return entry.sortGroupRef;
  const ref = list.reduce((max, t) => Math.max(max, t.sortGroupRef), 0) + 1;
  list[index] = { ...entry, sortGroupRef: ref };
  return ref;
}

/** SQL99 rules: an expression; an equal target entry is reused, otherwise a junk one is added. Returns its index. */
function findBySql99(state: ParseState, node: Node, list: TargetList, kind: ExprKind): number {
  const expr = state.withKind(kind, () => transformExpression(state, node));
  // Implicit casts of an entry do not count: string_agg(DISTINCT name, ',' ORDER BY name) over a varchar.
  const found = list.findIndex((target) => equalExpr(stripImplicitCasts(target.expr), expr));
  if (found >= 0) return found;
  list.push(makeTargetEntry(expr, list.length + 1, null, true));
  return list.length - 1;
}

/** After strip_implicit_coercions (parse_coerce.c). */
function stripImplicitCasts(expr: Expr): Expr {
  switch (expr.kind) {
    case 'FuncExpr': return expr.form === 'implicit cast' ? stripImplicitCasts(expr.args[0]!) : expr;
    case 'RelabelType': case 'CoerceViaIO': case 'ArrayCoerceExpr': case 'CoerceToDomain': return expr.form === 'implicit cast' ? stripImplicitCasts(expr.arg) : expr;
    default: return expr;
  }
}

const CLAUSE_NAMES: Readonly<Partial<Record<ExprKind, string>>> = { 'order by': 'ORDER BY', 'group by': 'GROUP BY', 'distinct on': 'DISTINCT ON' };

/** SQL92 rules first: an output column's name or number. */
function findBySql92(state: ParseState, node: Node, list: TargetList, kind: ExprKind): number {
  const clause = CLAUSE_NAMES[kind] ?? '';
  const ref = (node as { ColumnRef?: { fields?: Node[]; location?: number } }).ColumnRef;
  if (ref?.fields?.length === 1 && 'String' in ref.fields[0]) {
    let name: string | null = stringOf(ref.fields[0]);
    const location = ref.location ?? -1;
    // in GROUP BY a column of the input comes before an output name
    if (kind === 'group by' && columnByName(state, name, location)) name = null;
    if (name !== null) {
      let found = -1;
      list.forEach((target, index) => {
        if (target.junk || target.name !== name) return;
        if (found >= 0) {
          if (!equalExpr(list[found].expr, target.expr)) throw state.error('42702', `${clause} "${name}" is ambiguous`, location);
        } else found = index;
      });
      if (found >= 0) {
        checkPlacement(state, list[found], kind, location);
        return found;
      }
    }
  }
  const constant = (node as { A_Const?: { ival?: { ival?: number }; location?: number; isnull?: boolean } }).A_Const;
  if (constant) {
    const location = constant.location ?? -1;
    if (!constant.ival) throw state.error('42601', `non-integer constant in ${clause}`, location);
    const position = constant.ival.ival ?? 0;
    const found = list.findIndex((target) => !target.junk && target.resno === position);
    if (found < 0) throw state.error('42P10', `${clause} position ${position} is not in select list`, location);
    checkPlacement(state, list[found], kind, location);
    return found;
  }
  return findBySql99(state, node, list, kind);
}

function checkPlacement(state: ParseState, target: TargetEntry, kind: ExprKind, location: number): void {
  if (kind !== 'group by') return;
  if (contains(target.expr, (node) => node.kind === 'Aggref' && node.levelsUp === 0)) throw state.error('42803', 'aggregate functions are not allowed in GROUP BY', location);
  if (contains(target.expr, (node) => node.kind === 'WindowFunc')) throw state.error('42P20', 'window functions are not allowed in GROUP BY', location);
}

/** Which rules and which expression kind a sort belongs to. */
export type SortPlace = 'order by' | 'window' | 'aggregate' | 'within group' | 'set operation';

/** Adds one SortBy to `clauses` (returns the new list). `forced` is the entry itself (WITHIN GROUP). */
export function addSortClause(state: ParseState, node: Node, list: TargetList, clauses: SortGroupClause[], place: SortPlace, forced?: TargetEntry): SortGroupClause[] {
  const sortBy = (node as { SortBy: SortBy }).SortBy;
  const sql99 = place === 'aggregate' || place === 'window';
  const index = forced ? list.indexOf(forced) : sql99
    ? findBySql99(state, sortBy.node as Node, list, place === 'window' ? 'window order' : 'order by')
    : findBySql92(state, sortBy.node as Node, list, 'order by');
  if (list[index].expr.type === T.unknown) list[index] = { ...list[index], expr: coerceType(state, list[index].expr, T.text, -1, 'implicit', 'implicit cast', -1) };
  const expr = list[index].expr;
  const location = sortLocation(sortBy);
  const made = sortClauseFor(state, sortBy, expr.type, location, expr.location);
  const ref = assignRef(list, index);
  if (clauses.some((clause) => clause.ref === ref)) return clauses;
  return [...clauses, { ...made, ref }];
}

function sortLocation(sortBy: SortBy): number {
  return sortBy.location !== undefined && sortBy.location >= 0 ? sortBy.location : locationOf(sortBy.node as Node);
}

function sortClauseFor(state: ParseState, sortBy: SortBy, type: Oid, location: number, exprLocation: number): Omit<SortGroupClause, 'ref'> {
  const { catalog } = state;
  let descending = sortBy.sortby_dir === 'SORTBY_DESC';
  let sortOperator: Oid;
  let equalityOperator: Oid;
  let hashable: boolean;
  if (sortBy.sortby_dir === 'SORTBY_USING') {
    const operator = resolveBinaryOperator(state, namesOf(sortBy.useOp), type, type, location);
    const amop = catalog.amopsOfOperator(operator.oid).find((a) => a.amopmethod === 403 && (a.amopstrategy === 1 || a.amopstrategy === 5));
    if (!amop) {
      throw state.error('42809', `operator ${operator.oprname} is not a valid ordering operator`, location, { hint: 'Ordering operators must be "<" or ">" members of btree operator families.' });
    }
    descending = amop.amopstrategy === 5;
    sortOperator = operator.oid;
    equalityOperator = catalog.amop(amop.amopfamily, amop.amoplefttype, amop.amoprighttype, 3)?.amopopr ?? 0;
    hashable = catalog.operator(equalityOperator)?.oprcanhash ?? false;
  } else {
    const operators = sortOperators(catalog, type);
    if (!operators || operators.lessThan === 0) {
      throw state.error('42883', `could not identify an ordering operator for type ${formatType(catalog, type)}`, exprLocation >= 0 ? exprLocation : location, { hint: 'Use an explicit ordering operator or modify the query.' });
    }
    sortOperator = descending ? operators.greaterThan : operators.lessThan;
    equalityOperator = operators.equals;
    hashable = operators.hashable;
  }
  const nullsFirst = sortBy.sortby_nulls === 'SORTBY_NULLS_FIRST' || (sortBy.sortby_nulls !== 'SORTBY_NULLS_LAST' && descending);
  return { equalityOperator, sortOperator, descending, nullsFirst, hashable };
}

export function transformSortClause(state: ParseState, nodes: readonly Node[] | undefined, list: TargetList, place: SortPlace = 'order by'): SortGroupClause[] {
  let clauses: SortGroupClause[] = [];
  for (const node of nodes ?? []) clauses = addSortClause(state, node, list, clauses, place);
  return clauses;
}

/** A grouping clause for a target entry, with the ordering of the matching ORDER BY item if there is one. */
function groupClauseFor(state: ParseState, list: TargetList, index: number, sortClauses: readonly SortGroupClause[], location: number): SortGroupClause {
  const { catalog } = state;
  if (list[index].expr.type === T.unknown) list[index] = { ...list[index], expr: resolveUnknown(state, list[index].expr) };
  const ref = assignRef(list, index);
  const sorted = sortClauses.find((clause) => clause.ref === ref);
  if (sorted) return sorted;
  const type = list[index].expr.type;
  const operators = sortOperators(catalog, type);
  if (!operators) throw state.error('42883', `could not identify an equality operator for type ${formatType(catalog, type)}`, location);
  return { ref, equalityOperator: operators.equals, sortOperator: operators.lessThan, descending: false, nullsFirst: false, hashable: operators.hashable };
}

export interface GroupBy {
  readonly clauses: SortGroupClause[];
  /** null without GROUPING SETS, ROLLUP or CUBE. */
  readonly sets: (readonly number[])[] | null;
}

type SetTree = { kind: 'simple'; refs: number[] } | { kind: 'rollup' | 'cube' | 'sets'; content: SetTree[] };

export function transformGroupClause(state: ParseState, nodes: readonly Node[] | undefined, list: TargetList, sortClauses: readonly SortGroupClause[], distinct: boolean): GroupBy {
  const clauses: SortGroupClause[] = [];
  const one = (node: Node, sql92: boolean): number => {
    const index = sql92 ? findBySql92(state, node, list, 'group by') : findBySql99(state, node, list, 'group by');
    const ref = list[index].sortGroupRef;
    const known = ref !== 0 ? clauses.find((clause) => clause.ref === ref) : undefined;
    if (known) return known.ref;
    const clause = groupClauseFor(state, list, index, sortClauses, locationOf(node));
    clauses.push(clause);
    return clause.ref;
  };
  const items = (node: Node): Node[] => {
    const row = (node as { RowExpr?: { args?: Node[]; row_format?: string } }).RowExpr;
    return row && row.row_format === 'COERCE_IMPLICIT_CAST' ? (row.args ?? []).flatMap(items) : [node];
  };
  let sawSets = false;
  const tree = (node: Node): SetTree => {
    const set = (node as { GroupingSet?: { kind?: string; content?: Node[] } }).GroupingSet;
    if (!set) return { kind: 'simple', refs: items(node).map((item) => one(item, true)) };
    sawSets = true;
    if (set.kind === 'GROUPING_SET_EMPTY') return { kind: 'simple', refs: [] };
    const kind = set.kind === 'GROUPING_SET_ROLLUP' ? 'rollup' : set.kind === 'GROUPING_SET_CUBE' ? 'cube' : 'sets';
    const content = (set.content ?? []).map(tree);
    if (kind === 'cube' && content.length > 12) throw state.error('54011', 'CUBE is limited to 12 elements', -1);
    return { kind, content };
  };
  const trees = (nodes ?? []).flatMap((node) => ('GroupingSet' in node ? [node] : items(node))).map(tree);
  if (!sawSets) return { clauses, sets: null };
  // cross product of the items' set lists
  let sets: number[][] = [[]];
  for (const item of trees) {
    const expanded = expandSet(item);
    sets = sets.flatMap((left) => expanded.map((right) => [...left, ...right.filter((ref) => !left.includes(ref))]));
    if (sets.length > 4096) throw state.error('54001', 'too many grouping sets present (maximum 4096)', -1);
  }
  if (distinct) {
    const seen = new Set<string>();
    sets = sets.filter((set) => {
      const key = [...set].sort((a, b) => a - b).join();
      return !seen.has(key) && seen.add(key);
    });
  }
  return { clauses, sets };
}

function expandSet(tree: SetTree): number[][] {
  switch (tree.kind) {
    case 'simple':
      return [tree.refs];
    case 'sets':
      return tree.content.flatMap(expandSet);
    case 'rollup': {
      const parts = tree.content.map((part) => (part.kind === 'simple' ? part.refs : expandSet(part)[0]));
      return Array.from({ length: parts.length + 1 }, (_, i) => unique(parts.slice(0, parts.length - i).flat()));
    }
    case 'cube': {
      const parts = tree.content.map((part) => (part.kind === 'simple' ? part.refs : expandSet(part)[0]));
      const out: number[][] = [];
      for (let mask = (1 << parts.length) - 1; mask >= 0; mask--) out.push(unique(parts.filter((_, i) => mask & (1 << (parts.length - 1 - i))).flat()));
      return out;
    }
  }
}

function unique(refs: readonly number[]): number[] {
  return [...new Set(refs)];
}

/** DISTINCT over all output columns, in ORDER BY's order first. */
export function transformDistinctClause(state: ParseState, list: TargetList, sortClauses: readonly SortGroupClause[], isAggregate = false): SortGroupClause[] {
  const clauses: SortGroupClause[] = [];
  for (const sorted of sortClauses) {
    const target = list.find((t) => t.sortGroupRef === sorted.ref)!;
    if (target.junk) {
      throw state.error('42P10', isAggregate
        ? 'in an aggregate with DISTINCT, ORDER BY expressions must appear in argument list'
        : 'for SELECT DISTINCT, ORDER BY expressions must appear in select list', target.expr.location);
    }
    clauses.push(sorted);
  }
  list.forEach((target, index) => {
    if (target.junk) return;
    const clause = groupClauseFor(state, list, index, sortClauses, target.expr.location);
    if (!clauses.some((c) => c.ref === clause.ref)) clauses.push(clause);
  });
  return clauses;
}

export function addGroupClauseForDistinct(state: ParseState, list: TargetList, orderBy: readonly SortGroupClause[], location: number, isAggregate: boolean): SortGroupClause[] {
  const clauses = transformDistinctClause(state, list, orderBy, isAggregate);
  for (const clause of clauses) {
    if (clause.sortOperator === 0) {
      const target = list.find((t) => t.sortGroupRef === clause.ref)!;
      throw state.error('42883', `could not identify an ordering operator for type ${formatType(state.catalog, target.expr.type)}`, location, { detail: 'Aggregates with DISTINCT must be able to sort their inputs.' });
    }
  }
  return clauses;
}

/** DISTINCT ON (...): must match the leftmost ORDER BY items. */
export function transformDistinctOn(state: ParseState, nodes: readonly Node[], list: TargetList, sortClauses: readonly SortGroupClause[]): SortGroupClause[] {
  const refs: { ref: number; location: number }[] = [];
  for (const node of nodes) {
    const index = findBySql92(state, node, list, 'distinct on');
    const ref = assignRef(list, index);
    refs.push({ ref, location: locationOf(node) });
  }
  const clauses: SortGroupClause[] = [];
  let skipped = false;
  for (const sorted of sortClauses) {
    if (refs.some((r) => r.ref === sorted.ref)) {
      if (skipped) throw state.error('42P10', 'SELECT DISTINCT ON expressions must match initial ORDER BY expressions', refs.find((r) => r.ref === sorted.ref)!.location);
      clauses.push(sorted);
    } else skipped = true;
  }
  for (const { ref, location } of refs) {
    if (clauses.some((c) => c.ref === ref)) continue;
    if (skipped) throw state.error('42P10', 'SELECT DISTINCT ON expressions must match initial ORDER BY expressions', location);
    const index = list.findIndex((t) => t.sortGroupRef === ref);
    clauses.push(groupClauseFor(state, list, index, sortClauses, location));
  }
  return clauses;
}

/** PARTITION BY */
export function transformPartitionClause(state: ParseState, nodes: readonly Node[] | undefined, list: TargetList): SortGroupClause[] {
  const clauses: SortGroupClause[] = [];
  for (const node of nodes ?? []) {
    const index = findBySql99(state, node, list, 'window partition');
    const clause = groupClauseFor(state, list, index, [], locationOf(node));
    if (!clauses.some((c) => c.ref === clause.ref)) clauses.push(clause);
  }
  return clauses;
}
