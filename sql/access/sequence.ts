/**
 * Sequences: nextval, currval, setval, lastval. Values live outside transactions in the engine's
 * SequenceStore; pg_sequence holds the parameters. As in PostgreSQL 32 values are logged ahead, so
 * that a crash may skip values but never repeats one.
 */
import { DatabaseError } from '../../engine/errors.js';
import type { StorageId } from '../../engine/ids.js';
import type { SequenceState } from '../../engine/storage.js';
import type { Catalog, Relation } from '../catalog/catalog.js';
import type { CatalogView } from '../catalog/catalog-view.js';
import type { EvalContext } from '../functions/context.js';
import type { Int8 } from '../types/datum.js';
import { int8FromBigInt } from '../types/datum.js';

export interface SequenceParameters {
  readonly typeOid: number;
  readonly start: bigint;
  readonly increment: bigint;
  readonly max: bigint;
  readonly min: bigint;
  readonly cache: bigint;
  readonly cycle: boolean;
}

/** Values handed out beyond what was asked for before the next log record (SEQ_LOG_VALS). */
const LOG_AHEAD = 32n;

/** What a session remembers of a sequence. */
interface SessionSequence {
  storage: StorageId;
  last: bigint;
  /** Last of the values that this session has cached. */
  cached: bigint;
  hasLast: boolean;
}

interface SessionSequences {
  byOid: Map<number, SessionSequence>;
  lastUsed: number;
}

function sessionSequences(context: EvalContext): SessionSequences {
  return context.session.state('sequences', () => ({ byOid: new Map<number, SessionSequence>(), lastUsed: 0 }));
}

/** pg_sequence's row of a sequence. */
export function sequenceParameters(catalog: Catalog, oid: number): SequenceParameters | undefined {
  const row = (catalog as CatalogView).rows.one('pg_sequence', 'seqrelid', oid);
  if (!row) return undefined;
  const [, typeOid, start, increment, max, min, cache, cycle] = row;
  return {
    typeOid: typeOid as number, start: BigInt(start as Int8), increment: BigInt(increment as Int8), max: BigInt(max as Int8),
    min: BigInt(min as Int8), cache: BigInt(cache as Int8), cycle: cycle as boolean,
  };
}

/** Current state (in the past: the state then, as logged): as stored, or not yet called at its start. */
export function sequenceState(context: Pick<EvalContext, 'storage' | 'transaction'>, relation: Relation, parameters: SequenceParameters): SequenceState {
  const { asOf } = context.transaction;
  const { sequences } = context.storage;
  return (asOf === undefined ? sequences.get(relation.storage) : sequences.getAt(relation.storage, asOf)) ?? { lastValue: parameters.start, isCalled: false, logCount: 0 };
}

function openSequence(context: EvalContext, oid: number): { relation: Relation; parameters: SequenceParameters } {
  const relation = context.catalog.relation(oid);
  if (!relation) throw new DatabaseError('42P01', `could not open relation with OID ${oid}`);
  const parameters = relation.relkind === 'S' ? sequenceParameters(context.catalog, oid) : undefined;
  if (!parameters) throw new DatabaseError('42809', `"${relation.relname}" is not a sequence`);
  return { relation, parameters };
}

function refuseReadOnly(context: EvalContext, what: string): void {
  if (context.transaction.readOnly) throw new DatabaseError('25006', `cannot execute ${what} in a read-only transaction`);
}

/** nextval by OID. Privileges are the caller's concern. */
export function nextval(context: EvalContext, oid: number): Int8 {
  const { relation, parameters } = openSequence(context, oid);
  if (relation.relpersistence !== 't') refuseReadOnly(context, 'nextval()');
  const sequences = sessionSequences(context);
  let session = sequences.byOid.get(oid);
  if (!session) sequences.byOid.set(oid, (session = { storage: relation.storage, last: 0n, cached: 0n, hasLast: false }));
  if (session.storage !== relation.storage) {
    session.storage = relation.storage;
    session.cached = session.last;
  }
  sequences.lastUsed = oid;
  if (session.hasLast && session.last !== session.cached) {
    session.last += parameters.increment;
    return int8FromBigInt(session.last);
  }
  const state = sequenceState(context, relation, parameters);
  const { increment, max, min, cache, cycle } = parameters;
  let next = state.lastValue;
  let result = next;
  let last = next;
  let fetch = cache;
  let fetched = 0n;
  let log = BigInt(state.logCount);
  if (!state.isCalled) {
    fetched = 1n;
    fetch -= 1n;
  }
  let logIt = false;
  if (log < fetch || !state.isCalled) {
    fetch = log = fetch + LOG_AHEAD;
    logIt = true;
  }
  while (fetch > 0n) {
    const beyond = increment > 0n ? next > max - increment : next < min - increment;
    if (beyond) {
      if (fetched > 0n) break;
      if (!cycle) {
        const limit = increment > 0n ? max : min;
        throw new DatabaseError('2200H', `nextval: reached ${increment > 0n ? 'maximum' : 'minimum'} value of sequence "${relation.relname}" (${limit})`);
      }
      next = increment > 0n ? min : max;
    } else {
      next += increment;
    }
    fetch -= 1n;
    if (fetched < cache) {
      log -= 1n;
      fetched += 1n;
      last = next;
      if (fetched === 1n) result = next;
    }
  }
  log -= fetch;
  const lsn = context.storage.sequences.set(relation.storage, { lastValue: last, isCalled: true, logCount: Number(log) },
    logIt ? { log: true, logged: { lastValue: next, isCalled: true, logCount: 0 } } : { log: false });
  if (lsn) context.transaction.raiseFloor(lsn);
  session.last = result;
  session.cached = last;
  session.hasLast = true;
  return int8FromBigInt(result);
}

export function currval(context: EvalContext, oid: number): Int8 {
  const { relation } = openSequence(context, oid);
  const session = sessionSequences(context).byOid.get(oid);
  if (!session?.hasLast) throw new DatabaseError('55000', `currval of sequence "${relation.relname}" is not yet defined in this session`);
  return int8FromBigInt(session.last);
}

/** The value that nextval last returned in this session, and its sequence. */
export function lastval(context: EvalContext): { oid: number; value: Int8 } {
  const sequences = sessionSequences(context);
  const session = sequences.byOid.get(sequences.lastUsed);
  if (!session || !context.catalog.relation(sequences.lastUsed)) throw new DatabaseError('55000', 'lastval is not yet defined in this session');
  return { oid: sequences.lastUsed, value: int8FromBigInt(session.last) };
}

export function setval(context: EvalContext, oid: number, value: Int8, isCalled: boolean): Int8 {
  const { relation, parameters } = openSequence(context, oid);
  if (relation.relpersistence !== 't') refuseReadOnly(context, 'setval()');
  const next = BigInt(value);
  if (next < parameters.min || next > parameters.max) {
    throw new DatabaseError('22003', `setval: value ${next} is out of bounds for sequence "${relation.relname}" (${parameters.min}..${parameters.max})`);
  }
  const lsn = context.storage.sequences.set(relation.storage, { lastValue: next, isCalled, logCount: 0 }, { log: true });
  if (lsn) context.transaction.raiseFloor(lsn);
  const sequences = sessionSequences(context);
  let session = sequences.byOid.get(oid);
  if (!session) sequences.byOid.set(oid, (session = { storage: relation.storage, last: 0n, cached: 0n, hasLast: false }));
  session.storage = relation.storage;
  if (isCalled) {
    session.last = next;
    session.hasLast = true;
  }
  session.cached = session.last;
  return value;
}

/** DISCARD SEQUENCES */
export function forgetSequences(context: EvalContext): void {
  const sequences = sessionSequences(context);
  sequences.byOid.clear();
  sequences.lastUsed = 0;
}

/** The single row of `SELECT * FROM sequence`: last_value, log_cnt, is_called. */
export function sequenceRow(context: Pick<EvalContext, 'storage' | 'transaction' | 'catalog'>, relation: Relation): [Int8, number, boolean] {
  const state = sequenceState(context, relation, sequenceParameters(context.catalog, relation.oid)!);
  return [int8FromBigInt(state.lastValue), state.logCount, state.isCalled];
}
