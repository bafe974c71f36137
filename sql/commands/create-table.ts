/** CREATE TABLE: columns, LIKE, serial and identity sequences, defaults, constraints. After parse_utilcmd.c and tablecmds.c. */
import type { ColumnDef, Constraint, CreateStmt, DefElem, Node, TableLikeClause } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { quoteLiteral, quoteQualified } from '../catalog/identifiers.js';
import { HASH_AM, type Oid, type Relation } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import { parseExpression } from '../parser/parse.js';
import { LEARNED_NAME } from '../catalog/own-rows.js';
import { isLearned } from '../learned/learned-options.js';
import type { CommandContext } from './command.js';
import { planColumn, type ColumnPlan, type ConstraintPlan } from './column-definition.js';
import { addConstraint, current, setDefault, storeDefault } from './constraints.js';
import { setComment } from './comment.js';
import { defineIndex, storageOptions } from './define-index.js';
import { isVolatile } from './expression-references.js';
import { chooseName, creationNamespace, currentUser, openRelation, relationExists, reserveRelationName } from './names.js';
import { addRelation, newStorage, type NewColumn } from './relation-rows.js';
import { addSequence, ownSequence } from './sequence-command.js';
import { copyStatistics } from './statistics-command.js';

/** Options of LIKE, as bits of TableLikeClause.options. */
const LIKE = { comments: 1, compression: 2, constraints: 4, defaults: 8, generated: 16, identity: 32, indexes: 64, statistics: 128, storage: 256 } as const;

interface LikePlan { readonly source: Relation; readonly options: number; readonly firstColumn: number }

export async function createTable(statement: CreateStmt, context: CommandContext): Promise<string> {
  if (statement.inhRelations?.length || statement.partbound) throw notSupported('table inheritance and partitions');
  if (statement.partspec) throw notSupported('PARTITION BY');
  if (statement.ofTypename) throw notSupported('CREATE TABLE OF');
  if (statement.accessMethod && statement.accessMethod !== 'heap') throw new DatabaseError('42704', `access method "${statement.accessMethod}" does not exist`);
  const range = statement.relation!;
  const name = range.relname!;
  const namespace = await creationNamespace(context, range);
  await reserveRelationName(context, namespace.oid, name);
  if (relationExists(context, namespace.oid, name, statement.if_not_exists ?? false)) return 'CREATE TABLE';
  if (statement.oncommit && statement.oncommit !== 'ONCOMMIT_NOOP' && !namespace.temporary) {
    throw new DatabaseError('42P16', 'ON COMMIT can only be used on temporary tables');
  }
  if (statement.oncommit === 'ONCOMMIT_DELETE_ROWS' || statement.oncommit === 'ONCOMMIT_DROP') throw notSupported('ON COMMIT DELETE ROWS or DROP');

  const constraints: ConstraintPlan[] = [];
  const plans: (ColumnPlan | null)[] = [];
  const columns: NewColumn[] = [];
  const likes: LikePlan[] = [];
  for (const element of statement.tableElts ?? []) {
    const node = element as { ColumnDef?: ColumnDef; Constraint?: Constraint; TableLikeClause?: TableLikeClause };
    if (node.ColumnDef) {
      const plan = planColumn(context, name, node.ColumnDef, constraints);
      plans.push(plan);
      columns.push(plan.column);
    } else if (node.TableLikeClause) {
      const like = await planLike(context, node.TableLikeClause, columns.length);
      likes.push(like);
      for (const column of likeColumns(like)) {
        plans.push(null);
        columns.push(column);
      }
    } else if (node.Constraint) {
      constraints.push({ node: node.Constraint, column: null });
    }
  }
  for (const item of statement.constraints ?? []) constraints.push({ node: (item as { Constraint: Constraint }).Constraint, column: null });
  const persistence = namespace.temporary ? 't' : range.relpersistence === 'u' ? 'u' : 'p';
  const oid = addRelation(context, {
    name, namespace: namespace.oid, kind: 'r', persistence, owner: currentUser(context).oid, columns, storage: newStorage(context, persistence),
    accessMethod: 0, withRowType: true, options: storageOptions(statement.options as Node[] | undefined),
  });
  await finishColumns(context, oid, plans, 0);
  for (const like of likes) copyLikeDefaults(context, oid, like);
  await addConstraints(context, oid, constraints);
  for (const like of likes) await copyLikeRest(context, oid, like);
  return 'CREATE TABLE';
}

/** Sequences, defaults and generation expressions of columns from `first` (0-based) on. Returns the attnums whose rows must be filled by a rewrite. */
export async function finishColumns(context: CommandContext, relationOid: Oid, plans: readonly (ColumnPlan | null)[], first: number): Promise<number[]> {
  const computed: number[] = [];
  plans.forEach((plan, i) => {
    if (!plan) return;
    const attnum = first + i + 1;
    const relation = current(context, relationOid);
    if (plan.serial) {
      const sequence = columnSequence(context, relation, plan.column.name, [], { int2: 21, int4: 23, int8: 20 }[plan.serial]);
      ownSequence(context, sequence.oid, relationOid, attnum, 'a');
      const text = `nextval(${quoteLiteral(quoteQualified(sequence.schema, sequence.name))}::regclass)`;
      setDefault(context, current(context, relationOid), attnum, parseExpression(text), false);
      computed.push(attnum);
    } else if (plan.identity) {
      const sequence = columnSequence(context, relation, plan.column.name, plan.identity.options, plan.column.type);
      ownSequence(context, sequence.oid, relationOid, attnum, 'i');
      computed.push(attnum);
    } else if (plan.default) {
      const expr = setDefault(context, relation, attnum, plan.default, false);
      if (isVolatile(context.catalog, expr)) computed.push(attnum);
    }
  });
  plans.forEach((plan, i) => {
    if (!plan?.generated) return;
    setDefault(context, current(context, relationOid), first + i + 1, plan.generated, true);
    computed.push(first + i + 1);
  });
  return computed;
}

/** table_column_seq in the table's schema. */
export function columnSequence(context: CommandContext, relation: Relation, column: string, options: readonly DefElem[], type: Oid): { oid: Oid; schema: string; name: string } {
  let { relnamespace: namespace } = relation;
  let name: string | null = null;
  const rest: DefElem[] = [];
  for (const option of options) {
    if (option.defname !== 'sequence_name') {
      rest.push(option);
      continue;
    }
    const names = ((option.arg as { List?: { items?: { String: { sval: string } }[] } }).List?.items ?? []).map((item) => item.String.sval);
    name = names.at(-1) ?? null;
    if (names.length > 1) namespace = context.catalog.namespaceNamed(names.at(-2)!)?.oid ?? namespace;
  }
  name ??= chooseName(relation.relname, column, 'seq', (candidate) => context.catalog.relationOid(namespace, candidate) !== undefined);
  const { oid } = addSequence(context, { name, namespace, persistence: relation.relpersistence, owner: relation.relowner, options: rest, fixedType: type });
  return { oid, schema: context.catalog.namespace(namespace)!.nspname, name };
}

/** In PostgreSQL's order: checks, then keys (the primary one first), then foreign keys. */
async function addConstraints(context: CommandContext, oid: Oid, constraints: readonly ConstraintPlan[]): Promise<void> {
  const rank = (plan: ConstraintPlan): number => {
    switch (plan.node.contype) {
      case 'CONSTR_CHECK': return 0;
      case 'CONSTR_PRIMARY': return 1;
      case 'CONSTR_UNIQUE': return 2;
      case 'CONSTR_FOREIGN': return 4;
      default: return 3;
    }
  };
  const ordered = [...constraints].sort((a, b) => rank(a) - rank(b));
  for (const plan of ordered) await addConstraint(context, current(context, oid), plan.node, plan.column, true);
}

async function planLike(context: CommandContext, clause: TableLikeClause, firstColumn: number): Promise<LikePlan> {
  const source = await openRelation(context, clause.relation!, 'AccessShareLock', true);
  if (!['r', 'v', 'm', 'c', 'f', 'p'].includes(source.relkind)) {
    throw new DatabaseError('42809', `relation "${source.relname}" is invalid in LIKE clause`);
  }
  return { source, options: clause.options ?? 0, firstColumn };
}

function likeColumns(like: LikePlan): NewColumn[] {
  return like.source.attributes.filter((attribute) => !attribute.attisdropped).map((attribute) => ({
    name: attribute.attname, type: attribute.atttypid, typmod: attribute.atttypmod, collation: attribute.attcollation, notNull: attribute.attnotnull,
    ndims: attribute.attndims, identity: like.options & LIKE.identity ? attribute.attidentity : '', generated: like.options & LIKE.generated ? attribute.attgenerated : '',
  }));
}

function likeAttributes(like: LikePlan): { attribute: Relation['attributes'][number]; attnum: number }[] {
  return like.source.attributes.filter((attribute) => !attribute.attisdropped).map((attribute, i) => ({ attribute, attnum: like.firstColumn + i + 1 }));
}

function copyLikeDefaults(context: CommandContext, oid: Oid, like: LikePlan): void {
  for (const { attribute, attnum } of likeAttributes(like)) {
    const generated = attribute.attgenerated !== '';
    if (attribute.attidentity !== '' && like.options & LIKE.identity) {
      const relation = current(context, oid);
      const sequence = columnSequence(context, relation, attribute.attname, [], attribute.atttypid);
      ownSequence(context, sequence.oid, oid, attnum, 'i');
    }
    if (attribute.defaultText === null || !(like.options & (generated ? LIKE.generated : LIKE.defaults))) continue;
    const relation = current(context, oid);
    const expr = context.hooks.analyzeExpressionText(attribute.defaultText, {
      kind: generated ? 'generated column' : 'column default', relation,
      target: { type: attribute.atttypid, typmod: attribute.atttypmod, columnName: attribute.attname },
    }, context.eval);
    storeDefault(context, oid, attnum, attribute.defaultText, expr, generated);
  }
}

async function copyLikeRest(context: CommandContext, oid: Oid, like: LikePlan): Promise<void> {
  const { source } = like;
  if (like.options & LIKE.constraints) {
    for (const constraint of source.constraints) {
      if (constraint.contype !== 'c') continue;
      await addConstraint(context, current(context, oid), {
        contype: 'CONSTR_CHECK', conname: constraint.conname, raw_expr: parseExpression(constraint.expressionText!), initially_valid: true, is_no_inherit: constraint.connoinherit,
      }, null, true);
    }
  }
  if (like.options & LIKE.indexes) {
    for (const index of source.indexes) await copyIndex(context, oid, source, index);
  }
  if (like.options & LIKE.statistics) copyStatistics(context, source, current(context, oid), (attnum) => likeAttributes(like).find(({ attribute }) => attribute.attnum === attnum)!.attnum, (like.options & LIKE.comments) !== 0);
  if (like.options & LIKE.comments) {
    for (const { attribute, attnum } of likeAttributes(like)) {
      const comment = context.catalog.comment(ClassOid.pg_class, source.oid, attribute.attnum);
      if (comment !== undefined) setComment(context, ClassOid.pg_class, oid, attnum, comment, false);
    }
  }
}

async function copyIndex(context: CommandContext, oid: Oid, source: Relation, index: Relation['indexes'][number]): Promise<void> {
  const constraint = source.constraints.find((candidate) => candidate.conindid === index.oid && (candidate.contype === 'p' || candidate.contype === 'u'));
  const names = index.keyColumns.map((column) => (column.attnum > 0 ? source.attributes[column.attnum - 1]!.attname : null));
  const included = index.includeColumns.map((attnum) => source.attributes[attnum - 1]!.attname);
  if (constraint) {
    await addConstraint(context, current(context, oid), {
      contype: constraint.contype === 'p' ? 'CONSTR_PRIMARY' : 'CONSTR_UNIQUE', keys: names.map((name) => ({ String: { sval: name! } })),
      including: included.map((name) => ({ String: { sval: name } })), deferrable: constraint.condeferrable, initdeferred: constraint.condeferred,
      nulls_not_distinct: index.nullsNotDistinct,
    }, null, true);
    return;
  }
  const element = (name: string): Node => ({ IndexElem: { name, ordering: 'SORTBY_DEFAULT', nulls_ordering: 'SORTBY_NULLS_DEFAULT' } });
  await defineIndex(context, current(context, oid), {
    name: null, constraint: null, deferrable: false, initiallyDeferred: false,
    statement: {
      accessMethod: index.accessMethod === HASH_AM ? 'hash' : isLearned(index) ? LEARNED_NAME : 'btree', unique: index.unique, nulls_not_distinct: index.nullsNotDistinct,
      indexParams: index.keyColumns.map((column, i): Node => ({
        IndexElem: {
          ...(names[i] !== null ? { name: names[i]! } : { expr: parseExpression(column.expressionText!) }),
          ordering: column.descending ? 'SORTBY_DESC' : 'SORTBY_DEFAULT',
          nulls_ordering: column.nullsFirst === column.descending ? 'SORTBY_NULLS_DEFAULT' : column.nullsFirst ? 'SORTBY_NULLS_FIRST' : 'SORTBY_NULLS_LAST',
          opclass: [{ String: { sval: context.catalog.opclass(column.opclass)!.opcname } }],
        },
      })),
      indexIncludingParams: included.map(element),
      whereClause: index.predicateText === null ? undefined : parseExpression(index.predicateText),
      options: index.options.map((text): Node => ({ DefElem: { defname: text.slice(0, text.indexOf('=')), arg: { String: { sval: text.slice(text.indexOf('=') + 1) } } } })),
    },
  });
}
