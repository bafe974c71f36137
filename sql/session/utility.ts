/**
 * Statements without a plan of their own. Those about the session stand in the table below; all
 * others are commands of sql/commands.
 */
import type { Node } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { commandContext, type CommandContext } from '../commands/command.js';
import { executeCommand } from '../commands/registry.js';
import type { ResultColumn, RowSource } from '../executor/row-source.js';
import type { Datum } from '../types/datum.js';
import { commandHooks } from './command-hooks.js';
import { copyStatement } from './copy-statement.js';
import { closeCursor, declareCursor, describeFetch, fetchCursor } from './cursors.js';
import { describeExplain, explainStatement } from './explain-statement.js';
import { deallocate, describeExecute, executePrepared, prepareNamed } from './prepare-statement.js';
import type { PreparedStatement } from './prepared.js';
import type { Session } from './session.js';
import { describeShow, discard, setStatement, showStatement, setConstraints } from './set-statement.js';

export interface UtilityResult {
  tag(rows: number): string;
  readonly rows?: RowSource;
}

interface Handler {
  /** The node is what the parse tree has under its tag. */
  run(session: Session, node: never, statement: PreparedStatement, params: readonly Datum[]): Promise<UtilityResult> | UtilityResult;
  /** Result columns for Describe; absent: none. */
  describe?(session: Session, node: never, statement: PreparedStatement): readonly ResultColumn[] | null;
}

export function tagged(tag: string): UtilityResult {
  return { tag: () => tag };
}

const HANDLERS: Readonly<Record<string, Handler>> = {
  VariableSetStmt: { run: setStatement },
  VariableShowStmt: { run: showStatement, describe: describeShow },
  DiscardStmt: { run: discard },
  ConstraintsSetStmt: { run: setConstraints },
  PrepareStmt: { run: prepareNamed },
  ExecuteStmt: { run: executePrepared, describe: describeExecute },
  DeallocateStmt: { run: deallocate },
  DeclareCursorStmt: { run: declareCursor },
  FetchStmt: { run: fetchCursor, describe: describeFetch },
  ClosePortalStmt: { run: closeCursor },
  ExplainStmt: { run: explainStatement, describe: describeExplain },
  CopyStmt: { run: copyStatement },
  MergeStmt: { run: () => { throw notSupported('MERGE'); } },
  DoStmt: { run: () => { throw notSupported('DO'); } },
  CallStmt: { run: () => { throw notSupported('CALL'); } },
  ListenStmt: { run: (session, node: { conditionname?: string }) => {
    session.notifications.listen(node.conditionname ?? '', session.engineTransaction.currentSub);
    return tagged('LISTEN');
  } },
  UnlistenStmt: { run: (session, node: { conditionname?: string }) => {
    session.notifications.unlisten(node.conditionname ?? null, session.engineTransaction.currentSub);
    return tagged('UNLISTEN');
  } },
  NotifyStmt: { run: (session, node: { conditionname?: string; payload?: string }) => {
    session.notifications.notify(node.conditionname ?? '', node.payload ?? '', session.engineTransaction.currentSub);
    return tagged('NOTIFY');
  } },
};

export async function runUtility(session: Session, statement: PreparedStatement, params: readonly Datum[]): Promise<UtilityResult> {
  const node = (statement.node as unknown as Record<string, unknown>)[statement.tag];
  const handler = HANDLERS[statement.tag];
  if (handler) return handler.run(session, node as never, statement, params);
  const tag = await executeCommand(statement.node as Node, makeCommandContext(session, statement));
  return { tag: (rows) => (tag.includes('%') ? tag.replace('%', String(rows)) : tag) };
}

export function describeUtility(session: Session, statement: PreparedStatement): readonly ResultColumn[] | null {
  const node = (statement.node as unknown as Record<string, unknown>)[statement.tag];
  return HANDLERS[statement.tag]?.describe?.(session, node as never, statement) ?? null;
}

export function makeCommandContext(session: Session, statement: PreparedStatement): CommandContext {
  return commandContext({
    eval: session.context,
    changes: session.transaction.changes,
    hooks: commandHooks(session),
    source: statement.source,
    statementText: statement.text,
    inTransactionBlock: session.transaction.status === 'block' || session.inMultiStatementMessage,
    wait: (pending) => session.wait(pending),
    setConstraints: () => {
      throw new DatabaseError('XX000', 'SET CONSTRAINTS is a session command');
    },
    otherSessions: (databaseOid) => session.cluster.backends.list().filter((backend) => backend.databaseOid === databaseOid && backend.pid !== session.pid).length,
  });
}
