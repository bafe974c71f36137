/** pg_get_indexdef, pg_get_constraintdef and the descriptions of functions. */
import { relationSearchPath } from '../analyzer/names.js';
import { stripOuterParentheses } from '../access/constraint-errors.js';
import type { Catalog, Constraint, Index, Oid, PgProc, Relation } from '../catalog/catalog.js';
import type { CatalogView } from '../catalog/catalog-view.js';
import { visibleRelationName } from '../catalog/describe-object.js';
import { quoteIdentifier, quoteQualified } from '../catalog/identifiers.js';
import { deparseExpr, relationContext } from '../deparse/expression.js';
import { analyzeRelationExpression } from '../executor/relation-expression.js';
import type { Expr, RangeTableEntry } from '../analyzer/query-tree.js';
import type { ArrayValue, Datum } from '../types/datum.js';
import { formatTypeVisible } from './catalog-objects.js';
import type { EvalContext } from './context.js';
import { fc } from './define.js';
import type { SqlFunction } from './function.js';

function view(context: EvalContext): CatalogView {
  return context.catalog as CatalogView;
}

export function relationText(context: EvalContext, oid: Oid): string {
  return visibleRelationName(view(context), relationSearchPath({ catalog: context.catalog, context }), oid);
}

function entryOf(relation: Relation): RangeTableEntry {
  const columns = relation.attributes.map((attribute) => ({
    name: attribute.attisdropped ? '' : attribute.attname, type: attribute.atttypid, typmod: attribute.atttypmod, collation: attribute.attcollation,
  }));
  return { kind: 'relation', name: relation.relname, aliased: false, columns, lateral: false, relation: relation.oid, relkind: relation.relkind, only: true, sample: null };
}

/** A stored expression over a relation, printed for this session. */
export function expressionOf(context: EvalContext, relation: Relation, text: string, pretty: boolean): { expr: Expr; text: string } {
  const expr = analyzeRelationExpression(text, relation.oid, context.catalog, context);
  return { expr, text: deparseExpr(expr, relationContext(context.catalog, context, entryOf(relation), pretty)) };
}

/** Printed without further parentheses inside an index definition. */
export function isFunctionLike(expr: Expr): boolean {
  switch (expr.kind) {
    case 'FuncExpr': return expr.form === 'call' || expr.form === 'sql syntax';
    case 'CoalesceExpr': case 'MinMaxExpr': case 'NullIfExpr': case 'SQLValueFunction': return true;
    default: return false;
  }
}

function indexColumn(context: EvalContext, relation: Relation, index: Index, position: number, pretty: boolean, bare: boolean): string {
  const { catalog } = context;
  const key = index.keyColumns[position];
  if (!key) {
    const attnum = index.includeColumns[position - index.keyColumns.length];
    return attnum === undefined ? '' : quoteIdentifier(relation.attributes[attnum - 1]!.attname);
  }
  let text: string;
  let ownCollation: Oid;
  if (key.attnum > 0) {
    const attribute = relation.attributes[key.attnum - 1]!;
    text = quoteIdentifier(attribute.attname);
    ownCollation = attribute.attcollation;
  } else {
    const expression = expressionOf(context, relation, key.expressionText!, pretty);
    text = isFunctionLike(expression.expr) ? expression.text : `(${expression.text})`;
    ownCollation = expression.expr.collation;
  }
  if (bare) return text;
  if (key.collation !== 0 && key.collation !== ownCollation) text += ` COLLATE ${collationText(context, key.collation)}`;
  const opclass = catalog.opclass(key.opclass);
  if (opclass && !isDefaultOpclass(catalog, opclass.opcmethod, key.typeOid, key.opclass)) {
    text += ` ${context.session.searchPathOids.includes(opclass.opcnamespace) ? quoteIdentifier(opclass.opcname) : quoteQualified(catalog.namespace(opclass.opcnamespace)?.nspname ?? null, opclass.opcname)}`;
  }
  if (index.accessMethod === 403) {
    if (key.descending) text += key.nullsFirst ? ' DESC' : ' DESC NULLS LAST';
    else if (key.nullsFirst) text += ' NULLS FIRST';
  }
  return text;
}

function isDefaultOpclass(catalog: Catalog, method: Oid, type: Oid, opclass: Oid): boolean {
  const found = catalog.opclass(opclass)!;
  if (!found.opcdefault) return false;
  // A default one of another type that the column coerces to is its default too.
  const exact = catalog.defaultOpclass(method, type);
  return exact === undefined || exact.oid === opclass;
}

function collationText(context: EvalContext, oid: Oid): string {
  const collation = context.catalog.collation(oid);
  if (!collation) return String(oid);
  return context.session.searchPathOids.includes(collation.collnamespace)
    ? quoteIdentifier(collation.collname) : quoteQualified(context.catalog.namespace(collation.collnamespace)?.nspname ?? null, collation.collname);
}

function optionsText(context: EvalContext, oid: Oid): string {
  const options = view(context).rows.one('pg_class', 'oid', oid)?.[31] as ArrayValue | null | undefined;
  if (!options) return '';
  return (options.elements as string[]).map((option) => {
    const at = option.indexOf('=');
    const value = option.slice(at + 1);
    return `${quoteIdentifier(option.slice(0, at))}=${/^[a-z_][a-z0-9_]*$/.test(value) ? quoteIdentifier(value) : `'${value}'`}`;
  }).join(', ');
}

function includeText(relation: Relation, index: Index): string {
  if (index.includeColumns.length === 0) return '';
  return ` INCLUDE (${index.includeColumns.map((attnum) => quoteIdentifier(relation.attributes[attnum - 1]!.attname)).join(', ')})`;
}

/** The CREATE INDEX command; `column` 1.. only that column. */
export function indexDefinition(context: EvalContext, oid: Oid, column: number, pretty: boolean): string | null {
  const index = context.catalog.index(oid);
  if (!index) return null;
  const relation = context.catalog.relation(index.tableOid)!;
  if (column > 0) return indexColumn(context, relation, index, column - 1, pretty, true);
  const method = index.accessMethod === 403 ? 'btree' : (view(context).rows.one('pg_am', 'oid', index.accessMethod)?.[1] as string);
  const table = pretty ? relationText(context, relation.oid) : quoteQualified(context.catalog.namespace(relation.relnamespace)?.nspname ?? null, relation.relname);
  let text = `CREATE ${index.unique ? 'UNIQUE ' : ''}INDEX ${quoteIdentifier(index.name)} ON ${table} USING ${method} (`;
  text += `${index.keyColumns.map((_, i) => indexColumn(context, relation, index, i, pretty, false)).join(', ')})${includeText(relation, index)}`;
  if (index.nullsNotDistinct) text += ' NULLS NOT DISTINCT';
  const options = optionsText(context, oid);
  if (options) text += ` WITH (${options})`;
  if (index.predicateText !== null) text += ` WHERE ${expressionOf(context, relation, index.predicateText, pretty).text}`;
  return text;
}

const ACTIONS: Readonly<Record<string, string>> = { r: 'RESTRICT', c: 'CASCADE', n: 'SET NULL', d: 'SET DEFAULT' };

/** The constraint as ALTER TABLE ADD would be written. */
export function constraintDefinition(context: EvalContext, oid: Oid, pretty: boolean): string | null {
  const constraint = context.catalog.constraint(oid);
  if (!constraint) return null;
  const relation = constraint.conrelid ? context.catalog.relation(constraint.conrelid)! : null;
  let text = definitionText(context, constraint, relation, pretty);
  if (constraint.condeferrable) text += ' DEFERRABLE';
  if (constraint.condeferred) text += ' INITIALLY DEFERRED';
  if (!constraint.convalidated) text += ' NOT VALID';
  return text;
}

function definitionText(context: EvalContext, constraint: Constraint, relation: Relation | null, pretty: boolean): string {
  const names = (table: Relation, attnums: readonly number[]): string => attnums.map((attnum) => quoteIdentifier(table.attributes[attnum - 1]!.attname)).join(', ');
  switch (constraint.contype) {
    case 'c': {
      const stored = constraint.expressionText ?? '';
      const expression = relation ? expressionOf(context, relation, stored, pretty).text : pretty ? stripOuterParentheses(stored) : stored;
      return `CHECK (${expression})${constraint.connoinherit ? ' NO INHERIT' : ''}`;
    }
    case 'p': case 'u': {
      const index = context.catalog.index(constraint.conindid);
      const nulls = index?.nullsNotDistinct ? ' NULLS NOT DISTINCT' : '';
      const options = optionsText(context, constraint.conindid);
      return `${constraint.contype === 'p' ? 'PRIMARY KEY' : `UNIQUE${nulls}`} (${names(relation!, constraint.conkey)})${index ? includeText(relation!, index) : ''}${options ? ` WITH (${options})` : ''}`;
    }
    case 'f': {
      const target = context.catalog.relation(constraint.confrelid)!;
      let text = `FOREIGN KEY (${names(relation!, constraint.conkey)}) REFERENCES ${relationText(context, target.oid)}(${names(target, constraint.confkey)})`;
      if (constraint.confmatchtype === 'f') text += ' MATCH FULL';
      const update = ACTIONS[constraint.confupdtype];
      const remove = ACTIONS[constraint.confdeltype];
      if (update) text += ` ON UPDATE ${update}`;
      if (remove) text += ` ON DELETE ${remove}`;
      if (constraint.confdelsetcols?.length) text += ` (${names(relation!, constraint.confdelsetcols)})`;
      return text;
    }
    default: return '';
  }
}

const MODE_NAMES: Readonly<Record<string, string>> = { o: 'OUT ', b: 'INOUT ', v: 'VARIADIC ' };

function argumentsText(context: EvalContext, proc: PgProc, withDefaults: boolean, identity: boolean): string {
  const types = proc.proallargtypes ?? proc.proargtypes;
  const inputs = types.filter((_, i) => !proc.proargmodes || 'ibv'.includes(proc.proargmodes[i]!)).length;
  let inputNumber = 0;
  const parts: string[] = [];
  types.forEach((type, i) => {
    const mode = proc.proargmodes?.[i] ?? 'i';
    const isInput = 'ibv'.includes(mode);
    if (isInput) inputNumber++;
    if (mode === 't' || (identity && !isInput)) return;
    const name = proc.proargnames?.[i];
    let text = `${MODE_NAMES[mode] ?? ''}${name ? `${quoteIdentifier(name)} ` : ''}${formatTypeVisible(context, type, -1)}`;
    if (withDefaults && isInput && inputNumber > inputs - proc.pronargdefaults) {
      const value = proc.proargdefaults?.[inputNumber - 1 - (inputs - proc.pronargdefaults)];
      if (value) text += ` DEFAULT ${value}`;
    }
    parts.push(text);
  });
  return parts.join(', ');
}

function resultText(context: EvalContext, proc: PgProc): string | null {
  if (proc.prokind === 'p') return null;
  const table = proc.proargmodes?.flatMap((mode, i) => (mode === 't' ? [i] : [])) ?? [];
  if (table.length > 0) {
    return `TABLE(${table.map((i) => `${proc.proargnames?.[i] ? `${quoteIdentifier(proc.proargnames[i])} ` : ''}${formatTypeVisible(context, proc.proallargtypes![i]!, -1)}`).join(', ')})`;
  }
  return `${proc.proretset ? 'SETOF ' : ''}${formatTypeVisible(context, proc.prorettype, -1)}`;
}

function procFunction(name: string, text: (context: EvalContext, proc: PgProc) => Datum): SqlFunction {
  return fc(`${name}(oid)`, ((oid: number, context: EvalContext) => {
    const proc = context.catalog.proc(oid);
    return proc ? text(context, proc) : null;
  }) as never);
}

export const catalogDefinitionFunctions: readonly SqlFunction[] = [
  fc('pg_get_indexdef(oid)', (oid: number, context: EvalContext) => indexDefinition(context, oid, 0, false)),
  fc('pg_get_indexdef(oid,int4,bool)', (oid: number, column: number, pretty: boolean, context: EvalContext) => indexDefinition(context, oid, column, pretty)),
  fc('pg_get_constraintdef(oid)', (oid: number, context: EvalContext) => constraintDefinition(context, oid, false)),
  fc('pg_get_constraintdef(oid,bool)', (oid: number, pretty: boolean, context: EvalContext) => constraintDefinition(context, oid, pretty)),
  procFunction('pg_get_function_arguments', (context, proc) => argumentsText(context, proc, true, false)),
  procFunction('pg_get_function_identity_arguments', (context, proc) => argumentsText(context, proc, false, true)),
  procFunction('pg_get_function_result', resultText),
  procFunction('pg_get_function_sqlbody', (context, proc) => view(context).rows.one('pg_proc', 'oid', proc.oid)?.[27] ?? null),
  fc('pg_get_function_arg_default(oid,int4)', (oid: number, position: number, context: EvalContext) => {
    const proc = context.catalog.proc(oid);
    if (!proc) return null;
    return proc.proargdefaults?.[position - 1 - (proc.pronargs - proc.pronargdefaults)] ?? null;
  }),
  fc('pg_get_triggerdef(oid)', () => null),
  fc('pg_get_triggerdef(oid,bool)', () => null),
  fc('pg_get_partkeydef(oid)', () => null),
  fc('pg_get_partition_constraintdef(oid)', () => null),
];
