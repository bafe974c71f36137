/** SET, RESET, SHOW, DISCARD, SET CONSTRAINTS. */
import type { Node, VariableSetStmt } from '@pgsql/types';
import { DatabaseError, notSupported } from '../../engine/errors.js';
import type { ResultColumn } from '../executor/row-source.js';
import { constraintQueue } from '../executor/constraints/queue.js';
import { startDueConstraints } from '../executor/execute.js';
import { ArrayRows, textColumn } from './array-rows.js';
import type { Session } from './session.js';
import { settingDefinition } from './settings-table.js';
import { transactionModes } from './transaction-statement.js';
import { tagged, type UtilityResult } from './utility.js';

interface ConstantNode { readonly A_Const?: { ival?: { ival?: number }; fval?: { fval?: string }; sval?: { sval?: string }; boolval?: { boolval?: boolean } }; readonly TypeCast?: { arg?: Node; typeName?: { names?: Node[] } } }

/** Text of a SET argument. */
function argumentText(node: Node): string {
  const { A_Const: constant, TypeCast: cast } = node as ConstantNode;
  if (cast) return intervalZone(argumentText(cast.arg as Node));
  if (constant?.sval) return constant.sval.sval ?? '';
  if (constant?.fval) return constant.fval.fval ?? '';
  if (constant?.boolval) return constant.boolval.boolval ? 'on' : 'off';
  return String(constant?.ival?.ival ?? 0);
}

/** SET TIME ZONE INTERVAL '+02:00' HOUR TO MINUTE */
function intervalZone(text: string): string {
  const match = /^([+-]?)(\d+)(?::(\d+))?$/.exec(text.trim());
  if (!match) return text;
  const sign = match[1] === '-' ? '' : '-';
  return `<${match[1] || '+'}${match[2].padStart(2, '0')}${match[3] ? `:${match[3]}` : ''}>${sign}${Number(match[2])}${match[3] ? `:${match[3]}` : ''}`;
}

function quoteListItem(text: string): string {
  return /^[a-z_][a-z0-9_$]*$/.test(text) ? text : `"${text.replaceAll('"', '""')}"`;
}

export function setStatement(session: Session, node: VariableSetStmt): UtilityResult {
  const name = node.name ?? '';
  const local = node.is_local ?? false;
  const superuser = session.currentUser.superuser;
  if (local && session.transaction.status !== 'block') {
    session.notice({ severity: 'WARNING', sqlstate: '25P01', message: node.kind === 'VAR_SET_MULTI' ? 'SET TRANSACTION can only be used in transaction blocks' : 'SET LOCAL can only be used in transaction blocks' });
  }
  switch (node.kind) {
    case 'VAR_SET_VALUE': {
      const args = (node.args ?? []).map(argumentText);
      const value = args.length === 1 && !isListSetting(name) ? args[0] : args.map((arg) => (args.length > 1 || isListSetting(name) ? quoteListItem(arg) : arg)).join(', ');
      setValue(session, name, value, local, superuser);
      return tagged('SET');
    }
    case 'VAR_SET_DEFAULT':
      resetValue(session, name, local, superuser);
      return tagged('SET');
    case 'VAR_SET_CURRENT':
      session.settings.set(name, session.settings.get(name) ?? '', local, superuser);
      return tagged('SET');
    case 'VAR_SET_MULTI':
      if (name === 'TRANSACTION') session.transaction.setModes(transactionModes(node.args));
      else if (name === 'SESSION CHARACTERISTICS') {
        const modes = transactionModes(node.args);
        if (modes.isolation) session.settings.set('default_transaction_isolation', modes.isolation, false, superuser);
        if (modes.readOnly !== undefined) session.settings.set('default_transaction_read_only', modes.readOnly ? 'on' : 'off', false, superuser);
        if (modes.deferrable !== undefined) session.settings.set('default_transaction_deferrable', modes.deferrable ? 'on' : 'off', false, superuser);
      } else if (name === 'TRANSACTION SNAPSHOT') session.transaction.importSnapshot(argumentText((node.args ?? [])[0]!));
      else throw notSupported(`SET ${name}`);
      return tagged('SET');
    case 'VAR_RESET':
      resetValue(session, name, local, superuser);
      return tagged('RESET');
    case 'VAR_RESET_ALL':
      session.settings.resetAll();
      return tagged('RESET');
    default:
      throw notSupported(`SET form ${node.kind}`);
  }
}

function isListSetting(name: string): boolean {
  return settingDefinition(name)?.flags.includes('LIST_INPUT') ?? name === 'search_path';
}

function setValue(session: Session, name: string, value: string, local: boolean, superuser: boolean): void {
  switch (name) {
    case 'role': return setRole(session, value);
    case 'session_authorization': return setSessionAuthorization(session, value);
    case 'transaction_isolation':
      session.transaction.setModes({ isolation: value === 'serializable' ? 'serializable' : value === 'repeatable read' ? 'repeatable read' : 'read committed' });
      return;
    case 'transaction_read_only':
      session.transaction.setModes({ readOnly: ['on', 'true', 'yes', '1'].includes(value.toLowerCase()) });
      return;
    case 'timezone':
      session.settings.set('TimeZone', value.toLowerCase() === 'default' ? session.settings.resetValue('TimeZone') : numericZone(value), local, superuser);
      return;
    case 'oxbow.as_of':
      session.settings.set(name, value, local, superuser);
      session.transaction.momentChanged();
      return;
    default:
      session.settings.set(name, value, local, superuser);
  }
}

/** SET TIME ZONE -7: hours east of UTC. */
function numericZone(value: string): string {
  if (!/^[+-]?\d+(\.\d+)?$/.test(value)) return value;
  const hours = Number(value);
  const whole = Math.trunc(Math.abs(hours));
  const minutes = Math.round((Math.abs(hours) - whole) * 60);
  const clock = `${String(whole).padStart(2, '0')}${minutes ? `:${String(minutes).padStart(2, '0')}` : ''}`;
  return hours === 0 ? '<+00>+0' : hours < 0 ? `<-${clock}>+${clock}` : `<+${clock}>-${clock}`;
}

function resetValue(session: Session, name: string, local: boolean, superuser: boolean): void {
  if (name === 'role') return setRole(session, 'none');
  if (name === 'session_authorization') return setSessionAuthorization(session, null);
  session.settings.reset(name === 'timezone' ? 'TimeZone' : name, local, superuser);
  if (name === 'oxbow.as_of') session.transaction.momentChanged();
}

function setRole(session: Session, name: string): void {
  const previous = session.currentUser;
  if (name.toLowerCase() === 'none') {
    const role = session.catalog.role(session.sessionUser.oid);
    session.currentUser = { ...session.sessionUser, superuser: role?.rolsuper ?? false };
  } else {
    const role = session.catalog.roleNamed(name);
    if (!role) throw new DatabaseError('22023', `role "${name}" does not exist`);
    const own = session.catalog.role(session.sessionUser.oid);
    if (!own?.rolsuper && !session.catalog.isMemberOf(session.sessionUser.oid, role.oid)) throw new DatabaseError('42501', `permission denied to set role "${name}"`);
    session.currentUser = { oid: role.oid, name: role.rolname, superuser: role.rolsuper };
  }
  restoreOnRollback(session, () => (session.currentUser = previous));
  session.settings.setInternal('role', name.toLowerCase() === 'none' ? 'none' : name);
  session.settings.setInternal('is_superuser', session.currentUser.superuser ? 'on' : 'off');
}

function setSessionAuthorization(session: Session, name: string | null): void {
  const previous = { sessionUser: session.sessionUser, currentUser: session.currentUser };
  const role = name === null ? session.catalog.role(session.authenticatedUser) : session.catalog.roleNamed(name);
  if (!role) throw new DatabaseError('22023', `role "${name}" does not exist`);
  if (role.oid !== session.authenticatedUser && !session.catalog.role(session.authenticatedUser)?.rolsuper) throw new DatabaseError('42501', 'permission denied to set session authorization');
  session.sessionUser = { oid: role.oid, name: role.rolname };
  session.currentUser = { oid: role.oid, name: role.rolname, superuser: role.rolsuper };
  restoreOnRollback(session, () => {
    session.sessionUser = previous.sessionUser;
    session.currentUser = previous.currentUser;
  });
  session.settings.setInternal('session_authorization', role.rolname);
  session.settings.setInternal('is_superuser', role.rolsuper ? 'on' : 'off');
}

/** The change of user is undone with the transaction. */
function restoreOnRollback(session: Session, restore: () => void): void {
  const listener = (committed: boolean): void => {
    session.onTransactionEnd.delete(listener);
    if (!committed) restore();
  };
  session.onTransactionEnd.add(listener);
}

interface ShowNode { readonly name?: string }

export function describeShow(session: Session, node: ShowNode): ResultColumn[] {
  const name = node.name ?? '';
  if (name === 'all') return [textColumn('name'), textColumn('setting'), textColumn('description')];
  return [textColumn(settingDefinition(name)?.name ?? name)];
}

export function showStatement(session: Session, node: ShowNode): UtilityResult {
  const name = node.name ?? '';
  const columns = describeShow(session, node);
  if (name === 'all') {
    const rows = [...session.settings.definitions()].filter((d) => !d.flags.includes('NO_SHOW_ALL')).sort((a, b) => (a.name.toLowerCase() < b.name.toLowerCase() ? -1 : 1))
      .map((d) => [d.name, session.settings.get(d.name) ?? '', d.shortDescription]);
    return { tag: () => 'SHOW', rows: new ArrayRows(columns, rows) };
  }
  const value = name === 'session_authorization' ? session.sessionUser.name : session.settings.get(name);
  if (value === undefined) throw new DatabaseError('42704', `unrecognized configuration parameter "${name}"`);
  return { tag: () => 'SHOW', rows: new ArrayRows(columns, [[value]]) };
}

export async function discard(session: Session, node: { target?: string }): Promise<UtilityResult> {
  switch (node.target) {
    case 'DISCARD_ALL':
      if (session.transaction.status === 'block' || session.inMultiStatementMessage) throw new DatabaseError('25001', 'DISCARD ALL cannot run inside a transaction block');
      for (const name of session.portals.names()) session.closePortal(name);
      setSessionAuthorization(session, null);
      session.settings.resetAll();
      session.prepared.clear();
      session.notifications.unlisten(null, session.engineTransaction.currentSub);
      session.engineSession.unlockAllAdvisory();
      session.context.forgetState();
      return tagged('DISCARD ALL');
    case 'DISCARD_PLANS':
      for (const statement of session.prepared.values()) statement.plan = null;
      return tagged('DISCARD PLANS');
    case 'DISCARD_SEQUENCES':
      session.context.forgetState('sequences');
      return tagged('DISCARD SEQUENCES');
    default:
      throw notSupported('DISCARD TEMP');
  }
}

/** SET CONSTRAINTS { ALL | names } { DEFERRED | IMMEDIATE } */
export async function setConstraints(session: Session, node: { constraints?: Node[]; deferred?: boolean }): Promise<UtilityResult> {
  if (session.transaction.status !== 'block') session.notice({ severity: 'WARNING', sqlstate: '25P01', message: 'SET CONSTRAINTS can only be used in transaction blocks' });
  const deferred = node.deferred ?? false;
  const names = (node.constraints ?? []).map((item) => (item as { RangeVar: { schemaname?: string; relname?: string } }).RangeVar);
  const transaction = session.engineTransaction;
  const change = async (constraints: readonly number[] | null): Promise<UtilityResult> => {
    constraintQueue(transaction).setMode(constraints, deferred);
    if (!deferred) await session.drainQuietly(startDueConstraints(transaction, session.context, session.interrupts));
    return tagged('SET CONSTRAINTS');
  };
  if (names.length === 0) return change(null);
  const oids: number[] = [];
  for (const { schemaname, relname } of names) {
    const found = session.catalog.constraintsNamed(relname ?? '').filter((c) => !schemaname || session.catalog.namespace(c.connamespace)?.nspname === schemaname);
    if (found.length === 0) throw new DatabaseError('42704', `constraint "${relname}" does not exist`);
    const deferrable = found.filter((c) => c.condeferrable);
    if (deferrable.length === 0) throw new DatabaseError('42809', `constraint "${relname}" is not deferrable`);
    oids.push(...deferrable.map((c) => c.oid));
  }
  return change(oids);
}
