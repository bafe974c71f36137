/**
 * How far back the past can be read. The state keeps versions from the horizon on; with a retention the
 * horizon stays that long behind the clock, unless that comes to more old versions than the server keeps.
 */
import { DatabaseError } from '../errors.js';
import type { Lsn } from '../ids.js';
import type { KeyValueStore } from '../kv/key-value-store.js';
import type { Clock } from '../runtime.js';
import type { Past } from '../storage.js';
import { commitsAround, lastCommitAt } from './commit-times.js';
import type { CommitTime } from './commit-times.js';
import { FOREVER } from './version-store.js';

const TRIM_AFTER = 1024;

export class Retention implements Past {
  /** Snapshots from here on see all their versions; what older ones need may be gone. */
  collected: Lsn;
  /** What the retention holds the horizon at. */
  keepFrom: Lsn;
  /** Moments before this are given up: too many versions. */
  private floorMicros = 0;
  // Commits that are assigned and perhaps not applied, in the log's order.
  private recentMicros: number[] = [];
  private recentLsns: Lsn[] = [];
  private recentHead = 0;

  constructor(
    private readonly kv: KeyValueStore,
    private readonly clock: Clock,
    readonly retentionMs: number,
    collected: Lsn,
    private readonly watermarks: () => { readonly assigned: Lsn },
  ) {
    this.collected = collected;
    this.keepFrom = retentionMs > 0 ? collected : FOREVER;
  }

  noteCommit(lsn: Lsn, micros: number): void {
    this.recentLsns.push(lsn);
    this.recentMicros.push(micros);
  }

  /** Reads of the store see everything up to `applied`. */
  trim(applied: Lsn): void {
    const { recentLsns } = this;
    while (this.recentHead < recentLsns.length && recentLsns[this.recentHead]! <= applied) this.recentHead++;
    if (this.recentHead < TRIM_AFTER && this.recentHead < recentLsns.length) return;
    this.recentLsns = recentLsns.slice(this.recentHead);
    this.recentMicros = this.recentMicros.slice(this.recentHead);
    this.recentHead = 0;
  }

  /** Moves what is kept along with the clock. */
  tick(): void {
    if (this.retentionMs === 0) return;
    const from = Math.max(this.clock.nowMicros() - this.retentionMs * 1000, this.floorMicros);
    this.keepFrom = this.find(from)?.lsn ?? this.collected;
  }

  /** Gives up the older half of what is kept. */
  shorten(): void {
    const now = this.clock.nowMicros();
    const oldest = Math.max(now - this.retentionMs * 1000, this.floorMicros, this.oldestMicros() ?? 0);
    this.floorMicros = oldest + (now - oldest) / 2;
    this.tick();
  }

  /** The last commit at or before a moment. */
  private find(micros: number): CommitTime | undefined {
    for (let i = this.recentLsns.length - 1; i >= this.recentHead; i--)
      if (this.recentMicros[i]! <= micros) return { lsn: this.recentLsns[i]!, micros: this.recentMicros[i]! };
    return lastCommitAt(this.kv, micros);
  }

  lsnAt(micros: number): Lsn {
    if (micros > this.clock.nowMicros()) throw new DatabaseError('22023', 'cannot read the future', { detail: 'The moment given has not come yet.' });
    const found = this.find(micros);
    // Before the first commit of all there is one state.
    if (!found && this.after(0 as Lsn) === undefined) return this.collected;
    if (!found) throw this.tooOld();
    const { collected } = this;
    // With no commit between it and where the versions are kept from, that state is the same.
    const lsn = found.lsn < collected && (this.after(found.lsn)?.lsn ?? FOREVER) > collected ? collected : found.lsn;
    this.check(lsn);
    return lsn;
  }

  /** The first commit after `lsn`. */
  private after(lsn: Lsn): CommitTime | undefined {
    const applied = commitsAround(this.kv, lsn);
    if (applied.after) return applied.after;
    for (let i = this.recentHead; i < this.recentLsns.length; i++) if (this.recentLsns[i]! > lsn) return { lsn: this.recentLsns[i]!, micros: this.recentMicros[i]! };
    return undefined;
  }

  check(lsn: Lsn): void {
    if (lsn > this.watermarks().assigned) throw new DatabaseError('22023', 'cannot read the future', { detail: 'The log has not come to the position given.' });
    if (lsn < this.collected) throw this.tooOld();
  }

  private tooOld(): DatabaseError {
    const oldest = this.oldestMicros();
    const hint = this.retentionMs === 0 ? 'Start the server with --retention to keep old row versions for a time.' : 'A moment further back can be restored from a backup.';
    return new DatabaseError('72000', 'snapshot too old', {
      detail: oldest === undefined ? 'The server keeps no old row versions from that time.' : `The server keeps old row versions from ${new Date(oldest / 1000).toISOString()} on.`,
      hint,
    });
  }

  oldestMicros(): number | undefined {
    if (this.retentionMs === 0) return undefined;
    return (commitsAround(this.kv, this.collected).before ?? this.after(this.collected))?.micros;
  }
}
