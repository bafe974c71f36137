/** WITH clauses. After parse_cte.c. */
import type { CommonTableExpr as CteNode, Node, WithClause } from '@pgsql/types';
import { notSupported } from '../../engine/errors.js';
import { analyzeIn } from './analyze.js';
import { ParseState, type VisibleCte } from './parse-state.js';
import { namesOf } from './names.js';
import type { ColumnInfo, Query } from './query-tree.js';

export interface FoundCte { readonly visible: VisibleCte; readonly levelsUp: number }

/** WITH item visible under an unqualified name, nearest level first. */
export function findCte(state: ParseState, name: string): FoundCte | undefined {
  let levelsUp = 0;
  for (let level: ParseState | null = state; level; level = level.parent, levelsUp++) {
    const visible = level.visibleCtes.find((cte) => cte.name === name);
    if (visible) return { visible, levelsUp };
  }
  return undefined;
}

/** The recursive CTE whose query a state analyzes; its columns are fixed after the left side of the UNION. */
const recursiveOwners = new WeakMap<ParseState, RecursiveOwner>();
export interface RecursiveOwner {
  readonly name: string;
  setColumns(columns: readonly ColumnInfo[]): void;
  /** True while the non-recursive term is analyzed. */
  inNonRecursiveTerm: boolean;
  referenced: boolean;
}
export function recursiveOwner(state: ParseState): RecursiveOwner | undefined {
  return recursiveOwners.get(state);
}

export function transformWithClause(state: ParseState, withClause: WithClause | undefined): void {
  if (!withClause) return;
  const items = (withClause.ctes ?? []).map((node) => (node as { CommonTableExpr: CteNode }).CommonTableExpr);
  const names = new Set<string>();
  for (const item of items) {
    const name = item.ctename ?? '';
    if (names.has(name)) throw state.error('42712', `WITH query name "${name}" specified more than once`, item.location);
    names.add(name);
    if ('SelectStmt' in (item.ctequery as Node) === false && state.parent !== null) {
      throw state.error('0A000', 'WITH clause containing a data-modifying statement must be at the top level', item.location);
    }
  }
  if (withClause.recursive) {
    state.hasRecursive = true;
    for (const item of dependencyOrder(state, items)) analyzeCte(state, item, mentions(item.ctequery as Node, item.ctename ?? ''));
  } else {
    state.futureCtes = items.map((item) => item.ctename ?? '');
    for (const item of items) {
      analyzeCte(state, item, false);
      state.futureCtes = state.futureCtes.slice(1);
    }
  }
}

/** WITH RECURSIVE items may refer forwards; mutual recursion is not implemented, as in PostgreSQL. */
function dependencyOrder(state: ParseState, items: readonly CteNode[]): CteNode[] {
  const done: CteNode[] = [];
  const visiting = new Set<CteNode>();
  const visit = (item: CteNode): void => {
    if (done.includes(item)) return;
    if (visiting.has(item)) throw state.error('0A000', 'mutual recursion between WITH items is not implemented', item.location);
    visiting.add(item);
    for (const other of items) if (other !== item && mentions(item.ctequery as Node, other.ctename ?? '')) visit(other);
    visiting.delete(item);
    done.push(item);
  };
  items.forEach(visit);
  return done;
}

/** Does a parse tree name a relation without schema? Inner WITH items of the same name hide it; that costs only an unneeded worktable. */
function mentions(node: unknown, name: string): boolean {
  if (Array.isArray(node)) return node.some((item) => mentions(item, name));
  if (typeof node !== 'object' || node === null) return false;
  for (const [key, value] of Object.entries(node)) {
    if (key === 'RangeVar' || key === 'relation') {
      const range = value as { relname?: string; schemaname?: string };
      if (range.relname === name && !range.schemaname) return true;
    }
    if (mentions(value, name)) return true;
  }
  return false;
}

function analyzeCte(state: ParseState, node: CteNode, recursive: boolean): void {
  const name = node.ctename ?? '';
  const location = node.location ?? -1;
  if (node.search_clause) throw notSupported('the SEARCH clause', { position: state.env.source.position(node.search_clause.location ?? location) });
  if (node.cycle_clause) throw notSupported('the CYCLE clause', { position: state.env.source.position(node.cycle_clause.location ?? location) });
  const inner = new ParseState(state.env, state);
  let columns: readonly ColumnInfo[] | null = null;
  let analyzing = true;
  const owner: RecursiveOwner = { name, setColumns: (found) => (columns = renamed(state, found, node)), inNonRecursiveTerm: true, referenced: false };
  const visible: VisibleCte = {
    name,
    columns: () => {
      if (columns === null) throw state.error('42P19', `recursive reference to query "${name}" must not appear within its non-recursive term`, location);
      if (!analyzing && visible.cte && visible.cte.query.commandType !== 'select' && visible.cte.query.returning.length === 0)
        throw state.error('0A000', `WITH query "${name}" does not have a RETURNING clause`, location);
      return columns;
    },
    selfReference: () => analyzing,
    refCount: 0,
    cte: null,
    recursiveAllowed: (at) => {
      if (!analyzing) return;
      owner.referenced = true;
      if (columns === null) throw state.error('42P19', `recursive reference to query "${name}" must not appear within its non-recursive term`, at);
    },
  };
  if (recursive) {
    const select = (node.ctequery as { SelectStmt?: { op?: string; sortClause?: Node[]; limitCount?: Node; limitOffset?: Node; lockingClause?: Node[] } }).SelectStmt;
    if (!select || select.op !== 'SETOP_UNION') {
      throw state.error('42P19', `recursive query "${name}" does not have the form non-recursive-term UNION [ALL] recursive-term`, location);
    }
    if (select.sortClause?.length) throw state.error('0A000', 'ORDER BY in a recursive query is not implemented', location);
    if (select.limitOffset) throw state.error('0A000', 'OFFSET in a recursive query is not implemented', location);
    if (select.limitCount) throw state.error('0A000', 'LIMIT in a recursive query is not implemented', location);
    if (select.lockingClause?.length) throw state.error('0A000', 'FOR UPDATE/SHARE in a recursive query is not implemented', location);
    recursiveOwners.set(inner, owner);
    state.visibleCtes = [visible, ...state.visibleCtes.filter((other) => other.name !== name)];
  }
  const query = analyzeIn(inner, node.ctequery as Node);
  const isRecursive = owner.referenced;
  visible.refCount = 0;
  analyzing = false;
  if (columns === null || !recursive) columns = renamed(state, outputColumns(query), node);
  const index = state.ctes.length;
  const materialized = node.ctematerialized === 'CTEMaterializeAlways' ? 'always' : node.ctematerialized === 'CTEMaterializeNever' ? 'never' : 'default';
  visible.cte = { name, query, recursive: isRecursive, materialized, columns: columns ?? [], refCount: 0, search: null, cycle: null };
  state.ctes.push(visible.cte);
  if (!recursive) state.visibleCtes = [visible, ...state.visibleCtes];
  finishers(state).push(() => {
    state.ctes[index] = { ...visible.cte!, refCount: visible.refCount };
  });
}

const pendingFinishers = new WeakMap<ParseState, (() => void)[]>();
function finishers(state: ParseState): (() => void)[] {
  let list = pendingFinishers.get(state);
  if (!list) pendingFinishers.set(state, (list = []));
  return list;
}

/** Reference counts are known when the whole level is analyzed. */
export function finishWithClause(state: ParseState): void {
  for (const finish of finishers(state)) finish();
}

export function outputColumns(query: Query): ColumnInfo[] {
  const list = query.commandType === 'select' ? query.targetList.filter((t) => !t.junk) : query.returning;
  return list.map((t) => ({ name: t.name ?? '?column?', type: t.expr.type, typmod: t.expr.typmod, collation: t.expr.collation }));
}

function renamed(state: ParseState, columns: readonly ColumnInfo[], node: CteNode): ColumnInfo[] {
  const names = namesOf(node.aliascolnames);
  if (names.length > columns.length)
    throw state.error('42P10', `WITH query "${node.ctename}" has ${columns.length} columns available but ${names.length} columns specified`, node.location);
  return columns.map((column, i) => (i < names.length ? { ...column, name: names[i] } : column));
}
