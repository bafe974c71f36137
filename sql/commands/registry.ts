/**
 * All utility statements by their AST tag: the one list. `executeCommand` runs one; `writesData` says
 * what a read-only transaction refuses. SELECT INTO arrives as a SelectStmt with an intoClause.
 */
import type { Node } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { alterTable } from './alter-table.js';
import type { Command, CommandContext } from './command.js';
import { commentOn } from './comment.js';
import { createTable } from './create-table.js';
import { createTableAs, refreshMaterializedView, selectInto } from './create-table-as.js';
import { alterDatabase, createDatabase, dropDatabase } from './database-command.js';
import { drop } from './drop.js';
import { alterDefaultPrivileges, grant } from './grant.js';
import { createIndex, reindex } from './index-command.js';
import { lockTable, setConstraints } from './lock-table.js';
import { alterOwner } from './owner.js';
import { rename, setSchema } from './rename.js';
import {
  alterDatabaseSet, alterRole, alterRoleSet, createRole, dropOwned, dropRole, grantRole, reassignOwned,
} from './role-command.js';
import { createSchema } from './schema-command.js';
import { alterSequence, createSequence } from './sequence-command.js';
import { alterStatistics, createStatistics } from './statistics-command.js';
import { truncate } from './truncate.js';
import { alterDomain, alterEnum, createComposite, createDomain, createEnum } from './type-command.js';
import { checkpoint, vacuum } from './vacuum.js';
import { createView } from './view-command.js';

interface Entry {
  readonly run: Command<never>;
  /** As in "cannot execute CREATE TABLE in a read-only transaction"; null: allowed there. */
  readonly readOnlyName: string | null;
}

const entry = (readOnlyName: string | null, run: Command<never>): Entry => ({ run, readOnlyName });

const DROP_NAMES: Readonly<Record<string, string>> = { OBJECT_MATVIEW: 'MATERIALIZED VIEW' };

const COMMANDS: Readonly<Record<string, Entry>> = {
  CreateStmt: entry('CREATE TABLE', createTable),
  CreateTableAsStmt: entry('CREATE TABLE AS', createTableAs),
  SelectStmt: entry('SELECT INTO', selectInto),
  RefreshMatViewStmt: entry('REFRESH MATERIALIZED VIEW', refreshMaterializedView),
  AlterTableStmt: entry('ALTER TABLE', alterTable),
  DropStmt: entry('DROP', drop),
  TruncateStmt: entry('TRUNCATE TABLE', truncate),
  IndexStmt: entry('CREATE INDEX', createIndex),
  ReindexStmt: entry('REINDEX', reindex),
  CreateStatsStmt: entry('CREATE STATISTICS', createStatistics),
  AlterStatsStmt: entry('ALTER STATISTICS', alterStatistics),
  CreateSchemaStmt: entry('CREATE SCHEMA', ((statement, context) => createSchema(statement, context, executeCommand)) as Command<never>),
  CreateSeqStmt: entry('CREATE SEQUENCE', createSequence),
  AlterSeqStmt: entry('ALTER SEQUENCE', alterSequence),
  ViewStmt: entry('CREATE VIEW', createView),
  RenameStmt: entry('ALTER', rename),
  AlterObjectSchemaStmt: entry('ALTER', setSchema),
  AlterOwnerStmt: entry('ALTER', alterOwner),
  CommentStmt: entry('COMMENT', commentOn),
  CreatedbStmt: entry('CREATE DATABASE', createDatabase),
  DropdbStmt: entry('DROP DATABASE', dropDatabase),
  AlterDatabaseStmt: entry('ALTER DATABASE', alterDatabase),
  AlterDatabaseSetStmt: entry('ALTER DATABASE', alterDatabaseSet),
  CreateRoleStmt: entry('CREATE ROLE', createRole),
  AlterRoleStmt: entry('ALTER ROLE', alterRole),
  AlterRoleSetStmt: entry('ALTER ROLE', alterRoleSet),
  DropRoleStmt: entry('DROP ROLE', dropRole),
  GrantRoleStmt: entry('GRANT ROLE', grantRole),
  GrantStmt: entry('GRANT', grant),
  AlterDefaultPrivilegesStmt: entry('ALTER DEFAULT PRIVILEGES', alterDefaultPrivileges),
  ReassignOwnedStmt: entry('REASSIGN OWNED', reassignOwned),
  DropOwnedStmt: entry('DROP OWNED', dropOwned),
  CreateEnumStmt: entry('CREATE TYPE', createEnum),
  AlterEnumStmt: entry('ALTER TYPE', alterEnum),
  CompositeTypeStmt: entry('CREATE TYPE', createComposite),
  CreateDomainStmt: entry('CREATE DOMAIN', createDomain),
  AlterDomainStmt: entry('ALTER DOMAIN', alterDomain),
  VacuumStmt: entry(null, vacuum),
  CheckPointStmt: entry(null, ((_statement, context) => checkpoint(context)) as Command<never>),
  LockStmt: entry(null, lockTable),
  ConstraintsSetStmt: entry(null, setConstraints),
  CreateExtensionStmt: entry('CREATE EXTENSION', createExtension),
};

/** Is this a statement that `executeCommand` runs? */
export function isCommand(node: Node): boolean {
  const [tag] = Object.keys(node);
  if (tag === 'SelectStmt') return (node as { SelectStmt: { intoClause?: unknown } }).SelectStmt.intoClause !== undefined;
  return tag !== undefined && tag in COMMANDS;
}

/** Does it take part in a transaction only when it changes something? False: allowed in a read-only transaction. */
export function changesCatalog(node: Node): boolean {
  const [tag] = Object.keys(node);
  return COMMANDS[tag!]?.readOnlyName !== null && tag! in COMMANDS;
}

/** Runs one utility statement; returns its command tag. */
export async function executeCommand(node: Node, context: CommandContext): Promise<string> {
  const [tag] = Object.keys(node);
  const found = COMMANDS[tag!];
  if (!found) throw notSupported(statementName(tag!));
  if (context.transaction.readOnly && found.readOnlyName !== null) {
    throw new DatabaseError('25006', `cannot execute ${readOnlyName(tag!, node, found.readOnlyName)} in a read-only transaction`);
  }
  const statement = (node as unknown as Record<string, never>)[tag!]!;
  const result = await found.run(statement, context);
  context.transaction.advanceCommand();
  return result;
}

const SPELLINGS: Readonly<Record<string, string>> = {
  CreateTrigStmt: 'CREATE TRIGGER', RuleStmt: 'CREATE RULE', CreateTableSpaceStmt: 'CREATE TABLESPACE', SecLabelStmt: 'SECURITY LABEL',
  CreateFdwStmt: 'CREATE FOREIGN DATA WRAPPER', CreatePLangStmt: 'CREATE LANGUAGE', DefineStmt: 'this CREATE statement', CreateRangeStmt: 'CREATE TYPE AS RANGE', CreateAmStmt: 'CREATE ACCESS METHOD',
};

/** CreatePolicyStmt -> CREATE POLICY */
function statementName(tag: string): string {
  return SPELLINGS[tag] ?? tag.replace(/Stmt$/, '').replace(/([a-z])([A-Z])/g, '$1 $2').toUpperCase();
}

function readOnlyName(tag: string, node: Node, name: string): string {
  if (tag === 'DropStmt') {
    const type = (node as { DropStmt: { removeType?: string } }).DropStmt.removeType ?? '';
    return `DROP ${DROP_NAMES[type] ?? type.replace('OBJECT_', '')}`;
  }
  if (name === 'ALTER') {
    const body = Object.values(node)[0] as { renameType?: string; objectType?: string };
    return `ALTER ${(body.renameType ?? body.objectType ?? '').replace('OBJECT_', '').replace('COLUMN', 'TABLE').replace('TABCONSTRAINT', 'TABLE')}`;
  }
  return name;
}

function createExtension(statement: { extname?: string; if_not_exists?: boolean }, context: CommandContext): string {
  const name = statement.extname!;
  if (!context.catalog.rows.one('pg_extension', 'extname', name)) {
    throw new DatabaseError('0A000', `extension "${name}" is not available`, { detail: 'Oxbow does not load extensions.' });
  }
  if (!statement.if_not_exists) throw new DatabaseError('42710', `extension "${name}" already exists`);
  context.notice('NOTICE', `extension "${name}" already exists, skipping`, { sqlstate: '42710' });
  return 'CREATE EXTENSION';
}
