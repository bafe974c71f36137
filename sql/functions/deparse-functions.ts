/** pg_get_viewdef, pg_get_expr and pg_get_ruledef: stored SQL back in PostgreSQL's layout. */
import { analyzeStatement, makeEnvironment } from '../analyzer/analyze.js';
import { transformExpression } from '../analyzer/expression.js';
import { itemFor, relationEntry } from '../analyzer/from-clause.js';
import { quoteIdentifier, splitQualifiedName, findRelation } from '../analyzer/names.js';
import { ParseState } from '../analyzer/parse-state.js';
import type { Relation } from '../catalog/catalog.js';
import { expressionList } from '../catalog/catalog-view.js';
import { deparseQuery } from '../deparse/query.js';
import { deparseExpr, relationContext, relationName } from '../deparse/expression.js';
import { DatabaseError } from '../../engine/errors.js';
import { parse, parseExpression, SourceText } from '../parser/parse.js';
import type { EvalContext } from './context.js';
import { fc } from './define.js';
import type { SqlFunction } from './function.js';
import { splitIdentifierList } from '../session/setting-values.js';

/** The view's SELECT as the session's search path makes it read. */
function viewDefinition(relation: Relation, pretty: boolean, context: EvalContext): string {
  const parsed = parse(relation.viewText ?? '');
  const session = Object.create(context.session, { searchPathOids: { value: [11] } }) as EvalContext['session'];
  const stored = Object.create(context, { session: { value: session } }) as EvalContext;
  const query = analyzeStatement(parsed.statements[0].node, { catalog: context.catalog, context: stored, source: parsed.source });
  const names = relation.attributes.filter((a) => !a.attisdropped).map((a) => a.attname);
  let next = 0;
  const targetList = query.targetList.map((t) => (t.junk ? t : { ...t, name: names[next++] ?? t.name }));
  return `${deparseQuery({ ...query, targetList }, { catalog: context.catalog, eval: context, pretty, levels: [], qualify: false, indent: 0 })};`;
}

function byOid(oid: number, pretty: boolean, context: EvalContext): string | null {
  const relation = context.catalog.relation(oid);
  if (!relation) return null;
  return relation.viewText === null ? 'Not a view' : viewDefinition(relation, pretty, context);
}

function byName(name: string, pretty: boolean, context: EvalContext): string | null {
  const parts = name.split('.').flatMap((part) => splitIdentifierList(part) ?? [part]);
  const environment = { catalog: context.catalog, context, source: new SourceText('') };
  const { schema, name: relname } = splitQualifiedName(environment, parts);
  const relation = findRelation(environment, schema, relname);
  if (!relation) throw new DatabaseError('42P01', `relation "${name}" does not exist`);
  return byOid(relation.oid, pretty, context);
}

/** The _RETURN rule that every view has. */
function ruleDefinition(oid: number, pretty: boolean, context: EvalContext): string | null {
  const relation = context.catalog.viewOfRule(oid);
  if (!relation) return null;
  const body = viewDefinition(relation, pretty, context);
  return `CREATE RULE ${quoteIdentifier('_RETURN')} AS\n    ON SELECT TO ${relationName(context.catalog, context, relation.oid)} DO INSTEAD ${body}`;
}

/** An expression that a catalog keeps as SQL text, over the columns of `relationOid` (0: none). */
function storedExpression(text: string, relationOid: number, pretty: boolean, context: EvalContext): string {
  const relation = context.catalog.relation(relationOid);
  const source = new SourceText(text);
  const session = Object.create(context.session, { searchPathOids: { value: [11] } }) as EvalContext['session'];
  const stored = Object.create(context, { session: { value: session } }) as EvalContext;
  const state = new ParseState(makeEnvironment({ catalog: context.catalog, context: stored, source }), null);
  const entry = relation ? relationEntry(relation) : null;
  if (entry) {
    state.addRangeTableEntry(entry);
    state.namespace = [itemFor(state, 1, relationOid)];
  }
  return deparseExpr(transformExpression(state, parseExpression(text)), relationContext(context.catalog, context, entry, pretty));
}

/** Lists (index expressions) are kept as a JSON array of texts. */
function storedExpressions(text: string, relationOid: number, pretty: boolean, context: EvalContext): string {
  const list = text.startsWith('[') ? expressionList(text) : null;
  return list ? list.map((item) => storedExpression(item, relationOid, pretty, context)).join(', ') : storedExpression(text, relationOid, pretty, context);
}

export const deparseFunctions: readonly SqlFunction[] = [
  fc('pg_get_viewdef(oid)', (oid: number, context: EvalContext) => byOid(oid, false, context)),
  fc('pg_get_viewdef(oid,bool)', (oid: number, pretty: boolean, context: EvalContext) => byOid(oid, pretty, context)),
  fc('pg_get_viewdef(oid,int4)', (oid: number, _wrap: number, context: EvalContext) => byOid(oid, true, context)),
  fc('pg_get_viewdef(text)', (name: string, context: EvalContext) => byName(name, false, context)),
  fc('pg_get_viewdef(text,bool)', (name: string, pretty: boolean, context: EvalContext) => byName(name, pretty, context)),
  fc('pg_get_expr(pg_node_tree,oid)', (text: string, relation: number, context: EvalContext) => storedExpressions(text, relation, false, context)),
  fc('pg_get_expr(pg_node_tree,oid,bool)', (text: string, relation: number, pretty: boolean, context: EvalContext) => storedExpressions(text, relation, pretty, context)),
  fc('pg_get_ruledef(oid)', (oid: number, context: EvalContext) => ruleDefinition(oid, false, context)),
  fc('pg_get_ruledef(oid,bool)', (oid: number, pretty: boolean, context: EvalContext) => ruleDefinition(oid, pretty, context)),
];
