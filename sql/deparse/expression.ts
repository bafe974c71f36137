/**
 * Expressions back to SQL, as pg_get_expr prints them (ruleutils.c). The text means the same when
 * it is analyzed again: implicit casts are left out, everything else is said. `pretty` leaves out the
 * parentheses that precedence makes needless.
 */
import type { Catalog, Oid } from '../catalog/catalog.js';
import { TypeOid as T } from '../catalog/type-oids.js';
import type { EvalContext } from '../functions/context.js';
import { quoteIdentifier } from '../analyzer/names.js';
import { typeText } from './type-text.js';
import type { Aggref, Const, Expr, Query, RangeTableEntry, SortGroupClause, SubLink, TargetEntry, WindowClause, WindowFunc } from '../analyzer/query-tree.js';
import { deparseQuery } from './query.js';

export interface DeparseLevel {
  readonly rangeTable: readonly RangeTableEntry[];
  /** Names of the entries as they are printed (made unique). */
  readonly names: readonly string[];
  readonly windows: readonly WindowClause[];
  readonly targetList: readonly TargetEntry[];
}

export interface DeparseContext {
  readonly catalog: Catalog;
  readonly eval: EvalContext;
  readonly pretty: boolean;
  /** Innermost query level first. */
  readonly levels: readonly DeparseLevel[];
  /** Print column references with their table's name. */
  readonly qualify: boolean;
  /** Columns of indentation of the query that is printed; -1 prints everything on one line. */
  readonly indent: number;
  /** Output names matter (top level, FROM): unnamed columns say so. False inside sublinks. */
  readonly namesHidden?: boolean;
  /** Text for VALUE in domain checks and for $n, where wanted. */
  readonly param?: (id: number) => string;
}

/** A context for an expression over one relation's own columns (or none). */
export function relationContext(catalog: Catalog, evalContext: EvalContext, entry: RangeTableEntry | null, pretty: boolean): DeparseContext {
  const levels: DeparseLevel[] = [{ rangeTable: entry ? [entry] : [], names: entry ? [entry.name] : [], windows: [], targetList: [] }];
  return { catalog, eval: evalContext, pretty, levels, qualify: false, indent: -1 };
}

/** `showImplicit`: an implicit cast at the top is printed (output columns, arguments), as PostgreSQL does. */
export function deparseExpr(expr: Expr, context: DeparseContext, showImplicit = false): string {
  return render(expr, context, showImplicit);
}

/** Wraps in parentheses in plain mode, or in pretty mode where the parent needs it. */
function paren(text: string, context: DeparseContext): string {
  return context.pretty ? text : `(${text})`;
}

/** An argument of an operator: parenthesised in pretty mode unless it is simple. */
function operand(expr: Expr, context: DeparseContext, parent: Expr, showImplicit = true): string {
  const text = render(expr, context, showImplicit);
  return context.pretty && !isSimple(showImplicit ? expr : stripImplicit(expr), parent) ? `(${text})` : text;
}

function stripImplicit(expr: Expr): Expr {
  while ((expr.kind === 'RelabelType' || expr.kind === 'CoerceViaIO' || expr.kind === 'ArrayCoerceExpr' || expr.kind === 'CoerceToDomain') && expr.form === 'implicit cast') expr = expr.arg;
  if (expr.kind === 'FuncExpr' && expr.form === 'implicit cast') return stripImplicit(expr.args[0]);
  return expr;
}

/** isSimpleNode: no parentheses needed inside `parent` in pretty mode. */
function isSimple(expr: Expr, parent: Expr): boolean {
  switch (expr.kind) {
    case 'Var': case 'Const': case 'Param': case 'FuncExpr': case 'Aggref': case 'WindowFunc': case 'GroupingFunc': case 'ArrayExpr': case 'RowExpr': case 'CoalesceExpr':
    case 'MinMaxExpr': case 'SQLValueFunction': case 'NullIfExpr': case 'SubscriptingRef': case 'CaseTestExpr': case 'FieldSelect': case 'CoerceToDomainValue': case 'SetToDefault':
    case 'RelabelType': case 'CoerceViaIO': case 'ArrayCoerceExpr': case 'CoerceToDomain': case 'NextValueExpr':
      return true;
    case 'CaseExpr':
      return true;
    case 'OpExpr': {
      if (parent.kind === 'BoolExpr' && parent.op !== 'not') return true;
      if (parent.kind === 'BoolExpr') return true;
      return parent.kind !== 'OpExpr' && parent.kind !== 'NullTest' && parent.kind !== 'ScalarArrayOpExpr' && parent.kind !== 'DistinctExpr' && parent.kind !== 'BooleanTest' ? parent.kind === 'CaseExpr' : false;
    }
    case 'ScalarArrayOpExpr': case 'DistinctExpr': case 'NullTest': case 'BooleanTest': case 'RowCompareExpr':
      return parent.kind === 'BoolExpr';
    case 'BoolExpr':
      if (parent.kind !== 'BoolExpr') return false;
      if (expr.op === 'not') return true;
      if (expr.op === 'and') return parent.op === 'and' || parent.op === 'or';
      return parent.op === 'or';
    case 'SubLink':
      return expr.subLinkType === 'exists' || expr.subLinkType === 'expr' || expr.subLinkType === 'array' || parent.kind === 'BoolExpr';
    default:
      return false;
  }
}

function render(expr: Expr, context: DeparseContext, showImplicit: boolean): string {
  const sub = (child: Expr): string => render(child, context, true);
  switch (expr.kind) {
    case 'Const': return constant(expr, context, 0);
    case 'Param': return context.param ? context.param(expr.id) : `$${expr.id}`;
    case 'Var': return variable(expr, context);
    case 'FuncExpr': return functionCall(expr, context, showImplicit);
    case 'OpExpr': {
      const name = operatorName(context, expr.operator);
      if (expr.args.length === 1) return paren(`${name} ${operand(expr.args[0], context, expr)}`, context);
      return paren(`${operand(expr.args[0], context, expr)} ${name} ${operand(expr.args[1], context, expr)}`, context);
    }
    case 'DistinctExpr': return paren(`${operand(expr.args[0], context, expr)} IS DISTINCT FROM ${operand(expr.args[1], context, expr)}`, context);
    case 'NullIfExpr': return `NULLIF(${sub(expr.args[0])}, ${sub(expr.args[1])})`;
    case 'ScalarArrayOpExpr': return scalarArray(expr, context);
    case 'BoolExpr': {
      if (expr.op === 'not') {
        const arg = expr.args[0];
        if (arg.kind === 'DistinctExpr') return paren(`NOT ${context.pretty ? sub(arg) : sub(arg)}`, context);
        return paren(`NOT ${operand(arg, context, expr, false)}`, context);
      }
      return paren(expr.args.map((arg) => operand(arg, context, expr, false)).join(expr.op === 'and' ? ' AND ' : ' OR '), context);
    }
    case 'NullTest': return paren(`${operand(expr.arg, context, expr)} IS ${expr.negated ? 'NOT ' : ''}NULL`, context);
    case 'BooleanTest': return paren(`${operand(expr.arg, context, expr)} IS ${expr.test.toUpperCase()}`, context);
    case 'CaseExpr': return caseExpression(expr, context);
    case 'CaseTestExpr': return 'CASE_TEST_EXPR';
    case 'CoerceToDomainValue': return 'VALUE';
    case 'CoalesceExpr': return `COALESCE(${expr.args.map(sub).join(', ')})`;
    case 'MinMaxExpr': return `${expr.op.toUpperCase()}(${expr.args.map(sub).join(', ')})`;
    case 'RelabelType': case 'CoerceViaIO': case 'ArrayCoerceExpr': case 'CoerceToDomain': case 'ConvertRowtypeExpr': {
      if (expr.kind !== 'ConvertRowtypeExpr' && expr.form === 'implicit cast' && !showImplicit) return render(expr.arg, context, false);
      return cast(expr.arg, expr.type, expr.typmod, expr, context);
    }
    case 'CollateExpr': return paren(`${operand(expr.arg, context, expr)} COLLATE ${collationName(context, expr.collationOid)}`, context);
    case 'ArrayExpr': {
      const text = `ARRAY[${expr.elements.map(sub).join(', ')}]`;
      return expr.elements.length === 0 ? `${text}::${typeText(context, expr.type, -1)}` : text;
    }
    case 'RowExpr': return rowExpression(expr, context);
    case 'RowCompareExpr': return paren(`ROW(${expr.left.map(sub).join(', ')}) ${expr.op} ROW(${expr.right.map(sub).join(', ')})`, context);
    case 'FieldSelect': {
      const name = fieldName(context, expr.arg, expr.fieldNumber);
      return `(${sub(expr.arg)}).${quoteIdentifier(name)}`;
    }
    case 'FieldStore': return expr.newValues.map(sub).join(', ');
    case 'SubscriptingRef': {
      if (expr.assignment) return sub(expr.assignment);
      const needsParens = expr.container.kind !== 'Var' && expr.container.kind !== 'FieldSelect' && expr.container.kind !== 'Param';
      const text = sub(expr.container);
      const subscripts = expr.upper.map((upper, i) => {
        const lower = expr.lower ? expr.lower[i] : null;
        return expr.lower ? `[${lower ? sub(lower) : ''}:${upper ? sub(upper) : ''}]` : `[${upper ? sub(upper) : ''}]`;
      });
      return `${needsParens ? `(${text})` : text}${subscripts.join('')}`;
    }
    case 'SQLValueFunction': return SQL_VALUES[expr.op] + (expr.typmod >= 0 ? `(${expr.typmod})` : '');
    case 'SubLink': return subLink(expr, context);
    case 'SubLinkParam': return `$${expr.column}`;
    case 'Aggref': return aggregate(expr, context);
    case 'WindowFunc': return windowFunction(expr, context);
    case 'GroupingFunc': return `GROUPING(${expr.args.map(sub).join(', ')})`;
    case 'SetToDefault': return 'DEFAULT';
    case 'CurrentOfExpr': return `CURRENT OF ${quoteIdentifier(expr.cursorName)}`;
    case 'NextValueExpr': return `nextval(${literal(relationName(context.catalog, context.eval, expr.sequence))}::regclass)`;
  }
}

const SQL_VALUES: Readonly<Record<Extract<Expr, { kind: 'SQLValueFunction' }>['op'], string>> = {
  current_date: 'CURRENT_DATE', current_time: 'CURRENT_TIME', current_timestamp: 'CURRENT_TIMESTAMP', localtime: 'LOCALTIME', localtimestamp: 'LOCALTIMESTAMP',
  current_role: 'CURRENT_ROLE', current_user: 'CURRENT_USER', user: 'USER', session_user: 'SESSION_USER', current_catalog: 'CURRENT_CATALOG', current_schema: 'CURRENT_SCHEMA',
};

/** A literal in quotes, as standard_conforming_strings reads it. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** get_const_expr; showType -1 leaves the label out, 1 always shows it. */
function constant(expr: Const, context: DeparseContext, showType: -1 | 0 | 1): string {
  const label = (): string => `::${typeText(context, expr.type, expr.typmod)}`;
  if (expr.value === null) return showType < 0 ? 'NULL' : `NULL${label()}`;
  const text = expr.type === T.unknown ? String(expr.value) : context.catalog.dataType(expr.type).output(expr.value, context.eval);
  let out: string;
  let needsLabel = true;
  switch (expr.type) {
    case T.int4:
      needsLabel = text.startsWith('-');
      out = needsLabel ? `'${text}'` : text;
      break;
    case T.numeric:
      if (/^[0-9]/.test(text) && /[.eE]/.test(text)) {
        out = text;
        needsLabel = expr.typmod >= 0;
      } else out = `'${text}'`;
      break;
    case T.bool:
      out = expr.value ? 'true' : 'false';
      needsLabel = false;
      break;
    case T.unknown:
      out = literal(text);
      needsLabel = false;
      break;
    default:
      out = literal(text);
  }
  if (showType < 0) return out;
  return needsLabel || showType > 0 ? out + label() : out;
}

const SYSTEM_NAMES = ['', 'ctid', 'xmin', 'cmin', 'xmax', 'cmax', 'tableoid'];

function variable(expr: Extract<Expr, { kind: 'Var' }>, context: DeparseContext): string {
  const level = context.levels[expr.levelsUp];
  const entry = level?.rangeTable[expr.varno - 1];
  if (!level || !entry) return `column${expr.attno}`;
  const table = level.names[expr.varno - 1];
  if (expr.attno === 0) return context.qualify || expr.levelsUp > 0 ? `${quoteIdentifier(table)}.*` : quoteIdentifier(table);
  const column = expr.attno < 0 ? SYSTEM_NAMES[-expr.attno] : entry.columns[expr.attno - 1].name;
  return context.qualify || expr.levelsUp > 0 ? `${quoteIdentifier(table)}.${quoteIdentifier(column)}` : quoteIdentifier(column);
}

function cast(arg: Expr, type: Oid, typmod: number, parent: Expr, context: DeparseContext): string {
  const suffix = `::${typeText(context, type, typmod)}`;
  if (arg.kind === 'CollateExpr' || arg.kind === 'Var') {
    const text = render(arg, context, false);
    return context.pretty ? `${text}${suffix}` : `(${text})${suffix}`;
  }
  if (arg.kind === 'Const' && arg.type === type) return constant(arg, context, -1) + suffix;
  if (arg.kind === 'Const' && arg.value !== null) return `${paren(constant(arg, context, 0), context)}${suffix}`;
  const text = render(arg, context, false);
  if (!context.pretty) return `(${text})${suffix}`;
  return isSimple(stripImplicit(arg), parent) ? `${text}${suffix}` : `(${text})${suffix}`;
}

function functionCall(expr: Extract<Expr, { kind: 'FuncExpr' }>, context: DeparseContext, showImplicit: boolean): string {
  if (expr.form === 'implicit cast' && !showImplicit) return render(expr.args[0], context, false);
  if (expr.form === 'explicit cast' || expr.form === 'implicit cast') return cast(expr.args[0], expr.type, expr.typmod, expr, context);
  if (expr.form === 'sql syntax') {
    const special = sqlSyntax(expr, context);
    if (special !== null) return special;
  }
  const args = expr.args.map((arg, i) => {
    const text = render(arg, context, true);
    return expr.variadic && i === expr.args.length - 1 ? `VARIADIC ${text}` : text;
  });
  return `${functionName(context, expr.func)}(${variadicSpread(expr, context) ?? args.join(', ')})`;
}

/** A variadic call whose arguments were gathered into an array prints them one by one. */
function variadicSpread(expr: Extract<Expr, { kind: 'FuncExpr' }>, context: DeparseContext): string | null {
  const proc = context.catalog.proc(expr.func);
  const last = expr.args[expr.args.length - 1];
  if (!proc || proc.provariadic === 0 || proc.provariadic === T.any || expr.variadic || last?.kind !== 'ArrayExpr') return null;
  return [...expr.args.slice(0, -1), ...last.elements].map((arg) => render(arg, context, true)).join(', ');
}

/** get_func_sql_syntax: EXTRACT, SUBSTRING ... FROM and the like. */
function sqlSyntax(expr: Extract<Expr, { kind: 'FuncExpr' }>, context: DeparseContext): string | null {
  const name = context.catalog.proc(expr.func)?.proname ?? '';
  const arg = (i: number): string => render(expr.args[i], context, false);
  const word = (i: number): string => {
    const node = expr.args[i];
    return node.kind === 'Const' ? String(node.value) : arg(i);
  };
  switch (name) {
    case 'extract': return `EXTRACT(${word(0)} FROM ${arg(1)})`;
    case 'timezone': return `(${arg(1)} AT TIME ZONE ${arg(0)})`;
    case 'overlaps': return `((${arg(0)}, ${arg(1)}) OVERLAPS (${arg(2)}, ${arg(3)}))`;
    case 'is_normalized': return `((${arg(0)}) IS${expr.args.length > 1 ? ` ${word(1)}` : ''} NORMALIZED)`;
    case 'pg_collation_for': return `COLLATION FOR (${arg(0)})`;
    case 'normalize': return `NORMALIZE(${arg(0)}${expr.args.length > 1 ? `, ${word(1)}` : ''})`;
    case 'overlay': return `OVERLAY(${arg(0)} PLACING ${arg(1)} FROM ${arg(2)}${expr.args.length > 3 ? ` FOR ${arg(3)}` : ''})`;
    case 'position': return `POSITION((${arg(1)}) IN (${arg(0)}))`;
    case 'substring': return expr.args.length === 2 ? `SUBSTRING(${arg(0)} FROM ${arg(1)})` : `SUBSTRING(${arg(0)} FROM ${arg(1)} FOR ${arg(2)})`;
    case 'btrim': return trim('BOTH', expr, arg);
    case 'ltrim': return trim('LEADING', expr, arg);
    case 'rtrim': return trim('TRAILING', expr, arg);
    case 'system_user': return 'SYSTEM_USER';
    default: return null;
  }
}

function trim(side: string, expr: Extract<Expr, { kind: 'FuncExpr' }>, arg: (i: number) => string): string {
  return expr.args.length === 1 ? `TRIM(${side} FROM ${arg(0)})` : `TRIM(${side} ${arg(1)} FROM ${arg(0)})`;
}

function visibleFunction(context: DeparseContext, oid: Oid): string {
  const proc = context.catalog.proc(oid);
  if (!proc) return '???';
  const name = quoteIdentifier(proc.proname);
  const visible = proc.pronamespace === 11 || context.eval.session.searchPathOids.includes(proc.pronamespace);
  return visible ? name : `${quoteIdentifier(context.catalog.namespace(proc.pronamespace)?.nspname ?? '')}.${name}`;
}

const functionName = visibleFunction;

function operatorName(context: DeparseContext, oid: Oid): string {
  const operator = context.catalog.operator(oid);
  if (!operator) return '???';
  const visible = operator.oprnamespace === 11 || context.eval.session.searchPathOids.includes(operator.oprnamespace);
  return visible ? operator.oprname : `OPERATOR(${quoteIdentifier(context.catalog.namespace(operator.oprnamespace)?.nspname ?? '')}.${operator.oprname})`;
}

function collationName(context: DeparseContext, oid: Oid): string {
  return quoteIdentifier(context.catalog.collation(oid)?.collname ?? 'default');
}

/** Name of a relation, with its schema where the search path does not show it. */
export function relationName(catalog: Catalog, evalContext: EvalContext, oid: Oid): string {
  const relation = catalog.relation(oid);
  if (!relation) return String(oid);
  const name = quoteIdentifier(relation.relname);
  for (const namespace of evalContext.session.searchPathOids) {
    const found = catalog.relationNamed(namespace, relation.relname);
    if (found) {
      if (found.oid === oid) return name;
      break;
    }
  }
  return `${quoteIdentifier(catalog.namespace(relation.relnamespace)?.nspname ?? '')}.${name}`;
}

function scalarArray(expr: Extract<Expr, { kind: 'ScalarArrayOpExpr' }>, context: DeparseContext): string {
  const [left, right] = expr.args;
  const array = render(right, context, true);
  // ANY ((SELECT ...)) must not read as a sublink
  const inner = right.kind === 'SubLink' ? `(${array})::${typeText(context, right.type, -1)}` : array;
  return paren(`${operand(left, context, expr)} ${operatorName(context, expr.operator)} ${expr.useOr ? 'ANY' : 'ALL'} (${inner})`, context);
}

/** In an indented query CASE starts a line of its own; the spaces before it are taken away by `trimLines`. */
function caseExpression(expr: Extract<Expr, { kind: 'CaseExpr' }>, context: DeparseContext): string {
  const at = (extra: number): string => (context.indent < 0 ? ' ' : `\n${' '.repeat(context.indent + extra)}`);
  const inner: DeparseContext = context.indent < 0 ? context : { ...context, indent: context.indent + 4 };
  let out = context.indent < 0 ? 'CASE' : `${at(8)}CASE`;
  if (expr.arg) out += ` ${render(expr.arg, inner, true)}`;
  for (const when of expr.whens) {
    let condition = when.condition;
    if (expr.arg && condition.kind === 'OpExpr' && condition.args.length === 2 && contextHasCaseTest(condition.args[0])) condition = condition.args[1];
    out += `${at(12)}WHEN ${render(condition, inner, false)} THEN ${render(when.result, inner, true)}`;
  }
  out += `${at(12)}ELSE ${expr.otherwise ? render(expr.otherwise, inner, true) : 'NULL'}`;
  return `${out}${at(8)}END`;
}

function contextHasCaseTest(expr: Expr): boolean {
  return stripImplicit(expr).kind === 'CaseTestExpr';
}

function rowExpression(expr: Extract<Expr, { kind: 'RowExpr' }>, context: DeparseContext): string {
  const text = `ROW(${expr.args.map((arg) => render(arg, context, true)).join(', ')})`;
  return expr.type !== T.record && expr.form === 'call' ? `${text}::${typeText(context, expr.type, -1)}` : text;
}

function fieldName(context: DeparseContext, arg: Expr, field: number): string {
  const type = context.catalog.type(arg.type);
  if (type?.typrelid) return context.catalog.relation(type.typrelid)?.attributes[field - 1]?.attname ?? `f${field}`;
  return recordFieldName(context, arg, field, context.levels.map((level) => level.rangeTable)) ?? `f${field}`;
}

/** Name of a field of a RECORD, followed through subqueries to the row or function it comes from. */
function recordFieldName(context: DeparseContext, arg: Expr, field: number, tables: readonly (readonly RangeTableEntry[])[]): string | undefined {
  if (arg.kind === 'RowExpr') return arg.fieldNames[field - 1];
  if (arg.kind === 'FuncExpr') {
    const proc = context.catalog.proc(arg.func);
    return proc?.proargmodes?.flatMap((mode, i) => (mode === 'o' || mode === 't' || mode === 'b' ? [proc.proargnames?.[i] ?? ''] : []))[field - 1];
  }
  if (arg.kind !== 'Var') return undefined;
  const entry = tables[arg.levelsUp]?.[arg.varno - 1];
  if (arg.attno === 0) return entry?.columns[field - 1]?.name;
  if (entry?.kind !== 'subquery') return undefined;
  const target = entry.query.targetList.filter((t) => !t.junk)[arg.attno - 1];
  return target && recordFieldName(context, target.expr, field, [entry.query.rangeTable, ...tables.slice(arg.levelsUp)]);
}

function subLink(expr: SubLink, context: DeparseContext): string {
  const query = (prefix: string, suffix = ')'): string => `${prefix}${deparseQuery(expr.subquery, { ...context, indent: context.indent < 0 ? -1 : context.indent + 8, namesHidden: true })}${suffix}`;
  switch (expr.subLinkType) {
    case 'exists': return `(EXISTS ${query('(')})`;
    case 'array': return `ARRAY${query('(')}`;
    case 'expr': return query('(');
    default: {
      const test = expr.testExpr;
      const left = test?.kind === 'OpExpr' ? render(test.args[0], context, true)
        : test?.kind === 'BoolExpr' ? `(${test.args.map((arg) => render((arg as Extract<Expr, { kind: 'OpExpr' }>).args[0], context, false)).join(', ')})`
        : test?.kind === 'RowCompareExpr' ? `(${test.left.map((l) => render(l, context, false)).join(', ')})` : '';
      if (expr.subLinkType === 'any' && expr.operatorName === '=') return paren(`${left} IN ${query('(')}`, { ...context, pretty: false });
      const word = expr.subLinkType === 'any' ? ' ANY' : expr.subLinkType === 'all' ? ' ALL' : '';
      return paren(`${left} ${expr.operatorName}${word} ${query('(')}`, { ...context, pretty: false });
    }
  }
}

/** ORDER BY and GROUP BY items (get_rule_sortgroupclause): calls get parentheses, operators have their own. */
export function sortItems(clauses: readonly SortGroupClause[], targets: readonly TargetEntry[], context: DeparseContext): string {
  return clauses.map((clause) => {
    const { expr } = targets.find((t) => t.sortGroupRef === clause.ref)!;
    let text: string;
    if (expr.kind === 'Const') text = constant(expr, context, 1);
    else {
      text = render(expr, context, true);
      const parens = expr.kind !== 'Var' && (context.pretty || (expr.kind === 'FuncExpr' && expr.form === 'call') || expr.kind === 'Aggref' || expr.kind === 'WindowFunc' || (expr.kind === 'FuncExpr' && expr.form !== 'implicit cast'));
      if (parens) text = `(${text})`;
    }
    if (clause.descending) return `${text} DESC${clause.nullsFirst ? '' : ' NULLS LAST'}`;
    return clause.nullsFirst ? `${text} NULLS FIRST` : text;
  }).join(', ');
}

function aggregate(expr: Aggref, context: DeparseContext): string {
  const live = expr.args.filter((t) => !t.junk);
  const filter = expr.filter ? ` FILTER (WHERE ${render(expr.filter, context, false)})` : '';
  const name = functionName(context, expr.func);
  if (expr.aggKind !== 'n') {
    return `${name}(${expr.directArgs.map((arg) => render(arg, context, true)).join(', ')}) WITHIN GROUP (ORDER BY ${sortItems(expr.orderBy, expr.args, context)})${filter}`;
  }
  const args = expr.star ? '*' : live.map((t, i) => `${expr.variadic && i === live.length - 1 ? 'VARIADIC ' : ''}${render(t.expr, context, true)}`).join(', ');
  const order = expr.orderBy.length > 0 ? ` ORDER BY ${sortItems(expr.orderBy, expr.args, context)}` : '';
  return `${name}(${expr.distinct.length > 0 ? 'DISTINCT ' : ''}${args}${order})${filter}`;
}

function windowFunction(expr: WindowFunc, context: DeparseContext): string {
  const args = expr.star ? '*' : expr.args.map((arg) => render(arg, context, true)).join(', ');
  const filter = expr.filter ? ` FILTER (WHERE ${render(expr.filter, context, false)})` : '';
  const clause = context.levels[0].windows.find((w) => w.winref === expr.winref);
  const over = clause ? (clause.name ? quoteIdentifier(clause.name) : windowSpecification(clause, context)) : '()';
  return `${functionName(context, expr.func)}(${args})${filter} OVER ${over}`;
}

export function windowSpecification(clause: WindowClause, context: DeparseContext): string {
  const parts: string[] = [];
  const targets = context.levels[0].targetList;
  if (clause.partitionBy.length > 0) parts.push(`PARTITION BY ${clause.partitionBy.map((c) => sortItems([{ ...c, descending: false, nullsFirst: false }], targets, context)).join(', ')}`);
  if (clause.orderBy.length > 0) parts.push(`ORDER BY ${sortItems(clause.orderBy, targets, context)}`);
  if (clause.frame.explicit) {
    const bound = (which: string, offset: Expr | null): string =>
      which.startsWith('offset') ? `${offset ? render(offset, context, false) : ''} ${which.slice(7).toUpperCase()}` : which.toUpperCase();
    const { mode, start, end, exclude } = clause.frame;
    parts.push(`${mode.toUpperCase()} BETWEEN ${bound(start, clause.frame.startOffset)} AND ${bound(end, clause.frame.endOffset)}${exclude === 'no others' ? '' : ` EXCLUDE ${exclude.toUpperCase()}`}`);
  }
  return `(${parts.join(' ')})`;
}

export type { Query };
