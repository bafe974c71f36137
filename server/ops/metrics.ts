/** Prometheus metrics. Counters are incremented by the session; engine figures are read when scraped. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { EngineStats, Storage } from '../../engine/storage.js';
import type { SessionMetrics } from '../../sql/session/cluster.js';
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
  ['oxbow_overlay_rows', 'Committed rows not applied to LMDB yet', (s) => s.overlayRows],
  ['oxbow_active_transactions', 'Transactions in progress', (s) => s.activeTransactions],
  ['oxbow_locks_held', 'Locks held', (s) => s.locksHeld],
  ['oxbow_locks_waiting', 'Lock requests waiting', (s) => s.locksWaiting],
  ['oxbow_deadlocks_total', 'Deadlocks found', (s) => s.deadlocks],
];

export class Metrics implements SessionMetrics {
  readonly registry = new Registry();
  readonly #statements: Counter;
  readonly #statementSeconds: Histogram;
  readonly #transactions: Counter;
  readonly #rows: Counter;
  readonly #plans: Counter;

  constructor(storage: Storage, state: ServerState) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.#statements = new Counter({ name: 'oxbow_statements_total', help: 'Statements by kind and outcome', labelNames: ['kind', 'outcome'], registers });
    this.#statementSeconds = new Histogram({ name: 'oxbow_statement_seconds', help: 'Duration of statements', labelNames: ['kind'], buckets: SECONDS, registers });
    this.#transactions = new Counter({ name: 'oxbow_transactions_total', help: 'Transactions by outcome', labelNames: ['outcome'], registers });
    this.#rows = new Counter({ name: 'oxbow_rows_returned_total', help: 'Rows sent to clients', registers });
    this.#plans = new Counter({ name: 'oxbow_plan_cache_total', help: 'Plan cache look-ups', labelNames: ['result'], registers });
    new Gauge({ name: 'oxbow_connections', help: 'Sessions', registers, collect() { this.set(state.sessionCount); } });
    for (const [name, help, read] of ENGINE_GAUGES) new Gauge({ name, help, registers, collect() { this.set(read(storage.stats())); } });
    const fsync = new Gauge({ name: 'oxbow_log_fsync_seconds_bucket', help: 'fsync durations of the commit log, cumulative', labelNames: ['le'], registers: [] });
    this.registry.registerMetric(fsync);
    const delay = monitorEventLoopDelay({ resolution: 10 });
    delay.enable();
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

  statement(kind: string, outcome: 'ok' | 'error', durationMs: number): void {
    if (kind === '') return;
    const label = kind.replace(/Stmt$/, '');
    this.#statements.inc({ kind: label, outcome });
    this.#statementSeconds.observe({ kind: label }, durationMs / 1000);
  }
  transaction(outcome: 'commit' | 'rollback'): void {
    this.#transactions.inc({ outcome });
  }
  rows(count: number): void {
    this.#rows.inc(count);
  }
  planCache(hit: boolean): void {
    this.#plans.inc({ result: hit ? 'hit' : 'miss' });
  }
}
