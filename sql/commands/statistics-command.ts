/** CREATE and ALTER STATISTICS, and how the other commands find a statistics object. After statscmds.c. */
import type { AlterStatsStmt, CreateStatsStmt, Node, RangeVar, StatsElem } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import { equalExpr } from '../analyzer/tree-walk.js';
import { formatType, relationSearchPath } from '../analyzer/names.js';
import { mustBeOwner, ownsAs } from '../catalog/acl.js';
import { arrayOf, type Row } from '../catalog/born-rows.js';
import { BTREE_AM, type Oid, type Relation } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address, dependentsOf, recordDependency, recordSharedDependency } from '../catalog/dependency.js';
import type { Expr } from '../analyzer/query-tree.js';
import type { ArrayValue } from '../types/datum.js';
import type { CommandContext } from './command.js';
import { setComment } from './comment.js';
import { defaultOpclass, joinColumnNames } from './define-index.js';
import { recordExpressionDependencies, references } from './expression-references.js';
import { chooseName, checkOwner, creationNamespaceNamed, currentUser, KIND_NAMES, nameEnvironment, nameList, openRelation } from './names.js';

const MAX_COLUMNS = 8;
const KINDS: Readonly<Record<string, string>> = { ndistinct: 'd', dependencies: 'f', mcv: 'm' };

export async function createStatistics(statement: CreateStatsStmt, context: CommandContext): Promise<string> {
  const [first, ...more] = (statement.relations ?? []) as Node[];
  const range = (first as { RangeVar?: RangeVar } | undefined)?.RangeVar;
  if (more.length > 0) throw new DatabaseError('0A000', 'only a single relation is allowed in CREATE STATISTICS');
  if (!range) throw new DatabaseError('0A000', 'CREATE STATISTICS only supports relation names in the FROM clause');
  const relation = await openRelation(context, range, 'ShareUpdateExclusiveLock');
  if (relation.relkind !== 'r' && relation.relkind !== 'm' && relation.relkind !== 'p') {
    throw new DatabaseError('42809', `cannot define statistics for relation "${relation.relname}"`, { detail: `This operation is not supported for ${KIND_NAMES[relation.relkind]?.replace(/y$/, 'ie').replace(/x$/, 'xe') ?? 'relation'}s.` });
  }
  checkOwner(context, relation);
  const { columns, expressions } = targets(context, relation, ((statement.exprs ?? []) as Node[]).map((node) => (node as { StatsElem: StatsElem }).StatsElem));
  const kinds = kindsOf(statement, columns.length, expressions.length);
  const written = statement.defnames && statement.defnames.length > 0 ? nameList(statement.defnames as Node[]) : null;
  const namespace = written ? (written.length > 1 ? creationNamespaceNamed(context, written.at(-2)) : creationNamespaceNamed(context, undefined)) : { oid: relation.relnamespace, name: '' };
  const name = written ? written.at(-1)! : chosenName(context, relation, namespace.oid, ((statement.exprs ?? []) as Node[]).map((node) => (node as { StatsElem: StatsElem }).StatsElem.name ?? 'expr'));
  if (statisticsNamed(context, namespace.oid, name)) {
    if (!statement.if_not_exists) throw new DatabaseError('42710', `statistics object "${name}" already exists`);
    context.notice('NOTICE', `statistics object "${name}" already exists, skipping`, { sqlstate: '42710' });
    return 'CREATE STATISTICS';
  }
  const oid = addStatistics(context, relation, { name, namespace: namespace.oid, columns, expressions, kinds });
  if (statement.stxcomment) setComment(context, ClassOid.pg_statistic_ext, oid, 0, statement.stxcomment, false);
  return 'CREATE STATISTICS';
}

interface NewStatistics { readonly name: string; readonly namespace: Oid; readonly columns: readonly number[]; readonly expressions: readonly StatisticsExpression[]; readonly kinds: readonly string[] }

function addStatistics(context: CommandContext, relation: Relation, { name, namespace, columns, expressions, kinds }: NewStatistics): Oid {
  const oid = context.changes.newOid();
  context.changes.insert('pg_statistic_ext', {
    oid, stxrelid: relation.oid, stxname: name, stxnamespace: namespace, stxowner: currentUser(context).oid, stxstattarget: -1,
    stxkeys: arrayOf(21, columns, 0), stxkind: arrayOf(18, kinds), stxexprs: expressions.length > 0 ? JSON.stringify(expressions.map(({ text }) => text)) : null,
  });
  const object = address(ClassOid.pg_statistic_ext, oid);
  for (const attnum of columns) recordDependency(context.changes, object, address(ClassOid.pg_class, relation.oid, attnum), 'a');
  for (const { expr } of expressions) recordExpressionDependencies(context.changes, object, expr, relation.oid, 'a');
  if (columns.length === 0 && expressions.every(({ expr }) => references(expr).columns.size === 0)) recordDependency(context.changes, object, address(ClassOid.pg_class, relation.oid), 'a');
  recordDependency(context.changes, object, address(ClassOid.pg_namespace, namespace), 'n');
  recordSharedDependency(context.changes, object, ClassOid.pg_authid, currentUser(context).oid, 'o');
  return oid;
}

/** For LIKE ... INCLUDING STATISTICS: those of `source` on another table with the same columns. `attnumOf`: where a column of the source stands there. */
export function copyStatistics(context: CommandContext, source: Relation, relation: Relation, attnumOf: (attnum: number) => number, comments: boolean): void {
  for (const { oid, columns, expressions } of source.extendedStatistics()) {
    const mapped = columns.map(attnumOf).sort((a, b) => a - b);
    const computed = expressions.map((text): StatisticsExpression => ({ expr: context.hooks.analyzeExpressionText(text, { kind: 'statistics expression', relation }, context.eval), text }));
    const names = [...mapped.map((attnum) => relation.attributes[attnum - 1]!.attname), ...expressions.map(() => 'expr')];
    const row = context.catalog.rows.one('pg_statistic_ext', 'oid', oid)!;
    const kinds = (row[7] as ArrayValue).elements as string[];
    const made = addStatistics(context, relation, { name: chosenName(context, relation, relation.relnamespace, names), namespace: relation.relnamespace, columns: mapped, expressions: computed, kinds });
    const comment = comments ? context.catalog.rows.rows('pg_description', 'objoid,classoid', oid, ClassOid.pg_statistic_ext)[0] : undefined;
    if (comment) setComment(context, ClassOid.pg_statistic_ext, made, 0, comment[3] as string, false);
  }
}

interface StatisticsExpression { readonly expr: Expr; readonly text: string }

/** Attribute numbers in ascending order, and what is computed. */
function targets(context: CommandContext, relation: Relation, elements: readonly StatsElem[]): { columns: number[]; expressions: StatisticsExpression[] } {
  const columns: number[] = [];
  const expressions: StatisticsExpression[] = [];
  if (elements.length > MAX_COLUMNS) throw new DatabaseError('54011', `cannot have more than ${MAX_COLUMNS} columns in statistics`);
  const addColumn = (attnum: number): void => {
    if (attnum <= 0) throw new DatabaseError('0A000', 'statistics creation on system columns is not supported');
    const attribute = relation.attributes[attnum - 1]!;
    if (!defaultOpclass(context, BTREE_AM, attribute.atttypid)) {
      throw new DatabaseError('0A000', `column "${attribute.attname}" cannot be used in statistics because its type ${formatType(context.catalog, attribute.atttypid)} has no default btree operator class`);
    }
    columns.push(attnum);
  };
  for (const element of elements) {
    if (element.name) {
      const attribute = relation.attributes.find((candidate) => candidate.attname === element.name && !candidate.attisdropped);
      if (!attribute) {
        if (SYSTEM_COLUMNS.has(element.name)) throw new DatabaseError('0A000', 'statistics creation on system columns is not supported');
        throw new DatabaseError('42703', `column "${element.name}" does not exist`);
      }
      addColumn(attribute.attnum);
      continue;
    }
    const analyzed = context.hooks.analyzeExpression(element.expr!, { kind: 'statistics expression', relation }, context.eval, context.source);
    if (analyzed.expr.kind === 'Var') addColumn(analyzed.expr.attno);
    else {
      if ([...references(analyzed.expr).columns].some((attnum) => attnum <= 0)) throw new DatabaseError('0A000', 'statistics creation on system columns is not supported');
      if (elements.length > 1 && !defaultOpclass(context, BTREE_AM, analyzed.expr.type)) {
        throw new DatabaseError('0A000', `expression cannot be used in multivariate statistics because its type ${formatType(context.catalog, analyzed.expr.type)} has no default btree operator class`);
      }
      expressions.push({ expr: analyzed.expr, text: analyzed.text });
    }
  }
  columns.sort((a, b) => a - b);
  if (columns.some((attnum, i) => i > 0 && columns[i - 1] === attnum)) throw new DatabaseError('42701', 'duplicate column name in statistics definition');
  expressions.forEach(({ expr }, i) => {
    if (expressions.slice(0, i).some((other) => equalExpr(other.expr, expr))) throw new DatabaseError('42701', 'duplicate expression in statistics definition');
  });
  return { columns, expressions };
}

const SYSTEM_COLUMNS: ReadonlySet<string> = new Set(['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid']);

/** As stxkind has them. */
function kindsOf(statement: CreateStatsStmt, columns: number, expressions: number): string[] {
  const written = ((statement.stat_types ?? []) as Node[]).map((node) => (node as { String: { sval: string } }).String.sval);
  if (columns === 0 && expressions === 1 && written.length > 0) throw new DatabaseError('0A000', 'when building statistics on a single expression, statistics kinds may not be specified');
  for (const kind of written) if (!KINDS[kind]) throw new DatabaseError('42601', `unrecognized statistics kind "${kind}"`);
  if (columns + expressions < 2 && !(columns === 0 && expressions === 1)) throw new DatabaseError('42P17', 'extended statistics require at least 2 columns');
  const asked = (kind: string): boolean => (written.length > 0 ? written.includes(kind) : columns + expressions >= 2);
  return [...Object.entries(KINDS).filter(([kind]) => asked(kind)).map(([, letter]) => letter), ...(expressions > 0 ? ['e'] : [])];
}

function chosenName(context: CommandContext, relation: Relation, namespace: Oid, names: readonly string[]): string {
  return chooseName(relation.relname, joinColumnNames(names), 'stat', (name) => statisticsNamed(context, namespace, name) !== undefined);
}

export function statisticsNamed(context: CommandContext, namespace: Oid, name: string): Row | undefined {
  return context.catalog.rows.rows('pg_statistic_ext', 'stxnamespace', namespace).find((row) => row[2] === name);
}

/** A statistics object by its name as written; undefined when it does not exist. */
export function findStatistics(context: CommandContext, names: readonly string[]): Row | undefined {
  const name = names.at(-1)!;
  if (names.length > 1) {
    const namespace = context.catalog.namespaceNamed(names.at(-2)!);
    if (!namespace) throw new DatabaseError('3F000', `schema "${names.at(-2)!}" does not exist`);
    return statisticsNamed(context, namespace.oid, name);
  }
  for (const namespace of relationSearchPath(nameEnvironment(context))) {
    const found = statisticsNamed(context, namespace, name);
    if (found) return found;
  }
  return undefined;
}

/** The same, or an error; owned by the current user. */
export function ownStatistics(context: CommandContext, names: readonly string[]): Row {
  const found = findStatistics(context, names);
  if (!found) throw new DatabaseError('42704', `statistics object "${names.join('.')}" does not exist`);
  if (!ownsAs(context.catalog, currentUser(context).oid, found[4] as Oid)) throw mustBeOwner('statistics object', names.join('.'));
  return found;
}

export function alterStatistics(statement: AlterStatsStmt, context: CommandContext): string {
  const names = nameList(statement.defnames as Node[]);
  let target = statement.stxstattarget ?? 0;
  if (target < -1) throw new DatabaseError('22023', `statistics target ${target} is too low`);
  if (target > 10000) {
    target = 10000;
    context.notice('WARNING', `lowering statistics target to ${target}`, { sqlstate: '22023' });
  }
  if (!findStatistics(context, names)) {
    if (!statement.missing_ok) throw new DatabaseError('42704', `statistics object "${names.join('.')}" does not exist`);
    context.notice('NOTICE', `statistics object "${names.join('.')}" does not exist, skipping`, { sqlstate: '00000' });
    return 'ALTER STATISTICS';
  }
  update(context, ownStatistics(context, names), { stxstattarget: target });
  return 'ALTER STATISTICS';
}

function update(context: CommandContext, row: Row, values: Parameters<CommandContext['changes']['update']>[2]): void {
  context.changes.update('pg_statistic_ext', context.catalog.rows.find('pg_statistic_ext', 'oid', row[0]!)[0]!, values);
}

export function renameStatistics(context: CommandContext, names: readonly string[], newName: string): string {
  const row = ownStatistics(context, names);
  const namespace = context.catalog.namespace(row[3] as Oid)!;
  if (statisticsNamed(context, namespace.oid, newName)) throw new DatabaseError('42710', `statistics object "${newName}" already exists in schema "${namespace.nspname}"`);
  update(context, row, { stxname: newName });
  return 'ALTER STATISTICS';
}

/** Answers the schema before and after. */
export function moveStatistics(context: CommandContext, names: readonly string[], schema: string): { oid: Oid; before: Oid; after: Oid } {
  const row = ownStatistics(context, names);
  const after = creationNamespaceNamed(context, schema).oid;
  if (after !== row[3] && statisticsNamed(context, after, row[2] as string)) throw new DatabaseError('42710', `statistics object "${row[2] as string}" already exists in schema "${schema}"`);
  update(context, row, { stxnamespace: after });
  return { oid: row[0] as Oid, before: row[3] as Oid, after };
}

export function giveStatistics(context: CommandContext, row: Row, owner: Oid): void {
  update(context, row, { stxowner: owner });
}

/** Expressions of a relation's statistics name columns: they are written anew when one is renamed. */
export function statisticsExpressions(context: CommandContext, relation: Relation): { expr: Expr; store: (text: string) => void }[] {
  return context.catalog.rows.rows('pg_statistic_ext', 'stxrelid', relation.oid).flatMap((row) => {
    const texts = row[8] === null ? [] : JSON.parse(row[8] as string) as string[];
    return texts.map((text, i) => ({
      expr: context.hooks.analyzeExpressionText(text, { kind: 'statistics expression', relation }, context.eval),
      store: (fresh: string): void => {
        texts[i] = fresh;
        update(context, row, { stxexprs: JSON.stringify(texts) });
      },
    }));
  });
}

/** What ANALYZE found with a column whose type changes. */
export function forgetJointStatistics(context: CommandContext, relation: Oid, attnum: number): void {
  for (const dependency of dependentsOf(context.catalog.rows, address(ClassOid.pg_class, relation, attnum))) {
    if (dependency.dependent.classId !== ClassOid.pg_statistic_ext) continue;
    for (const entry of context.catalog.rows.find('pg_statistic_ext_data', 'stxoid', dependency.dependent.objectId)) context.changes.delete('pg_statistic_ext_data', entry);
  }
}
