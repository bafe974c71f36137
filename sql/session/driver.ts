/**
 * Drains a row source into a sink. The only place that awaits: waits of operators, time slices,
 * and a client that reads slowly. Runs without any promise while nothing has to wait.
 */
import { Pending } from '../../engine/pending.js';
import type { Batch } from '../executor/batch.js';
import { TIME_SLICE } from '../executor/interrupts.js';
import type { RowSource } from '../executor/row-source.js';

export interface DriverHooks {
  /** Throws when the statement shall end (cancel, timeout, termination). */
  check(): void;
  /** Others get their turn. */
  turn(): Promise<void>;
  /** A new time slice begins. */
  beginSlice(): void;
  /** Resolves when something wants to end the statement while it waits. */
  interrupted(): Promise<void>;
  /** Shown in pg_stat_activity while it lasts. */
  waiting(event: Pending | null): void;
  backPressure(): Promise<void> | undefined;
  /** What was read may not leave yet: it rests on commits that are not durable. */
  floor(): Pending | undefined;
}

export interface Drained {
  readonly rows: number;
  /** The source has no more rows. */
  readonly done: boolean;
}

/** Takes up to `maxRows` rows (0: all) and hands each batch to `emit`. */
export function drain(source: RowSource, maxRows: number, emit: (batch: Batch) => void, hooks: DriverHooks): Drained | Promise<Drained> {
  let rows = 0;
  hooks.beginSlice();
  for (;;) {
    const batch = source.next(maxRows > 0 ? maxRows - rows : undefined);
    if (batch === null) return { rows, done: true };
    if (batch instanceof Pending) return drainWaiting(source, maxRows, emit, hooks, rows, batch);
    const floor = hooks.floor();
    if (floor) return drainWaiting(source, maxRows, emit, hooks, rows, floor, batch);
    rows += batch.length;
    emit(batch);
    if (maxRows > 0 && rows >= maxRows) return { rows, done: false };
    const pressure = hooks.backPressure();
    if (pressure) return drainWaiting(source, maxRows, emit, hooks, rows, pressure);
    if (source.timeIsUp?.()) return drainWaiting(source, maxRows, emit, hooks, rows, TIME_SLICE);
  }
}

async function drainWaiting(source: RowSource, maxRows: number, emit: (batch: Batch) => void, hooks: DriverHooks, rows: number, first: Pending | Promise<void>, held: Batch | null = null): Promise<Drained> {
  let wait: Pending | Promise<void> | null = first;
  let ready = held;
  for (;;) {
    if (wait) {
      await settleWait(wait, hooks);
      wait = null;
      hooks.beginSlice();
    }
    const batch: Batch | null | Pending = ready ?? source.next(maxRows > 0 ? maxRows - rows : undefined);
    if (batch === null) return { rows, done: true };
    if (batch instanceof Pending) {
      wait = batch;
      continue;
    }
    const floor = ready ? undefined : hooks.floor();
    ready = null;
    if (floor) {
      wait = floor;
      ready = batch;
      continue;
    }
    rows += batch.length;
    emit(batch);
    if (maxRows > 0 && rows >= maxRows) return { rows, done: false };
    wait = hooks.backPressure() ?? (source.timeIsUp?.() ? TIME_SLICE : null);
  }
}

/** Waits for a Pending (or a promise), with cancel checked on both sides. */
export async function settleWait(wait: Pending | Promise<void>, hooks: DriverHooks): Promise<void> {
  hooks.check();
  if (wait === TIME_SLICE) await hooks.turn();
  else if (wait instanceof Pending) {
    hooks.waiting(wait);
    try {
      await Promise.race([wait.until, hooks.interrupted()]);
    } finally {
      hooks.waiting(null);
    }
  } else await Promise.race([wait, hooks.interrupted()]);
  hooks.check();
}
