/** Making indexes: for CREATE INDEX, for constraints, and anew for rewrites. After indexcmds.c. */
import type { IndexElem, IndexStmt, Node } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import type { Expr } from '../analyzer/query-tree.js';
import { formatType, splitQualifiedName, stringOf } from '../analyzer/names.js';
import { arrayOf } from '../catalog/born-rows.js';
import { BTREE_AM, HASH_AM, type Oid, type PgOpclass, type Relation } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address, recordDependency } from '../catalog/dependency.js';
import type { CommandContext } from './command.js';
import { findCollation } from './column-definition.js';
import { isImmutable, recordExpressionDependencies } from './expression-references.js';
import { fillIndex } from './fill-index.js';
import { LEARNED_AM } from '../catalog/own-rows.js';
import { learnSoon } from '../learned/learn-soon.js';
import { checkLearnedOptions, checkLearnedOrdering, checkLearnedShape, checkLearnedType } from '../learned/learned-options.js';
import { chooseName, nameEnvironment, nameList, reserveRelationName } from './names.js';
import { addRelation, classEntry, newStorage, updateClass, type NewColumn } from './relation-rows.js';

export interface IndexRequest {
  readonly name: string | null;
  readonly statement: Pick<IndexStmt, 'indexParams' | 'indexIncludingParams' | 'whereClause' | 'unique' | 'nulls_not_distinct' | 'accessMethod' | 'options'>;
  readonly constraint: 'p' | 'u' | null;
  readonly deferrable: boolean;
  readonly initiallyDeferred: boolean;
}

interface KeyPlan {
  readonly attnum: number;
  readonly text: string | null;
  readonly type: Oid;
  readonly typmod: number;
  readonly collation: Oid;
  readonly opclass: PgOpclass;
  readonly option: number;
  readonly nameHint: string;
  readonly expr: Expr | null;
}

const MAX_KEYS = 32;

/** Makes an index on a locked table and fills it. Returns its OID. */
export async function defineIndex(context: CommandContext, relation: Relation, request: IndexRequest): Promise<Oid> {
  const { statement } = request;
  const method = statement.accessMethod || 'btree';
  const accessMethod = context.catalog.accessMethodNamed(method);
  if (!accessMethod) throw new DatabaseError('42704', `access method "${method}" does not exist`);
  const elements = (statement.indexParams ?? []).map((node) => (node as { IndexElem: IndexElem }).IndexElem);
  const includes = (statement.indexIncludingParams ?? []).map((node) => (node as { IndexElem: IndexElem }).IndexElem);
  if (accessMethod.oid === HASH_AM) {
    if (statement.unique) throw new DatabaseError('0A000', 'access method "hash" does not support unique indexes');
    if (elements.length > 1) throw new DatabaseError('0A000', 'access method "hash" does not support multicolumn indexes');
    if (includes.length > 0) throw new DatabaseError('0A000', 'access method "hash" does not support included columns');
  }
  if (accessMethod.oid === LEARNED_AM) checkLearnedShape(statement);
  if (elements.length + includes.length > MAX_KEYS) throw new DatabaseError('54011', `cannot use more than ${MAX_KEYS} columns in an index`);
  const keys = elements.map((element) => planKey(context, relation, element, accessMethod.oid, method, request.constraint));
  const options = storageOptions(statement.options);
  if (accessMethod.oid === LEARNED_AM) checkLearnedOptions(options);
  else if (accessMethod.oid !== BTREE_AM && accessMethod.oid !== HASH_AM) throw notSupported(`access method ${method}`);
  const included = includes.map((element) => {
    if (element.expr) throw new DatabaseError('0A000', 'expressions are not supported in included columns');
    return columnNumber(relation, element.name!, request.constraint !== null);
  });
  let predicate: { text: string; expr: Expr } | null = null;
  if (statement.whereClause) {
    predicate = context.hooks.analyzeExpression(statement.whereClause, { kind: 'index predicate', relation, target: { type: 16, typmod: -1 } }, context.eval, context.source);
    if (!isImmutable(context.catalog, predicate.expr)) throw new DatabaseError('42P17', 'functions in index predicate must be marked IMMUTABLE');
  }
  const includedNames = included.map((attnum) => relation.attributes[attnum - 1]!.attname);
  const columnNames = uniqueColumnNames([...keys.map((key) => key.nameHint), ...includedNames]);
  const name = request.name ?? chooseIndexName(context, relation, request.constraint, columnNames);
  await reserveRelationName(context, relation.relnamespace, name);
  if (context.catalog.relationOid(relation.relnamespace, name) !== undefined) throw new DatabaseError('42P07', `relation "${name}" already exists`);

  const columns: NewColumn[] = [
    ...keys.map((key, i) => ({ name: columnNames[i]!, type: key.opclass.opckeytype || key.type, typmod: key.typmod, collation: key.collation })),
    ...included.map((attnum, i) => {
      const attribute = relation.attributes[attnum - 1]!;
      return { name: columnNames[keys.length + i]!, type: attribute.atttypid, typmod: attribute.atttypmod, collation: attribute.attcollation };
    }),
  ];
  const oid = addRelation(context, {
    name, namespace: relation.relnamespace, kind: 'i', persistence: relation.relpersistence, owner: relation.relowner, columns,
    storage: newStorage(context, relation.relpersistence), accessMethod: accessMethod.oid, withRowType: false, options,
  });
  const expressions = keys.filter((key) => key.text !== null).map((key) => key.text!);
  const numbers = [...keys.map((key) => key.attnum), ...included];
  context.changes.insert('pg_index', {
    indexrelid: oid, indrelid: relation.oid, indnatts: numbers.length, indnkeyatts: keys.length, indisunique: statement.unique ?? false,
    indnullsnotdistinct: statement.nulls_not_distinct ?? false, indisprimary: request.constraint === 'p', indimmediate: !request.deferrable,
    indisvalid: true, indisready: true, indislive: true, indkey: arrayOf(21, numbers, 0), indcollation: arrayOf(26, keys.map((key) => key.collation), 0),
    indclass: arrayOf(26, keys.map((key) => key.opclass.oid), 0), indoption: arrayOf(21, keys.map((key) => key.option), 0),
    indexprs: expressions.length > 0 ? JSON.stringify(expressions) : null, indpred: predicate?.text ?? null,
  });
  const object = address(ClassOid.pg_class, oid);
  if (request.constraint === null) {
    let columnsUsed = false;
    for (const attnum of numbers) {
      if (attnum === 0) continue;
      columnsUsed = true;
      recordDependency(context.changes, object, address(ClassOid.pg_class, relation.oid, attnum), 'a');
    }
    if (!columnsUsed) recordDependency(context.changes, object, address(ClassOid.pg_class, relation.oid), 'a');
  }
  for (const key of keys) if (key.expr) recordExpressionDependencies(context.changes, object, key.expr, relation.oid, 'a');
  if (predicate) recordExpressionDependencies(context.changes, object, predicate.expr, relation.oid, 'a');
  await fillIndex(context, context.catalog.relation(relation.oid)!, context.catalog.index(oid)!);
  if (accessMethod.oid === LEARNED_AM) learnSoon(context.catalog.index(oid)!, context.catalog, context.transaction, context.eval);
  // Others may be making indexes on the table too: whoever comes second waits for the first to commit, at the very end.
  await context.changes.state('pg_class', () => classEntry(context, relation.oid), { relhasindex: true }, (pending) => context.wait(pending));
  return oid;
}

/** WITH (...) options as reloptions texts. */
export function storageOptions(options: readonly Node[] | undefined): string[] {
  return (options ?? []).map((node) => {
    const element = (node as { DefElem: { defname?: string; arg?: Node } }).DefElem;
    return `${element.defname}=${optionText(element.arg)}`;
  });
}

function optionText(node: Node | undefined): string {
  if (!node) return 'true';
  const value = node as { String?: { sval?: string }; Integer?: { ival?: number }; Float?: { fval?: string }; Boolean?: { boolval?: boolean }; TypeName?: { names?: Node[] } };
  if (value.Integer) return String(value.Integer.ival ?? 0);
  if (value.Float) return value.Float.fval ?? '';
  if (value.Boolean) return String(value.Boolean.boolval ?? false);
  if (value.TypeName) return (value.TypeName.names ?? []).map(stringOf).at(-1) ?? '';
  return value.String?.sval ?? '';
}

function columnNumber(relation: Relation, name: string, inConstraint: boolean): number {
  const attribute = relation.attributes.find((candidate) => candidate.attname === name && !candidate.attisdropped);
  if (!attribute) {
    throw new DatabaseError('42703', inConstraint ? `column "${name}" named in key does not exist` : `column "${name}" does not exist`);
  }
  return attribute.attnum;
}

function planKey(context: CommandContext, relation: Relation, element: IndexElem, accessMethod: Oid, methodName: string, constraint: 'p' | 'u' | null): KeyPlan {
  let attnum = 0;
  let type: Oid;
  let typmod = -1;
  let collation: Oid;
  let text: string | null = null;
  let expr: KeyPlan['expr'] = null;
  let nameHint: string;
  if (element.name) {
    attnum = columnNumber(relation, element.name, constraint !== null);
    const attribute = relation.attributes[attnum - 1]!;
    ({ atttypid: type, atttypmod: typmod, attcollation: collation } = attribute);
    nameHint = attribute.attname;
  } else {
    const analyzed = context.hooks.analyzeExpression(element.expr!, { kind: 'index expression', relation }, context.eval, context.source);
    if (analyzed.expr.kind === 'Var' && analyzed.expr.attno > 0) {
      attnum = analyzed.expr.attno;
    } else {
      if (!isImmutable(context.catalog, analyzed.expr)) throw new DatabaseError('42P17', 'functions in index expression must be marked IMMUTABLE');
      text = analyzed.text;
      expr = analyzed.expr;
    }
    ({ type, typmod, collation } = analyzed.expr);
    nameHint = attnum > 0 ? relation.attributes[attnum - 1]!.attname : expressionName(element);
  }
  if (element.collation?.length) {
    if (collation === 0) throw new DatabaseError('42804', `collations are not supported by type ${formatType(context.catalog, type)}`);
    collation = findCollation(context, nameList(element.collation as Node[]));
  }
  checkCollation(context, collation);
  if (accessMethod === LEARNED_AM) {
    checkLearnedType(context.catalog, type, formatType(context.catalog, type));
    checkLearnedOrdering(element);
  }
  const opclass = findOpclass(context, element.opclass as Node[] | undefined, type, accessMethod, methodName);
  const descending = element.ordering === 'SORTBY_DESC';
  const nullsFirst = element.nulls_ordering === 'SORTBY_NULLS_FIRST' || (descending && element.nulls_ordering !== 'SORTBY_NULLS_LAST');
  if (accessMethod === HASH_AM && (descending || element.ordering === 'SORTBY_ASC')) throw new DatabaseError('0A000', 'access method "hash" does not support ASC/DESC options');
  if (!context.catalog.dataType(type).key) throw notSupported(`an index on type ${formatType(context.catalog, type)}`);
  return { attnum, text, type, typmod, collation, opclass, option: (descending ? 1 : 0) | (nullsFirst ? 2 : 0), nameHint, expr };
}

/** Keys are ordered as bytes: only collations that mean that. */
function checkCollation(context: CommandContext, oid: Oid): void {
  if (oid === 0) return;
  const collation = context.catalog.collation(oid);
  if (collation && collation.collprovider === 'i') throw notSupported(`an index with collation "${collation.collname}"`);
}

/** Function name for a call, else "expr" (FigureIndexColname). */
function expressionName(element: IndexElem): string {
  if (element.indexcolname) return element.indexcolname;
  const node = element.expr as { FuncCall?: { funcname?: Node[] }; CoalesceExpr?: unknown; TypeCast?: { arg?: Node; typeName?: { names?: Node[] } }; CaseExpr?: unknown; MinMaxExpr?: { op?: string } };
  if (node.FuncCall) return nameList(node.FuncCall.funcname).at(-1) ?? 'expr';
  if (node.CoalesceExpr) return 'coalesce';
  if (node.CaseExpr) return 'case';
  if (node.MinMaxExpr) return node.MinMaxExpr.op === 'IS_GREATEST' ? 'greatest' : 'least';
  if (node.TypeCast) return nameList(node.TypeCast.typeName?.names).at(-1) ?? 'expr';
  return 'expr';
}

function findOpclass(context: CommandContext, written: readonly Node[] | undefined, type: Oid, accessMethod: Oid, methodName: string): PgOpclass {
  const { catalog } = context;
  if (written && written.length > 0) {
    const { name } = splitQualifiedName(nameEnvironment(context), nameList(written as Node[]));
    const found = catalog.opclassNamed(accessMethod, name)[0];
    if (!found) throw new DatabaseError('42704', `operator class "${name}" does not exist for access method "${methodName}"`);
    if (!acceptsType(context, found.opcintype, type)) {
      throw new DatabaseError('42804', `operator class "${name}" does not accept data type ${formatType(catalog, type)}`);
    }
    return found;
  }
  const found = defaultOpclass(context, accessMethod, type);
  if (!found) {
    throw new DatabaseError('42704', `data type ${formatType(catalog, type)} has no default operator class for access method "${methodName}"`, {
      hint: 'You must specify an operator class for the index or define a default operator class for the data type.',
    });
  }
  return found;
}

function acceptsType(context: CommandContext, wanted: Oid, type: Oid): boolean {
  if (wanted === type) return true;
  const pgType = context.catalog.type(type);
  if (pgType?.typtype === 'd') return acceptsType(context, wanted, pgType.typbasetype);
  if (wanted === 2277) return pgType !== undefined && pgType.typelem !== 0 && pgType.typlen === -1;
  if (wanted === 3500) return pgType?.typtype === 'e';
  if (wanted === 3831) return pgType?.typtype === 'r';
  if (wanted === 4537) return pgType?.typtype === 'm';
  if (wanted === 2249) return pgType?.typtype === 'c';
  return context.catalog.cast(type, wanted)?.castmethod === 'b';
}

/** GetDefaultOpClass: exact type, else by binary coercion to a preferred or the only one. */
export function defaultOpclass(context: Pick<CommandContext, 'catalog'>, accessMethod: Oid, type: Oid): PgOpclass | undefined {
  const { catalog } = context;
  const exact = catalog.defaultOpclass(accessMethod, type);
  if (exact) return exact;
  const pgType = catalog.type(type);
  if (!pgType) return undefined;
  if (pgType.typtype === 'd') return defaultOpclass(context, accessMethod, pgType.typbasetype);
  if (pgType.typtype === 'e') return catalog.defaultOpclass(accessMethod, 3500);
  if (pgType.typtype === 'r') return catalog.defaultOpclass(accessMethod, 3831);
  if (pgType.typtype === 'c') return catalog.defaultOpclass(accessMethod, 2249);
  if (pgType.typelem !== 0 && pgType.typlen === -1 && pgType.typcategory === 'A') return catalog.defaultOpclass(accessMethod, 2277);
  for (const target of [25, 1042, 26, 869]) if (catalog.cast(type, target)?.castmethod === 'b') return catalog.defaultOpclass(accessMethod, target);
  return undefined;
}

/** Index columns are named like their sources, numbered where that repeats. */
function uniqueColumnNames(hints: readonly string[]): string[] {
  const names: string[] = [];
  for (const hint of hints) {
    let name = hint;
    for (let i = 1; names.includes(name); i++) name = `${hint}${i}`;
    names.push(name);
  }
  return names;
}

export function chooseIndexName(context: CommandContext, relation: Relation, constraint: 'p' | 'u' | null, columnNames: readonly string[]): string {
  const taken = (name: string): boolean => context.catalog.relationOid(relation.relnamespace, name) !== undefined
    || (constraint !== null && constraintNameUsed(context, relation.relnamespace, name));
  if (constraint === 'p') return chooseName(relation.relname, null, 'pkey', taken);
  return chooseName(relation.relname, joinColumnNames(columnNames), constraint === 'u' ? 'key' : 'idx', taken);
}

/** Joined with _, at most 63 bytes. */
export function joinColumnNames(names: readonly string[]): string {
  let joined = '';
  for (const name of names) {
    joined = joined === '' ? name : `${joined}_${name}`;
    if (Buffer.byteLength(joined) >= 64) break;
  }
  return Buffer.from(joined).subarray(0, 63).toString('utf8');
}

export function constraintNameUsed(context: CommandContext, namespace: Oid, name: string): boolean {
  return context.catalog.rows.rows('pg_constraint', 'connamespace', namespace).some((row) => row[1] === name);
}

/** Gives an index a new storage and fills it from the table as it is now (REINDEX, rewrites, TRUNCATE). */
export async function rebuildIndex(context: CommandContext, relationOid: Oid, indexOid: Oid, empty = false): Promise<void> {
  const index = context.catalog.index(indexOid)!;
  const relation = context.catalog.relation(relationOid)!;
  context.transaction.dropStorage(index.storage);
  context.transaction.noteReplaced(index.storage, relation.storage);
  updateClass(context, indexOid, { relfilenode: newStorage(context, relation.relpersistence), reltuples: 0 });
  if (!empty) await fillIndex(context, context.catalog.relation(relationOid)!, context.catalog.index(indexOid)!);
}
