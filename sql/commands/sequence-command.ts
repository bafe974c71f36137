/** CREATE and ALTER SEQUENCE, and the sequences behind serial and identity columns. After commands/sequence.c. */
import type { AlterSeqStmt, CreateSeqStmt, DefElem, Node, TypeName } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import type { StorageId } from '../../engine/ids.js';
import { resolveTypeName } from '../analyzer/names.js';
import { sequenceParameters, sequenceState, type SequenceParameters } from '../access/sequence.js';
import type { Oid } from '../catalog/catalog.js';
import { ClassOid } from '../catalog/class-oids.js';
import { address, deleteDependenciesOf, recordDependency } from '../catalog/dependency.js';
import { int8FromBigInt, type Datum } from '../types/datum.js';
import type { CommandContext } from './command.js';
import { findColumn } from './constraints.js';
import {
  checkOwner, creationNamespace, currentUser, nameEnvironment, nameList, openRelation, openRelationIfExists, qualifiedName, rangeOf, relationExists, reserveRelationName,
} from './names.js';
import { addRelation, newStorage, updateClass } from './relation-rows.js';

const LIMITS: Readonly<Record<number, readonly [bigint, bigint, string]>> = {
  21: [-32768n, 32767n, 'smallint'], 23: [-2147483648n, 2147483647n, 'integer'], 20: [-9223372036854775808n, 9223372036854775807n, 'bigint'],
};

const SEQUENCE_COLUMNS = [
  { name: 'last_value', type: 20, typmod: -1, collation: 0, notNull: true },
  { name: 'log_cnt', type: 20, typmod: -1, collation: 0, notNull: true },
  { name: 'is_called', type: 16, typmod: -1, collation: 0, notNull: true },
];

interface SequenceOptions {
  parameters: SequenceParameters;
  /** Owning column as written: null without OWNED BY, [] for NONE. */
  ownedBy: string[] | null;
  /** Restart at this value; undefined: no RESTART. */
  restart: bigint | undefined;
  /** Changed such that the current value must be checked. */
  touched: boolean;
}

function elements(options: readonly Node[] | readonly DefElem[] | undefined): DefElem[] {
  return (options ?? []).map((node) => ((node as { DefElem?: DefElem }).DefElem ?? (node as DefElem)));
}

/** The integer of an option. The grammar's JSON loses the sign of negative ones: then the text has it. */
function integer(context: CommandContext, element: DefElem): bigint {
  const node = element.arg as { Integer?: { ival?: number }; Float?: { fval?: string } } | undefined;
  if (node?.Float) return BigInt(node.Float.fval ?? '0');
  const value = node?.Integer?.ival;
  if (value !== undefined) return BigInt(value);
  const text = context.source.slice(element.location ?? 0, (element.location ?? 0) + 200);
  const match = /^\s*\w+(?:\s+(?:BY|WITH))?\s+([+-]?\d+)/i.exec(text);
  return match ? BigInt(match[1]!) : 0n;
}

/** init_params: options over what the sequence has (undefined: a new one). */
function readOptions(context: CommandContext, list: readonly DefElem[], before: SequenceParameters | undefined, fixedType: Oid | null): SequenceOptions {
  const found = new Map<string, DefElem>();
  for (const element of list) {
    const name = element.defname ?? '';
    if (found.has(name)) throw new DatabaseError('42601', 'conflicting or redundant options');
    found.set(name, element);
  }
  const asType = found.get('as');
  let typeOid = before?.typeOid ?? fixedType ?? 20;
  let resetMax = false;
  let resetMin = false;
  if (asType) {
    const resolved = resolveTypeName(nameEnvironment(context), (asType.arg as { TypeName: TypeName }).TypeName).type.oid;
    if (fixedType !== null) throw new DatabaseError('42601', 'conflicting or redundant options');
    if (!LIMITS[resolved]) throw new DatabaseError('22023', 'sequence type must be smallint, integer, or bigint');
    if (before) {
      const [oldMin, oldMax] = LIMITS[before.typeOid]!;
      resetMax = before.max === oldMax || (before.increment < 0n && before.max === -1n);
      resetMin = before.min === oldMin || (before.increment > 0n && before.min === 1n);
      if (before.increment < 0n && before.max === -1n) resetMax = false;
      if (before.increment > 0n && before.min === 1n) resetMin = false;
    }
    typeOid = resolved;
  }
  const [typeMin, typeMax, typeName] = LIMITS[typeOid]!;
  const option = (name: string): bigint | undefined => {
    const element = found.get(name);
    return element?.arg ? integer(context, element) : undefined;
  };
  const increment = option('increment') ?? before?.increment ?? 1n;
  if (increment === 0n) throw new DatabaseError('22023', 'INCREMENT must not be zero');
  const cycleElement = found.get('cycle');
  const cycle = cycleElement ? ((cycleElement.arg as { Boolean?: { boolval?: boolean } } | undefined)?.Boolean?.boolval ?? false) : (before?.cycle ?? false);
  let max = option('maxvalue');
  if (max === undefined) max = before && !found.has('maxvalue') && !resetMax ? before.max : increment > 0n ? typeMax : -1n;
  if (max < typeMin || max > typeMax) throw new DatabaseError('22023', `MAXVALUE (${max}) is out of range for sequence data type ${typeName}`);
  let min = option('minvalue');
  if (min === undefined) min = before && !found.has('minvalue') && !resetMin ? before.min : increment > 0n ? 1n : typeMin;
  if (min < typeMin || min > typeMax) throw new DatabaseError('22023', `MINVALUE (${min}) is out of range for sequence data type ${typeName}`);
  if (min >= max) throw new DatabaseError('22023', `MINVALUE (${min}) must be less than MAXVALUE (${max})`);
  const start = option('start') ?? before?.start ?? (increment > 0n ? min : max);
  if (start < min) throw new DatabaseError('22023', `START value (${start}) cannot be less than MINVALUE (${min})`);
  if (start > max) throw new DatabaseError('22023', `START value (${start}) cannot be greater than MAXVALUE (${max})`);
  const cache = option('cache') ?? before?.cache ?? 1n;
  if (cache <= 0n) throw new DatabaseError('22023', `CACHE (${cache}) must be greater than zero`);
  let restart: bigint | undefined;
  if (found.has('restart')) {
    restart = option('restart') ?? start;
    if (restart < min) throw new DatabaseError('22023', `RESTART value (${restart}) cannot be less than MINVALUE (${min})`);
    if (restart > max) throw new DatabaseError('22023', `RESTART value (${restart}) cannot be greater than MAXVALUE (${max})`);
  }
  const owned = found.get('owned_by');
  return {
    parameters: { typeOid, start, increment, max, min, cache, cycle },
    ownedBy: owned ? ownerNames(owned) : null,
    restart,
    touched: ['increment', 'maxvalue', 'minvalue', 'cycle', 'cache', 'as', 'start'].some((name) => found.has(name)),
  };
}

function ownerNames(element: DefElem): string[] {
  const names = nameList(element.arg);
  return names.length === 1 && names[0] === 'none' ? [] : names;
}

function pgSequence(parameters: SequenceParameters): Record<string, Datum> {
  return {
    seqtypid: parameters.typeOid, seqstart: int8FromBigInt(parameters.start), seqincrement: int8FromBigInt(parameters.increment),
    seqmax: int8FromBigInt(parameters.max), seqmin: int8FromBigInt(parameters.min), seqcache: int8FromBigInt(parameters.cache), seqcycle: parameters.cycle,
  };
}

export interface NewSequence {
  name: string; namespace: Oid; persistence: 'p' | 'u' | 't'; owner: Oid; options: readonly DefElem[];
  /** Type of a serial or identity column. */
  fixedType: Oid | null;
}

/** Adds a sequence and its state; returns its OID and the OWNED BY option. */
export function addSequence(context: CommandContext, sequence: NewSequence): { oid: Oid; ownedBy: string[] | null } {
  const { parameters, ownedBy, restart } = readOptions(context, sequence.options, undefined, sequence.fixedType);
  const storage = newStorage(context, sequence.persistence);
  const oid = addRelation(context, {
    name: sequence.name, namespace: sequence.namespace, kind: 'S', persistence: sequence.persistence, owner: sequence.owner, columns: SEQUENCE_COLUMNS,
    storage, accessMethod: 0, withRowType: false,
  });
  context.changes.insert('pg_sequence', { seqrelid: oid, ...pgSequence(parameters) });
  setState(context, storage, restart ?? parameters.start, false);
  return { oid, ownedBy };
}

function setState(context: CommandContext, storage: StorageId, lastValue: bigint, isCalled: boolean): void {
  const lsn = context.eval.storage.sequences.set(storage, { lastValue, isCalled, logCount: 0 }, { log: true });
  if (lsn) context.transaction.raiseFloor(lsn);
}

/** Makes the sequence part of a column: OWNED BY ('a') or identity ('i'). */
export function ownSequence(context: CommandContext, sequence: Oid, relation: Oid, attnum: number, kind: 'a' | 'i'): void {
  disownSequence(context, sequence);
  recordDependency(context.changes, address(ClassOid.pg_class, sequence), address(ClassOid.pg_class, relation, attnum), kind);
}

function disownSequence(context: CommandContext, sequence: Oid): void {
  deleteDependenciesOf(context.changes, address(ClassOid.pg_class, sequence), (dependency) => dependency.referenced.classId === ClassOid.pg_class && dependency.referenced.subId > 0);
}

async function applyOwnedBy(context: CommandContext, sequence: Oid, names: readonly string[]): Promise<void> {
  const relation = context.catalog.relation(sequence)!;
  if (context.catalog.rows.rows('pg_depend', 'classid,objid', ClassOid.pg_class, sequence).some((row) => row[6] === 'i')) {
    throw new DatabaseError('0A000', 'cannot change ownership of identity sequence');
  }
  if (names.length === 0) return disownSequence(context, sequence);
  if (names.length === 1) throw new DatabaseError('42601', 'invalid OWNED BY option', { hint: 'Specify OWNED BY table.column or OWNED BY NONE.' });
  const table = await openRelation(context, rangeOf(names.slice(0, -1)), 'AccessShareLock');
  if (table.relowner !== relation.relowner) throw new DatabaseError('55000', 'sequence must have same owner as table it is linked to');
  if (table.relnamespace !== relation.relnamespace) throw new DatabaseError('55000', 'sequence must be in same schema as table it is linked to');
  const column = findColumn(table, names.at(-1)!);
  if (!column) throw new DatabaseError('42703', `column "${names.at(-1)}" of relation "${table.relname}" does not exist`);
  ownSequence(context, sequence, table.oid, column.attnum, 'a');
}

export async function createSequence(statement: CreateSeqStmt, context: CommandContext): Promise<string> {
  const range = statement.sequence!;
  const namespace = await creationNamespace(context, range);
  await reserveRelationName(context, namespace.oid, range.relname!);
  if (relationExists(context, namespace.oid, range.relname!, statement.if_not_exists ?? false)) return 'CREATE SEQUENCE';
  const { oid, ownedBy } = addSequence(context, {
    name: range.relname!, namespace: namespace.oid, persistence: namespace.temporary ? 't' : range.relpersistence === 'u' ? 'u' : 'p',
    owner: currentUser(context).oid, options: elements(statement.options as Node[]), fixedType: null,
  });
  if (ownedBy) await applyOwnedBy(context, oid, ownedBy);
  return 'CREATE SEQUENCE';
}

export async function alterSequence(statement: AlterSeqStmt, context: CommandContext): Promise<string> {
  const range = statement.sequence!;
  const relation = await openRelationIfExists(context, range, 'ShareRowExclusiveLock');
  if (!relation) {
    if (!statement.missing_ok) throw new DatabaseError('42P01', `relation "${qualifiedName(range)}" does not exist`);
    context.notice('NOTICE', `relation "${qualifiedName(range)}" does not exist, skipping`);
    return 'ALTER SEQUENCE';
  }
  if (relation.relkind !== 'S') throw new DatabaseError('42809', `"${relation.relname}" is not a sequence`);
  checkOwner(context, relation);
  await changeSequence(context, relation.oid, elements(statement.options as Node[]));
  return 'ALTER SEQUENCE';
}

/** Applies options to an existing sequence. A new state is a new storage, so that it rolls back. */
export async function changeSequence(context: CommandContext, oid: Oid, options: readonly DefElem[]): Promise<void> {
  const relation = context.catalog.relation(oid)!;
  const before = sequenceParameters(context.catalog, oid)!;
  const changed = readOptions(context, options, before, null);
  const entry = context.catalog.rows.find('pg_sequence', 'seqrelid', oid)[0]!;
  context.changes.update('pg_sequence', entry, pgSequence(changed.parameters));
  const state = sequenceState(context.eval, relation, before);
  const last = changed.restart ?? state.lastValue;
  const { min, max } = changed.parameters;
  if (changed.restart === undefined) {
    if (last < min) throw new DatabaseError('22023', `RESTART value (${last}) cannot be less than MINVALUE (${min})`);
    if (last > max) throw new DatabaseError('22023', `RESTART value (${last}) cannot be greater than MAXVALUE (${max})`);
  }
  if (changed.restart !== undefined || changed.touched) {
    const storage = newStorage(context, relation.relpersistence);
    setState(context, storage, last, changed.restart === undefined ? state.isCalled : false);
    context.transaction.dropStorage(relation.storage);
    updateClass(context, oid, { relfilenode: storage });
  }
  if (changed.ownedBy) await applyOwnedBy(context, oid, changed.ownedBy);
}

/** TRUNCATE ... RESTART IDENTITY. */
export function restartSequence(context: CommandContext, oid: Oid): void {
  const relation = context.catalog.relation(oid)!;
  const storage = newStorage(context, relation.relpersistence);
  setState(context, storage, sequenceParameters(context.catalog, oid)!.start, false);
  context.transaction.dropStorage(relation.storage);
  updateClass(context, oid, { relfilenode: storage });
}

/** Sequences that belong to a table's columns (serial and identity). */
export function ownedSequences(context: CommandContext, relation: Oid, attnum?: number): Oid[] {
  return context.catalog.rows.rows('pg_depend', 'refclassid,refobjid', ClassOid.pg_class, relation)
    .filter((row) => row[0] === ClassOid.pg_class && (row[5] as number) > 0 && (attnum === undefined || row[5] === attnum) && (row[6] === 'a' || row[6] === 'i'))
    .map((row) => row[1] as Oid)
    .filter((oid) => context.catalog.rows.one('pg_class', 'oid', oid)?.[16] === 'S');
}
