/**
 * The analyzer's entry: from a parse tree statement to a Query. SELECT stands here; set operations,
 * DML and WITH have files of their own. After analyze.c.
 */
import type { Node, SelectStmt } from '@pgsql/types';
import { notSupported } from '../../engine/errors.js';
import type { Catalog, Relation } from '../catalog/catalog.js';
import { TypeOid as T } from '../catalog/type-oids.js';
import type { EvalContext } from '../functions/context.js';
import { nodeTag, parse, SourceText } from '../parser/parse.js';
import { checkGrouping } from './aggregates.js';
import { coerceToBoolean, coerceToCommonType, coerceToSpecificType, resolveUnknown, selectCommonType, selectCommonTypmod } from './coerce.js';
import { finishWithClause, transformWithClause } from './cte.js';
import { analyzeDelete, analyzeInsert, analyzeUpdate } from './dml.js';
import { locationOf, transformExpression } from './expression.js';
import { itemFor, transformFromClause } from './from-clause.js';
import { base, makeTargetEntry, makeVar } from './make-nodes.js';
import { ParameterTypes } from './parameters.js';
import { ParseState, deeper, type AnalyzerEnvironment } from './parse-state.js';
import type { Expr, FromExpr, Query, RowMark, SortGroupClause, TargetEntry } from './query-tree.js';
import { analyzeSetOperation } from './set-operation.js';
import { transformDistinctClause, transformDistinctOn, transformGroupClause, transformSortClause, type GroupBy } from './sort-clause.js';
import { resolveTargetUnknowns, transformTargetList } from './target-list.js';
import { contains } from './tree-walk.js';
import { declareWindows, transformWindowDefinitions } from './window-clause.js';

export interface AnalyzeOptions {
  readonly catalog: Catalog;
  readonly context: EvalContext;
  readonly source: SourceText;
  readonly parameters?: ParameterTypes;
}

export function makeEnvironment(options: AnalyzeOptions): AnalyzerEnvironment {
  return {
    catalog: options.catalog, context: options.context, source: options.source,
    parameters: options.parameters ?? new ParameterTypes([], false), permissions: new Map(), depth: 0,
  };
}

/** Statements that have a Query; everything else is a utility command. */
const ANALYZERS: Readonly<Record<string, (state: ParseState, node: never) => Query>> = {
  SelectStmt: analyzeSelect,
  InsertStmt: analyzeInsert,
  UpdateStmt: analyzeUpdate,
  DeleteStmt: analyzeDelete,
};

export function isAnalyzable(node: Node): boolean {
  // SELECT INTO is a command (sql/commands): it makes a table.
  if ((node as { SelectStmt?: { intoClause?: unknown } }).SelectStmt?.intoClause !== undefined) return false;
  return nodeTag(node) in ANALYZERS;
}

/** Analyzes one SELECT, INSERT, UPDATE or DELETE. Parameter types are inferred into options.parameters. */
export function analyzeStatement(node: Node, options: AnalyzeOptions): Query {
  const env = makeEnvironment(options);
  const state = new ParseState(env, null);
  const query = analyzeIn(state, node);
  return { ...query, permissions: permissionsOf(env) };
}

function permissionsOf(env: AnalyzerEnvironment): Query['permissions'] {
  return [...env.permissions.values()].map((p) => ({
    relation: p.relation, privileges: [...p.privileges], selected: [...p.selected], inserted: [...p.inserted], updated: [...p.updated], checkAsUser: p.checkAsUser,
  }));
}

/** Analyzes a statement in a state made by the caller (WITH items, subqueries). */
export function analyzeIn(state: ParseState, node: Node): Query {
  const tag = nodeTag(node);
  const analyzer = ANALYZERS[tag];
  if (!analyzer) throw notSupported(tag === 'MergeStmt' ? 'MERGE' : `statement ${tag} here`);
  return deeper(state.env, () => analyzer(state, (node as Record<string, unknown>)[tag] as never));
}

/** A subquery; in FROM its locking and lateral rules differ. */
/** `keepUnknowns`: literals of the select list stay open until a column to be filled gives them a type. */
export function analyzeSubquery(parent: ParseState, node: Node, _inFrom: boolean, keepUnknowns = false): Query {
  const state = new ParseState(parent.env, parent);
  if (keepUnknowns) state.resolveUnknowns = false;
  const query = analyzeIn(state, node);
  if (query.commandType !== 'select') throw parent.error('42601', 'unexpected non-SELECT command in sub-SELECT', locationOf(node));
  return query;
}

interface AnalyzedView { readonly version: number; readonly query: Query; readonly permissions: Query['permissions'] }
const views = new WeakMap<Relation, AnalyzedView>();

/** The query of a view, analyzed in a clean state under its owner's rights. */
export function analyzeView(state: ParseState, relation: Relation): Query {
  const { catalog } = state;
  let analyzed = views.get(relation);
  if (!analyzed || analyzed.version !== catalog.version) {
    const parsed = parse(relation.viewText ?? '');
    const session = Object.create(state.env.context.session, {
      searchPathOids: { value: [11, ...(relation.relnamespace === 11 ? [] : [relation.relnamespace])] },
    }) as EvalContext['session'];
    const context = Object.create(state.env.context, { session: { value: session } }) as EvalContext;
    const env: AnalyzerEnvironment = { ...makeEnvironment({ catalog, context, source: parsed.source }), depth: state.env.depth };
    const query = deeper(env, () => analyzeIn(new ParseState(env, null), parsed.statements[0].node));
    analyzed = { version: catalog.version, query, permissions: permissionsOf(env) };
    views.set(relation, analyzed);
  }
  for (const permission of analyzed.permissions) {
    const asUser = permission.checkAsUser || relation.relowner;
    state.permission(permission.relation, null, undefined, asUser);
    const target = state.env.permissions.get(`${permission.relation}:${asUser}`)!;
    permission.privileges.forEach((p) => target.privileges.add(p));
    permission.selected.forEach((c) => target.selected.add(c));
  }
  // columns take the names the view was created with
  const live = relation.attributes.filter((a) => !a.attisdropped);
  let next = 0;
  const targetList = analyzed.query.targetList.map((t) => (t.junk ? t : { ...t, name: live[next++]?.attname ?? t.name }));
  return { ...analyzed.query, targetList };
}

/** Empty parts of a Query, to be overridden. */
export function emptyQuery(commandType: Query['commandType']): Query {
  return {
    commandType, rangeTable: [], jointree: { kind: 'fromExpr', from: [], quals: null }, targetList: [], resultRelation: 0, hasAggs: false, hasWindowFuncs: false,
    hasTargetSRFs: false, hasSubLinks: false, groupClause: [], groupDistinct: false, groupingSets: null, having: null, windowClause: [], distinctClause: [],
    hasDistinctOn: false, sortClause: [], limitOffset: null, limitCount: null, withTies: false, rowMarks: [], setOperations: null, ctes: [], hasRecursive: false,
    returning: [], onConflict: null, mergeActions: [], permissions: [], override: 'none',
  };
}

/** What every statement's Query takes over from its state. */
export function fromState(state: ParseState): Pick<Query, 'rangeTable' | 'hasAggs' | 'hasWindowFuncs' | 'hasTargetSRFs' | 'hasSubLinks' | 'ctes' | 'hasRecursive'> {
  finishWithClause(state);
  return {
    rangeTable: state.rangeTable, hasAggs: state.hasAggs, hasWindowFuncs: state.hasWindowFuncs, hasTargetSRFs: state.hasTargetSRFs,
    hasSubLinks: state.hasSubLinks, ctes: state.ctes, hasRecursive: state.hasRecursive,
  };
}

function analyzeSelect(state: ParseState, node: SelectStmt): Query {
  if (node.valuesLists && node.valuesLists.length > 0) return analyzeValues(state, node);
  if (node.op && node.op !== 'SETOP_NONE') return analyzeSetOperation(state, node);
  return analyzePlainSelect(state, node);
}

function analyzePlainSelect(state: ParseState, node: SelectStmt): Query {
  transformWithClause(state, node.withClause);
  if (node.intoClause) throw state.error('42601', 'SELECT ... INTO is not allowed here', -1);
  const from = transformFromClause(state, node.fromClause);
  declareWindows(state, node.windowClause);
  let targetList = transformTargetList(state, node.targetList, 'select target');
  const quals = whereClause(state, node.whereClause);
  const havingRaw = node.havingClause ? state.withKind('having', () => coerceToBoolean(state, transformExpression(state, node.havingClause as Node), 'HAVING')) : null;
  const sortClause = transformSortClause(state, node.sortClause, targetList);
  const group: GroupBy = transformGroupClause(state, node.groupClause, targetList, sortClause, node.groupDistinct ?? false);
  const { distinctClause, hasDistinctOn } = distinct(state, node, targetList, sortClause);
  const { limitOffset, limitCount, withTies } = limits(state, node, sortClause);
  const windowClause = transformWindowDefinitions(state, targetList);
  if (state.resolveUnknowns) targetList = resolveTargetUnknowns(state, targetList);
  let having = havingRaw;
  const isGrouped = state.hasAggs || group.clauses.length > 0 || group.sets !== null || having !== null;
  if (isGrouped) {
    const checked = checkGrouping(state, targetList, having, group.clauses.map((c) => c.ref), group.sets);
    targetList = [...checked.targetList];
    having = checked.having;
  }
  const query: Query = {
    ...emptyQuery('select'), jointree: { kind: 'fromExpr', from, quals }, targetList, groupClause: group.clauses, groupDistinct: node.groupDistinct ?? false,
    groupingSets: group.sets, having, windowClause, distinctClause, hasDistinctOn, sortClause, limitOffset, limitCount, withTies, ...fromState(state),
  };
  return withLocking(state, query, node);
}

export function whereClause(state: ParseState, node: Node | undefined): Expr | null {
  return node ? state.withKind('where', () => coerceToBoolean(state, transformExpression(state, node), 'WHERE')) : null;
}

function distinct(state: ParseState, node: SelectStmt, list: TargetEntry[], sortClause: readonly SortGroupClause[]): { distinctClause: SortGroupClause[]; hasDistinctOn: boolean } {
  const clause = node.distinctClause;
  if (!clause || clause.length === 0) return { distinctClause: [], hasDistinctOn: false };
  // plain DISTINCT is a list with one empty node
  const plain = clause.length === 1 && Object.keys(clause[0] ?? {}).length === 0;
  if (plain) return { distinctClause: transformDistinctClause(state, list, sortClause), hasDistinctOn: false };
  return { distinctClause: transformDistinctOn(state, clause, list, sortClause), hasDistinctOn: true };
}

export function limits(state: ParseState, node: SelectStmt, sortClause: readonly SortGroupClause[]): Pick<Query, 'limitOffset' | 'limitCount' | 'withTies'> {
  const one = (value: Node | undefined, kind: 'limit' | 'offset'): Expr | null => {
    if (!value) return null;
    const isNull = (value as { A_Const?: { isnull?: boolean } }).A_Const?.isnull;
    if (isNull) return null;
    const name = kind === 'limit' ? 'LIMIT' : 'OFFSET';
    const expr = state.withKind(kind, () => coerceToSpecificType(state, transformExpression(state, value), T.int8, name));
    if (contains(expr, (n) => n.kind === 'Var' && n.levelsUp === 0)) throw state.error('42P10', `argument of ${name} must not contain variables`, locationOf(value));
    return expr;
  };
  const withTies = node.limitOption === 'LIMIT_OPTION_WITH_TIES';
  if (withTies && sortClause.length === 0) throw state.error('42601', 'WITH TIES cannot be specified without ORDER BY clause', -1);
  return { limitOffset: one(node.limitOffset, 'offset'), limitCount: one(node.limitCount, 'limit'), withTies };
}

const STRENGTHS = { LCS_FORKEYSHARE: 'key share', LCS_FORSHARE: 'share', LCS_FORNOKEYUPDATE: 'no key update', LCS_FORUPDATE: 'update' } as const;
const STRENGTH_SQL = { 'key share': 'FOR KEY SHARE', share: 'FOR SHARE', 'no key update': 'FOR NO KEY UPDATE', update: 'FOR UPDATE' } as const;
const POLICIES = { LockWaitBlock: 'wait', LockWaitSkip: 'skip', LockWaitError: 'nowait' } as const;

/** FOR UPDATE and its kin. */
export function withLocking(state: ParseState, query: Query, node: SelectStmt): Query {
  if (!node.lockingClause?.length) return query;
  const marks: RowMark[] = [];
  let rangeTable = query.rangeTable;
  for (const wrapped of node.lockingClause) {
    const clause = (wrapped as { LockingClause: { lockedRels?: Node[]; strength?: keyof typeof STRENGTHS; waitPolicy?: keyof typeof POLICIES } }).LockingClause;
    const strength = STRENGTHS[clause.strength ?? 'LCS_FORUPDATE'];
    const policy = POLICIES[clause.waitPolicy ?? 'LockWaitBlock'];
    const sql = STRENGTH_SQL[strength];
    const refuse = (what: string): never => {
      throw state.error('0A000', `${sql} is not allowed with ${what}`, -1);
    };
    if (query.setOperations) refuse('UNION/INTERSECT/EXCEPT');
    if (query.distinctClause.length) refuse('DISTINCT clause');
    if (query.groupClause.length || query.groupingSets) refuse('GROUP BY clause');
    if (query.having) refuse('HAVING clause');
    if (query.hasAggs) refuse('aggregate functions');
    if (query.hasWindowFuncs) refuse('window functions');
    if (query.hasTargetSRFs) refuse('set-returning functions in the target list');
    const mark = (rtindex: number, pushedDown: boolean): void => {
      const entry = rangeTable[rtindex - 1];
      if (entry.kind === 'relation') {
        if (entry.relkind === 'S') throw state.error('42809', `cannot lock rows in sequence "${entry.name}"`, -1);
        marks.push({ rtindex, strength, policy, pushedDown });
        state.permission(entry.relation, 'update');
      } else if (entry.kind === 'subquery') {
        const inner = { ...entry.query, rowMarks: [...entry.query.rowMarks, ...entry.query.rangeTable.flatMap((e, i): RowMark[] => (e.kind === 'relation' ? [{ rtindex: i + 1, strength, policy, pushedDown: true }] : []))] };
        rangeTable = rangeTable.map((e, i) => (i === rtindex - 1 && e.kind === 'subquery' ? { ...e, query: inner } : e));
      }
    };
    const named = clause.lockedRels ?? [];
    if (named.length === 0) {
      rangeTable.forEach((entry, i) => {
        if (entry.kind === 'relation' || entry.kind === 'subquery') mark(i + 1, false);
      });
    } else {
      for (const rel of named) {
        const range = (rel as { RangeVar: { relname?: string; schemaname?: string; location?: number } }).RangeVar;
        if (range.schemaname) throw state.error('42601', `${sql} must specify unqualified relation names`, range.location);
        const rtindex = rangeTable.findIndex((entry) => entry.name === range.relname) + 1;
        if (rtindex === 0) throw state.error('42P01', `relation "${range.relname}" in ${sql} clause not found in FROM clause`, range.location);
        const entry = rangeTable[rtindex - 1];
        const kinds: Partial<Record<typeof entry.kind, string>> = { join: 'a join', function: 'a function', values: 'VALUES', cte: 'a WITH query' };
        const kind = kinds[entry.kind];
        if (kind) throw state.error('0A000', `${sql} cannot be applied to ${kind}`, range.location);
        mark(rtindex, false);
      }
    }
  }
  return { ...query, rangeTable, rowMarks: marks };
}

/** VALUES (...), (...) as a query of its own. */
function analyzeValues(state: ParseState, node: SelectStmt): Query {
  transformWithClause(state, node.withClause);
  const lists = (node.valuesLists ?? []).map((list) => (list as { List: { items?: Node[] } }).List.items ?? []);
  const width = lists[0].length;
  const rows = lists.map((items) => {
    if (items.length !== width) throw state.error('42601', 'VALUES lists must all be the same length', items.length ? locationOf(items[0]) : -1);
    return state.withKind('values', () => items.map((item) => {
      if ('SetToDefault' in item) throw state.error('42601', 'DEFAULT is not allowed in this context', locationOf(item));
      return transformExpression(state, item);
    }));
  });
  const coerced: Expr[][] = rows.map(() => []);
  const columns = Array.from({ length: width }, (_, column) => {
    const cells = rows.map((row) => row[column]);
    const type = selectCommonType(state, cells, 'VALUES');
    const converted = cells.map((cell) => coerceToCommonType(state, cell, type, 'VALUES'));
    converted.forEach((cell, row) => coerced[row].push(cell));
    return { name: `column${column + 1}`, type, typmod: selectCommonTypmod(converted, type), collation: converted[0].collation };
  });
  const rtindex = state.addRangeTableEntry({ kind: 'values', name: '*VALUES*', aliased: true, columns, lateral: rows.some((row) => row.some((e) => contains(e, (n) => n.kind === 'Var' && n.levelsUp === 0))), rows: coerced });
  state.namespace = [itemFor(state, rtindex)];
  const entry = state.rangeTable[rtindex - 1];
  let targetList: TargetEntry[] = columns.map((column, i) => makeTargetEntry(makeVar(rtindex, entry, i + 1), i + 1, column.name));
  const sortClause = transformSortClause(state, node.sortClause, targetList);
  const bounds = limits(state, node, sortClause);
  targetList = resolveTargetUnknowns(state, targetList);
  const jointree: FromExpr = { kind: 'fromExpr', from: [{ kind: 'rangeTableRef', rtindex }], quals: null };
  const query: Query = { ...emptyQuery('select'), jointree, targetList, sortClause, ...bounds, ...fromState(state) };
  if (node.lockingClause?.length) throw state.error('0A000', 'FOR UPDATE cannot be applied to VALUES', -1);
  return query;
}

export { resolveUnknown, base };
