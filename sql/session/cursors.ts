/**
 * DECLARE, FETCH, MOVE, CLOSE. A SCROLL cursor keeps the rows it has read, so that it can go back; any
 * other goes forward only. WITH HOLD reads what is left when its transaction commits.
 */
import type { DeclareCursorStmt, FetchStmt } from '@pgsql/types';
import { DatabaseError } from '../../engine/errors.js';
import { Pending } from '../../engine/pending.js';
import type { Batch } from '../executor/batch.js';
import { readRow, rowAt } from '../executor/vectors.js';
import type { ResultColumn, RowSource } from '../executor/row-source.js';
import type { Datum } from '../types/datum.js';
import { ArrayRows } from './array-rows.js';
import { closePortal, type Portal } from './portal.js';
import { ensureAnalyzed, type PreparedStatement } from './prepared.js';
import { innerStatement } from './prepare-statement.js';
import type { Session } from './session.js';
import { tagged, type UtilityResult } from './utility.js';

const OPTION = { BINARY: 0x1, SCROLL: 0x2, NO_SCROLL: 0x4, INSENSITIVE: 0x8, HOLD: 0x20 } as const;
/** FETCH ALL and MOVE ALL, as the parser library cuts LONG_MAX. */
const ALL = 2147483647n;

export function declareCursor(session: Session, node: DeclareCursorStmt, outer: PreparedStatement, params: readonly Datum[]): UtilityResult {
  const name = node.portalname ?? '';
  const options = node.options ?? 0;
  const hold = (options & OPTION.HOLD) !== 0;
  if (!hold && session.transaction.status !== 'block' && !session.inMultiStatementMessage) throw new DatabaseError('25P01', 'DECLARE CURSOR can only be used in transaction blocks');
  if (session.portals.has(name)) throw new DatabaseError('42P03', `cursor "${name}" already exists`);
  const statement = innerStatement(outer, node.query!, outer.parameterTypes, false);
  ensureAnalyzed(statement, session.context);
  if (statement.query?.commandType !== 'select') throw new DatabaseError('42601', 'DECLARE CURSOR must specify a SELECT statement');
  const scroll = (options & OPTION.SCROLL) !== 0;
  const portal: Portal = {
    name, statement, params, rows: null, formats: (options & OPTION.BINARY) !== 0 ? [1] : [], source: null, columns: statement.columns, encoder: null, snapshot: null, tag: () => '',
    rowsSent: 0, finished: false, cursor: { scroll, hold, binary: (options & OPTION.BINARY) !== 0, text: outer.text }, buffer: scroll || hold ? [] : null, position: 0,
    createdAt: session.context.statementTimestamp,
  };
  session.runner.startQuery(portal);
  session.portals.set(name, portal);
  if (hold) session.beforeCommit.set(`cursor ${name}`, () => materialize(session, portal));
  return tagged('DECLARE CURSOR');
}

/** A held cursor outlives its transaction with all its rows in memory. */
async function materialize(session: Session, portal: Portal): Promise<void> {
  if (!session.portals.has(portal.name)) return;
  while (!portal.finished) await readMore(session, portal, 1024);
  closePortal(portal);
}

export function describeFetch(session: Session, node: FetchStmt): readonly ResultColumn[] | null {
  return node.ismove ? null : cursor(session, node.portalname ?? '').columns;
}

function cursor(session: Session, name: string): Portal {
  const portal = session.portals.get(name);
  if (!portal) throw new DatabaseError('34000', `cursor "${name}" does not exist`);
  return portal;
}

/** Reads up to `count` more rows from the running query, into the buffer where there is one. Answers them. */
async function readMore(session: Session, portal: Portal, count: number): Promise<Datum[][]> {
  const out: Datum[][] = [];
  if (portal.source === null || portal.finished) return out;
  while (out.length < count) {
    const batch: Batch | null | Pending = portal.source.next(count - out.length);
    if (batch === null) {
      portal.finished = true;
      break;
    }
    if (batch instanceof Pending) {
      await session.wait(batch);
      continue;
    }
    for (let i = 0; i < batch.length; i++) {
      out.push(readRow(batch, rowAt(batch, i)));
    }
  }
  portal.buffer?.push(...out);
  return out;
}

function howMany(node: FetchStmt): bigint {
  const raw = node.howMany as unknown;
  if (raw === undefined) return 0n;
  return BigInt(String(raw));
}

export async function fetchCursor(session: Session, node: FetchStmt): Promise<UtilityResult> {
  const portal = cursor(session, node.portalname ?? '');
  const direction = node.direction ?? 'FETCH_FORWARD';
  const rows = await move(session, portal, direction, howMany(node));
  if (node.ismove) return tagged(`MOVE ${rows.length}`);
  const source: RowSource = new ArrayRows(portal.columns ?? [], rows);
  return { tag: (count) => `FETCH ${count}`, rows: source };
}

/** Moves the cursor and answers the rows it passes, in the order of the movement. */
async function move(session: Session, portal: Portal, direction: string, count: bigint): Promise<Datum[][]> {
  switch (direction) {
    case 'FETCH_BACKWARD':
      return count < 0n ? forward(session, portal, -count) : backward(session, portal, count);
    case 'FETCH_ABSOLUTE':
      return absolute(session, portal, count);
    case 'FETCH_RELATIVE': {
      if (count === 0n) return current(session, portal);
      if (count > 0n) {
        const rows = await forward(session, portal, count);
        return BigInt(rows.length) === count ? rows.slice(-1) : [];
      }
      const rows = await backward(session, portal, -count);
      return BigInt(rows.length) === -count ? rows.slice(-1) : [];
    }
    default:
      if (count === 0n) return current(session, portal);
      return count < 0n ? backward(session, portal, -count) : forward(session, portal, count);
  }
}

async function forward(session: Session, portal: Portal, count: bigint): Promise<Datum[][]> {
  const limit = count >= ALL ? Number.MAX_SAFE_INTEGER : Number(count);
  if (!portal.buffer) {
    const rows = await readMore(session, portal, limit);
    portal.position += rows.length;
    return rows;
  }
  while (portal.buffer.length - portal.position < limit && !portal.finished && portal.source) await readMore(session, portal, Math.min(1024, limit));
  const rows = portal.buffer.slice(portal.position, portal.position + limit);
  portal.position = rows.length < limit ? portal.buffer.length + 1 : portal.position + rows.length;
  return rows;
}

function scrollable(portal: Portal): Datum[][] {
  if (!portal.buffer || !portal.cursor?.scroll) throw new DatabaseError('55000', 'cursor can only scan forward', { hint: 'Declare it with SCROLL option to enable backward scan.' });
  return portal.buffer;
}

/** `position` counts rows passed: the current row is position - 1; past the end it is length + 1. */
async function backward(session: Session, portal: Portal, count: bigint): Promise<Datum[][]> {
  const buffer = scrollable(portal);
  const out: Datum[][] = [];
  let wanted = count >= ALL ? Number.MAX_SAFE_INTEGER : Number(count);
  let at = Math.min(portal.position, buffer.length + 1) - 1;
  while (wanted > 0 && at >= 1) {
    out.push(buffer[at - 1]);
    at--;
    wanted--;
  }
  portal.position = wanted > 0 ? 0 : at + 1;
  return out;
}

async function current(_session: Session, portal: Portal): Promise<Datum[][]> {
  const buffer = scrollable(portal);
  return portal.position >= 1 && portal.position <= buffer.length ? [buffer[portal.position - 1]] : [];
}

async function absolute(session: Session, portal: Portal, count: bigint): Promise<Datum[][]> {
  if (count > 0n && !portal.buffer) {
    const ahead = count - BigInt(portal.position);
    if (ahead <= 0n) scrollable(portal);
    const rows = await forward(session, portal, ahead);
    return BigInt(rows.length) === ahead ? rows.slice(-1) : [];
  }
  const buffer = scrollable(portal);
  if (count >= 0n) {
    while (BigInt(buffer.length) < count && !portal.finished && portal.source) await readMore(session, portal, 1024);
    portal.position = Math.min(Number(count), buffer.length + 1);
  } else {
    while (!portal.finished && portal.source) await readMore(session, portal, 1024);
    portal.position = Math.max(0, buffer.length + 1 + Number(count));
  }
  return current(session, portal);
}

export function closeCursor(session: Session, node: { portalname?: string }): UtilityResult {
  if (!node.portalname) {
    session.portals.closeAll((portal) => portal.cursor !== null);
    return tagged('CLOSE CURSOR ALL');
  }
  cursor(session, node.portalname);
  session.closePortal(node.portalname);
  return tagged('CLOSE CURSOR');
}
