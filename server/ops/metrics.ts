/** Prometheus metrics. Counters are incremented by the session; engine figures are read when scraped. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { ScheduleStatus } from '../backup-schedule.js';
import type { ArchiveStatus } from '../../engine/backup/archiver.js';
import type { EngineStats, Storage } from '../../engine/storage.js';
import { columnStore, type ColumnFigures } from '../../sql/columnar/relation-columns.js';
import type { SessionMetrics } from '../../sql/session/cluster.js';
import type { Scrubber, ScrubberFigures } from '../scrubber.js';
import type { ServerState } from '../server-state.js';

const SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60];

/** Engine figures by metric name: what they mean and where they come from. */
const ENGINE_GAUGES: readonly (readonly [string, string, (stats: EngineStats) => number])[] = [
  ['oxbow_log_bytes_total', 'Bytes appended to the commit log', (s) => s.logBytes],
  ['oxbow_log_batches_total', 'Batches appended to the commit log', (s) => s.logBatches],
  ['oxbow_commits_total', 'Transactions that wrote and committed', (s) => s.commits],
  ['oxbow_log_fsync_total', 'fsync calls on the commit log', (s) => s.fsyncCount],
  ['oxbow_log_fsync_seconds_total', 'Time spent in fsync of the commit log', (s) => s.fsyncMsTotal / 1000],
  ['oxbow_log_fsync_seconds_max', 'Longest fsync of the commit log', (s) => s.fsyncMsMax / 1000],
  ['oxbow_applier_lag_bytes', 'Log between durable and applied', (s) => s.applierLagBytes],
  ['oxbow_lmdb_bytes', 'Size of the LMDB state', (s) => s.keyValueBytes],
  ['oxbow_history_versions', 'Old row versions kept', (s) => s.versionsInHistory],
  ['oxbow_history_versions_collected_total', 'Old row versions removed', (s) => s.versionsCollected],
  ['oxbow_past_oldest_seconds', 'Oldest moment that oxbow.as_of can read, as a Unix time; 0 without a retention', (s) => s.pastOldestMicros / 1e6],
  ['oxbow_snapshots_expired_total', 'Snapshots ended because they held back too many old versions', (s) => s.snapshotsExpired],
  ['oxbow_overlay_rows', 'Committed rows not applied to LMDB yet', (s) => s.overlayRows],
  ['oxbow_active_transactions', 'Transactions in progress', (s) => s.activeTransactions],
  ['oxbow_locks_held', 'Locks held', (s) => s.locksHeld],
  ['oxbow_locks_waiting', 'Lock requests waiting', (s) => s.locksWaiting],
  ['oxbow_deadlocks_total', 'Deadlocks found', (s) => s.deadlocks],
];

/** Column segments of all relations. */
const COLUMN_GAUGES: readonly (readonly [string, string, (figures: ColumnFigures) => number])[] = [
  ['oxbow_column_blocks', 'Blocks of rows of relations that have column segments', (f) => f.blocks],
  ['oxbow_column_blocks_ready', 'Blocks that have a column segment', (f) => f.ready],
  ['oxbow_column_memory_bytes', 'Memory of column segments', (f) => f.memoryBytes],
  ['oxbow_column_disk_bytes', 'Files of column segments', (f) => f.diskBytes],
  ['oxbow_column_hits_total', 'Column segments that statements found in memory', (f) => f.hits],
  ['oxbow_column_reads_total', 'Columns of segments that were read from files', (f) => f.reads],
  ['oxbow_column_builds_total', 'Builds of column segments from rows', (f) => f.builds],
];

const SCRUBBER_GAUGES: readonly (readonly [string, string, (figures: ScrubberFigures) => number])[] = [
  ['oxbow_scrub_last_pass_seconds', 'When the last whole check of the state ended, as a Unix time; 0 for never', (f) => f.lastPassSeconds],
  ['oxbow_scrub_duration_seconds', 'Work of the last whole check of the state', (f) => f.lastDurationSeconds],
  ['oxbow_scrub_passes_total', 'Whole checks of the state since the start', (f) => f.passes],
  ['oxbow_scrub_running', 'Whether a check of the state runs', (f) => Number(f.running)],
  ['oxbow_scrub_slice_seconds_max', 'Longest stretch of checking without a turn for others', (f) => f.longestSliceSeconds],
  ['oxbow_damage_findings', 'Damage that the last check of the state found', (f) => f.findings],
  ['oxbow_damaged_storages', 'Relations and indexes that serve no statements because of damage', (f) => f.damagedStorages],
];

/** Figures of one kind of statement. Plain numbers: a label look-up for each statement would cost more than a key read. */
interface KindFigures {
  ok: number;
  error: number;
  /** Durations by bucket of SECONDS, not cumulative; the last one is beyond all. */
  readonly buckets: Float64Array;
  seconds: number;
}

/** Statement durations, put together when they are scraped. */
class StatementSeconds extends Histogram {
  constructor(private readonly kinds: ReadonlyMap<string, KindFigures>, registers: Registry[]) {
    super({ name: 'oxbow_statement_seconds', help: 'Duration of statements', labelNames: ['kind'], buckets: SECONDS, registers });
  }

  override async get(): ReturnType<Histogram['get']> {
    const values: Awaited<ReturnType<Histogram['get']>>['values'] = [];
    for (const [kind, { buckets, seconds }] of this.kinds) {
      let sum = 0;
      for (let i = 0; i < buckets.length; i++) {
        sum += buckets[i]!;
        values.push({ labels: { le: SECONDS[i] ?? '+Inf', kind }, value: sum, metricName: 'oxbow_statement_seconds_bucket' });
      }
      values.push({ labels: { kind }, value: seconds, metricName: 'oxbow_statement_seconds_sum' }, { labels: { kind }, value: sum, metricName: 'oxbow_statement_seconds_count' });
    }
    return { ...(await super.get()), values };
  }
}

/** The archive's figures. */
const ARCHIVE_GAUGES: readonly (readonly [string, string, (status: ArchiveStatus) => number])[] = [
  ['oxbow_archived_lsn', 'The log before this LSN is archived', (s) => s.archivedLsn],
  ['oxbow_archive_lag_bytes', 'Durable log that is not archived yet', (s) => s.lagBytes],
  ['oxbow_archive_lag_seconds', 'Time since everything durable was archived', (s) => s.lagSeconds],
  ['oxbow_archive_objects_total', 'Objects of log stored', (s) => s.objects],
  ['oxbow_archive_bytes_total', 'Bytes stored', (s) => s.bytes],
  ['oxbow_archive_failures_total', 'Failed attempts to archive', (s) => s.failures],
  ['oxbow_archive_gaps_total', 'Stretches of log that were dropped before they were archived', (s) => s.gaps],
  ['oxbow_archive_alert', '1: the lag is beyond half its bound, log was dropped, or another server archives', (s) => Number(s.alert)],
];

const SCHEDULE_GAUGES: readonly (readonly [string, string, (status: ScheduleStatus) => number])[] = [
  ['oxbow_backup_last_seconds', 'Unix time of the newest complete backup in the archive; 0: none', (s) => s.lastBackupSeconds],
  ['oxbow_backup_last_proven_restorable_seconds', 'Unix time when a restore of the archive was last compared with the server, relation by relation; 0: never', (s) => s.lastProvenSeconds],
  ['oxbow_backup_failures_total', 'Scheduled backups and self-checks that failed', (s) => s.failures],
  ['oxbow_backup_running', '1 while a scheduled backup or self-check runs', (s) => Number(s.running)],
];

export class Metrics implements SessionMetrics {
  readonly registry = new Registry();
  readonly #kinds = new Map<string, KindFigures>();
  #commits = 0;
  #rollbacks = 0;
  #rows = 0;
  #planHits = 0;
  #planMisses = 0;

  constructor(storage: Storage, state: ServerState) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    const kinds = this.#kinds;
    new StatementSeconds(kinds, registers);
    counter('oxbow_statements_total', 'Statements by kind and outcome', ['kind', 'outcome'], registers, (set) => {
      for (const [kind, figures] of kinds) {
        if (figures.ok > 0) set({ kind, outcome: 'ok' }, figures.ok);
        if (figures.error > 0) set({ kind, outcome: 'error' }, figures.error);
      }
    });
    counter('oxbow_transactions_total', 'Transactions by outcome', ['outcome'], registers, (set) => {
      set({ outcome: 'commit' }, this.#commits);
      set({ outcome: 'rollback' }, this.#rollbacks);
    });
    counter('oxbow_rows_returned_total', 'Rows sent to clients', [], registers, (set) => set({}, this.#rows));
    counter('oxbow_plan_cache_total', 'Plan cache look-ups', ['result'], registers, (set) => {
      set({ result: 'hit' }, this.#planHits);
      set({ result: 'miss' }, this.#planMisses);
    });
    new Gauge({ name: 'oxbow_connections', help: 'Sessions', registers, collect() { this.set(state.sessionCount); } });
    for (const [name, help, read] of ENGINE_GAUGES) new Gauge({ name, help, registers, collect() { this.set(read(storage.stats())); } });
    for (const [name, help, read] of COLUMN_GAUGES) new Gauge({ name, help, registers, collect() { this.set(columnStore(storage).figures().reduce((sum, figures) => sum + read(figures), 0)); } });
    const fsync = new Gauge({ name: 'oxbow_log_fsync_seconds_bucket', help: 'fsync durations of the commit log, cumulative', labelNames: ['le'], registers: [] });
    this.registry.registerMetric(fsync);
    const delay = monitorEventLoopDelay({ resolution: 10 });
    delay.enable();
    new Gauge({ name: 'oxbow_event_loop_lag_max_seconds', help: 'Longest event loop delay since the last scrape', registers, collect() { this.set(delay.max / 1e9); } });
    new Gauge({ name: 'oxbow_event_loop_lag_p99_seconds', help: 'Event loop delay, 99th percentile since the last scrape', registers, collect() {
      this.set(delay.percentile(99) / 1e9);
      delay.reset();
      let sum = 0;
      for (const bucket of storage.stats().fsyncBuckets) {
        sum += bucket.count;
        fsync.set({ le: String(bucket.leMs / 1000) }, sum);
      }
    } });
  }

  watchSchedule(status: () => ScheduleStatus): void {
    for (const [name, help, read] of SCHEDULE_GAUGES) new Gauge({ name, help, registers: [this.registry], collect() { this.set(read(status())); } });
  }

  watchArchive(status: () => ArchiveStatus): void {
    for (const [name, help, read] of ARCHIVE_GAUGES) new Gauge({ name, help, registers: [this.registry], collect() { this.set(read(status())); } });
  }

  set scrubber(scrubber: Scrubber) {
    const registers = [this.registry];
    for (const [name, help, read] of SCRUBBER_GAUGES) new Gauge({ name, help, registers, collect() { this.set(read(scrubber.figures)); } });
  }

  statement(kind: string, outcome: 'ok' | 'error', durationMs: number): void {
    if (kind === '') return;
    const label = kind.endsWith('Stmt') ? kind.slice(0, -4) : kind;
    let figures = this.#kinds.get(label);
    if (!figures) this.#kinds.set(label, (figures = { ok: 0, error: 0, buckets: new Float64Array(SECONDS.length + 1), seconds: 0 }));
    figures[outcome]++;
    const seconds = durationMs / 1000;
    figures.seconds += seconds;
    let bucket = 0;
    while (bucket < SECONDS.length && seconds > SECONDS[bucket]!) bucket++;
    figures.buckets[bucket]!++;
  }
  transaction(outcome: 'commit' | 'rollback'): void {
    if (outcome === 'commit') this.#commits++;
    else this.#rollbacks++;
  }
  rows(count: number): void {
    this.#rows += count;
  }
  planCache(hit: boolean): void {
    if (hit) this.#planHits++;
    else this.#planMisses++;
  }
}

/** A counter whose values are set when it is scraped. */
function counter(name: string, help: string, labelNames: string[], registers: Registry[], read: (set: (labels: Record<string, string>, value: number) => void) => void): void {
  new Counter({ name, help, labelNames, registers, collect() {
    this.reset();
    read((labels, value) => this.inc(labels, value));
  } });
}
