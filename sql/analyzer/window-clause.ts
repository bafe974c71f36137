/** Window definitions: OVER (...), OVER name, WINDOW name AS (...). After transformWindowFuncCall and transformWindowDefinitions. */
import type { Node, WindowDef } from '@pgsql/types';
import { TypeOid as T } from '../catalog/type-oids.js';
import { coerceToSpecificType, coerceType } from './coerce.js';
import { transformExpression } from './expression.js';
import { formatType } from './names.js';
import { transformPartitionClause, transformSortClause, type TargetList } from './sort-clause.js';
import type { ParseState } from './parse-state.js';
import type { Expr, SortGroupClause, WindowClause, WindowFrame } from './query-tree.js';
import { contains } from './tree-walk.js';

/** frameOptions bits of windowapi (parsenodes.h). */
const F = {
  NONDEFAULT: 0x1, RANGE: 0x2, ROWS: 0x4, GROUPS: 0x8,
  START_UNBOUNDED_PRECEDING: 0x20, END_UNBOUNDED_PRECEDING: 0x40, START_UNBOUNDED_FOLLOWING: 0x80, END_UNBOUNDED_FOLLOWING: 0x100,
  START_CURRENT_ROW: 0x200, END_CURRENT_ROW: 0x400, START_OFFSET_PRECEDING: 0x800, END_OFFSET_PRECEDING: 0x1000,
  START_OFFSET_FOLLOWING: 0x2000, END_OFFSET_FOLLOWING: 0x4000, EXCLUDE_CURRENT_ROW: 0x8000, EXCLUDE_GROUP: 0x10000, EXCLUDE_TIES: 0x20000,
} as const;

/** Definitions met so far at a level; they are transformed when the target list is complete. */
const pendingDefinitions = new WeakMap<ParseState, WindowDef[]>();

function definitions(state: ParseState): WindowDef[] {
  let list = pendingDefinitions.get(state);
  if (!list) pendingDefinitions.set(state, (list = []));
  return list;
}

/** WINDOW clause: named definitions come first. */
export function declareWindows(state: ParseState, nodes: readonly Node[] | undefined): void {
  for (const node of nodes ?? []) {
    const definition = (node as { WindowDef: WindowDef }).WindowDef;
    if (definitions(state).some((other) => other.name === definition.name))
      throw state.error('42P20', `window "${definition.name}" is already defined`, definition.location ?? -1);
    definitions(state).push(definition);
  }
}

/** winref (1-based) for an OVER clause; equal unnamed definitions share one. */
export function windowReference(state: ParseState, over: WindowDef): number {
  const list = definitions(state);
  if (over.name) {
    const index = list.findIndex((definition) => definition.name === over.name);
    if (index < 0) throw state.error('42704', `window "${over.name}" does not exist`, over.location ?? -1);
    return index + 1;
  }
  const key = (definition: WindowDef): string => JSON.stringify({ ...definition, location: 0, name: undefined }, (k, v: unknown) => (k === 'location' ? undefined : v));
  const wanted = key(over);
  const index = list.findIndex((definition) => !definition.name && key(definition) === wanted);
  if (index >= 0) return index + 1;
  list.push(over);
  return list.length;
}

export function transformWindowDefinitions(state: ParseState, list: TargetList): WindowClause[] {
  const out: WindowClause[] = [];
  const all = definitions(state);
  for (let i = 0; i < all.length; i++) {
    const definition = all[i];
    const location = definition.location ?? -1;
    const reference = definition.refname ? out.find((clause) => clause.name === definition.refname) : undefined;
    if (definition.refname && !reference) throw state.error('42704', `window "${definition.refname}" does not exist`, location);
    let orderBy = state.withKind('window order', () => transformSortClause(state, definition.orderClause, list, 'window'));
    let partitionBy = transformPartitionClause(state, definition.partitionClause, list);
    if (reference) {
      if (definition.partitionClause?.length) throw state.error('42P20', `cannot override PARTITION BY clause of window "${definition.refname}"`, location);
      if (reference.orderBy.length && orderBy.length) throw state.error('42P20', `cannot override ORDER BY clause of window "${definition.refname}"`, location);
      if (reference.frame.explicit) {
        if (definition.name || definition.orderClause?.length || ((definition.frameOptions ?? 0) & F.NONDEFAULT))
          throw state.error('42P20', `cannot copy window "${definition.refname}" because it has a frame clause`, location);
        throw state.error('42P20', `cannot copy window "${definition.refname}" because it has a frame clause`, location, { hint: 'Omit the parentheses in this OVER clause.' });
      }
      partitionBy = [...reference.partitionBy];
      if (orderBy.length === 0) orderBy = [...reference.orderBy];
    }
    const frame = transformFrame(state, definition, orderBy, list);
    out.push({ winref: i + 1, name: definition.name ?? null, partitionBy, orderBy, frame });
  }
  return out;
}

function transformFrame(state: ParseState, definition: WindowDef, orderBy: readonly SortGroupClause[], list: TargetList): WindowFrame {
  const options = definition.frameOptions ?? 0;
  const location = definition.location ?? -1;
  const mode = options & F.ROWS ? 'rows' : options & F.GROUPS ? 'groups' : 'range';
  const start: WindowFrame['start'] = options & F.START_CURRENT_ROW ? 'current row' : options & F.START_OFFSET_PRECEDING ? 'offset preceding' : options & F.START_OFFSET_FOLLOWING ? 'offset following' : options & F.START_UNBOUNDED_FOLLOWING ? 'unbounded following' : 'unbounded preceding';
  const end: WindowFrame['end'] = options & F.END_UNBOUNDED_FOLLOWING ? 'unbounded following' : options & F.END_OFFSET_PRECEDING ? 'offset preceding' : options & F.END_OFFSET_FOLLOWING ? 'offset following' : options & F.END_UNBOUNDED_PRECEDING ? 'unbounded preceding' : 'current row';
  const hasOffset = start.startsWith('offset') || end.startsWith('offset');
  let startInRange = 0;
  let endInRange = 0;
  if (mode === 'groups' && orderBy.length === 0) throw state.error('42P20', 'GROUPS mode requires an ORDER BY clause', location);
  if (mode === 'range' && hasOffset && orderBy.length !== 1) throw state.error('42P20', 'RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column', location);
  const offset = (node: Node | undefined, which: 'start' | 'end'): Expr | null => {
    if (!node) return null;
    const kind = mode === 'rows' ? 'window frame rows' : mode === 'groups' ? 'window frame groups' : 'window frame range';
    const expr = state.withKind(kind, () => transformExpression(state, node));
    const construct = mode.toUpperCase();
    let result: Expr;
    if (mode !== 'range') result = coerceToSpecificType(state, expr, T.int8, construct);
    else {
      const sorted = list.find((target) => target.sortGroupRef === orderBy[0].ref)!.expr;
      const inRange = rangeOffsetType(state, sorted.type, expr.type);
      if (!inRange) {
        throw state.error('0A000', `RANGE with offset PRECEDING/FOLLOWING is not supported for column type ${formatType(state.catalog, sorted.type)} and offset type ${formatType(state.catalog, expr.type)}`, expr.location, { hint: 'Cast the offset value to an appropriate type.' });
      }
      result = coerceType(state, expr, inRange, -1, 'implicit', 'implicit cast', -1);
      if (which === 'start') startInRange = inRange;
      else endInRange = inRange;
    }
    if (contains(result, (n) => n.kind === 'Var' && n.levelsUp === 0)) throw state.error('42P10', `argument of ${construct} must not contain variables`, expr.location);
    return result;
  };
  const startOffset = offset(definition.startOffset, 'start');
  const endOffset = offset(definition.endOffset, 'end');
  return {
    mode, start, end, startOffset, endOffset, startInRange, endInRange,
    exclude: options & F.EXCLUDE_CURRENT_ROW ? 'current row' : options & F.EXCLUDE_GROUP ? 'group' : options & F.EXCLUDE_TIES ? 'ties' : 'no others',
    explicit: (options & F.NONDEFAULT) !== 0,
  };
}

/** Offset type that in_range has for a column type (pg_amproc support function 3 of btree families). */
function rangeOffsetType(_state: ParseState, column: number, offset: number): number {
  switch (column) {
    case T.int2: return offset === T.int8 ? T.int8 : offset === T.int2 ? T.int2 : T.int4;
    case T.int4: return offset === T.int8 ? T.int8 : offset === T.int2 ? T.int2 : T.int4;
    case T.int8: return T.int8;
    case T.float4: case T.float8: return T.float8;
    case T.numeric: return T.numeric;
    case T.date: case T.timestamp: case T.timestamptz: case T.time: case T.timetz: case T.interval: return T.interval;
    default: return 0;
  }
}
