/**
 * Where a restore stops, as PostgreSQL's recovery targets: every record of the log is either part of
 * the restored history or behind its end, and the end is a place between two records.
 *
 *     latest   all of the log
 *     time     before the first commit later than the time (exclusive: at or later)
 *     lsn      records at or before the LSN (exclusive: before it)
 *     xid      up to the commit or abort of the transaction (exclusive: without it)
 *     name     up to the restore point of pg_create_restore_point
 */
import { DatabaseError } from '../errors.js';
import type { Lsn, Xid } from '../ids.js';
import { BATCH_HEADER, RecordKind, RecordReader, Section } from '../log/batch.js';
import { RESTORE_POINT } from '../mvcc/maintenance.js';
import { formatLsn, formatTime } from './layout.js';

export type RecoveryTarget =
  | { readonly kind: 'latest' }
  | { readonly kind: 'time'; readonly micros: number }
  | { readonly kind: 'lsn'; readonly lsn: Lsn }
  | { readonly kind: 'xid'; readonly xid: Xid }
  | { readonly kind: 'name'; readonly name: string };

export function describeTarget(target: RecoveryTarget, exclusive: boolean): string {
  const before = exclusive ? 'before ' : '';
  switch (target.kind) {
    case 'latest':
      return 'the end of the log';
    case 'time':
      return `${before}${formatTime(target.micros)}`;
    case 'lsn':
      return `${before}LSN ${formatLsn(target.lsn)}`;
    case 'xid':
      return `${before}the end of transaction ${target.xid}`;
    case 'name':
      return `restore point "${target.name}"`;
  }
}

export class TargetFinder {
  private readonly reader = new RecordReader();
  /** The end was found: what follows is not part of the history. */
  reached = false;
  /** The record that showed it. */
  endLsn = 0 as Lsn;
  /** Time of the last commit or restore point that is part of it; 0: none seen. */
  lastMicros = 0;

  constructor(readonly target: RecoveryTarget, readonly exclusive: boolean) {}

  /** Whether a state that is as of the record at `lsn`, whose last commit was at `micros`, is at or before the target (as far as it alone can say). */
  mayFollow(lsn: Lsn, micros: number): boolean {
    const { target, exclusive } = this;
    if (target.kind === 'time') return exclusive ? micros < target.micros : micros <= target.micros;
    if (target.kind === 'lsn') return exclusive ? lsn < target.lsn : lsn <= target.lsn;
    return true;
  }

  /** Offset in the batch where the history ends, which is a record's begin or the batch's end; undefined: it goes on behind. */
  cut(batch: Uint8Array): number | undefined {
    const { reader } = this;
    reader.open(batch, BATCH_HEADER);
    for (let at = BATCH_HEADER; reader.nextRecord(); at = reader.nextOffset) {
      const place = this.judge();
      if (!place) continue;
      this.reached = true;
      this.endLsn = reader.lsn;
      return place === 'before' ? at : reader.nextOffset;
    }
    return undefined;
  }

  /** The log has no more: raises unless the target was reached, or may count as such. */
  atEnd(end: Lsn): void {
    const { target } = this;
    if (this.reached || target.kind === 'latest' || (target.kind === 'lsn' && end >= target.lsn)) return;
    throw new DatabaseError('22023', `the log ends before ${describeTarget(target, this.exclusive)}`, {
      detail: `It ends at LSN ${formatLsn(end)}${this.lastMicros > 0 ? `; its last commit was at ${formatTime(this.lastMicros)}` : ''}.`,
      ...(target.kind === 'time' ? { hint: 'To restore all that there is, leave the target out.' } : {}),
    });
  }

  /** Whether the history ends before or behind the reader's record. */
  private judge(): 'before' | 'behind' | undefined {
    const { reader, target, exclusive } = this;
    if (target.kind === 'lsn') return (exclusive ? reader.lsn >= target.lsn : reader.lsn > target.lsn) ? 'before' : undefined;
    const { kind } = reader;
    if (kind !== RecordKind.commit && kind !== RecordKind.abort && kind !== RecordKind.system) return undefined;
    if (target.kind === 'xid' && kind !== RecordKind.system && reader.xid === target.xid) return exclusive ? 'before' : 'behind';
    if (kind === RecordKind.abort) return undefined;
    while (reader.nextSection()) {
      if (reader.tag === Section.time) {
        const micros = reader.time();
        if (target.kind === 'time' && (exclusive ? micros >= target.micros : micros > target.micros)) return 'before';
        this.lastMicros = micros;
        if (kind === RecordKind.commit) return undefined;
      } else if (reader.tag === Section.message && kind === RecordKind.system && target.kind === 'name') {
        const { prefix, content } = reader.message();
        if (prefix === RESTORE_POINT && Buffer.from(content).toString('utf8') === target.name) return 'behind';
      }
    }
    return undefined;
  }
}
