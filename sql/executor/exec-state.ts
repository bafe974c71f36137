/** What is alive during one execution of a plan: parameters, snapshot, sub-plans' results. */
import type { Snapshot, Transaction } from '../../engine/storage.js';
import type { Catalog } from '../catalog/catalog.js';
import type { EvalContext } from '../functions/context.js';
import type { Datum } from '../types/datum.js';
import { NO_INTERRUPTS, type Interrupts } from './interrupts.js';

export class ExecState {
  /** Values between plan nodes, by Param id ('exec'). */
  readonly exec: Datum[] = [];
  /** State that operators and sub-plans share in one execution (CTE rows, init-plan results), by an object of the plan. */
  get shared(): Map<object | number, unknown> {
    return (this.#shared ??= new Map());
  }
  #shared: Map<object | number, unknown> | null = null;
  /** Rows that an EPQ recheck substitutes for scans of a range table index. */
  replacedRows: ReadonlyMap<number, ReplacedRow | null> | null = null;
  rowsAffected = 0;
  /** Called when the execution ends, whatever way. */
  readonly cleanups: (() => void)[] = [];
  /** Cost figures per plan node when EXPLAIN ANALYZE asked for them. */
  instrument: ((node: object) => NodeInstrumentation) | null = null;
  /** > 0 inside evaluations that cannot suspend: operators must not answer TIME_SLICE. */
  private uninterruptible = 0;

  constructor(
    readonly context: EvalContext,
    readonly params: readonly Datum[],
    readonly transaction: Transaction,
    /** What the statement's scans see. READ COMMITTED rechecks and modifying commands swap it. */
    public snapshot: Snapshot,
    private readonly interrupts: Interrupts = NO_INTERRUPTS,
  ) {}

  get catalog(): Catalog {
    return this.context.catalog;
  }

  shouldYield(): boolean {
    return this.interrupts.shouldYield() && this.uninterruptible === 0;
  }

  /** Whether an operator may answer Pending now. */
  get canWait(): boolean {
    return this.uninterruptible === 0;
  }

  /** Runs `work` so that nothing in it answers TIME_SLICE. */
  withoutYield<T>(work: () => T): T {
    this.uninterruptible++;
    try {
      return work();
    } finally {
      this.uninterruptible--;
    }
  }

  /** A state for rechecking one row: same parameters, snapshot and WITH results, other scans. */
  forRecheck(rows: ReadonlyMap<number, ReplacedRow | null>): ExecState {
    const state = new ExecState(this.context, this.params, this.transaction, this.snapshot, this.interrupts);
    this.exec.forEach((value, id) => (state.exec[id] = value));
    this.#shared?.forEach((value, key) => state.shared.set(key, value));
    state.replacedRows = rows;
    return state;
  }

  finish(): void {
    while (this.cleanups.length > 0) this.cleanups.pop()!();
  }
}

/** A row that stands for a whole scan: with its bytes, or to be fetched under the statement's snapshot. */
export interface ReplacedRow { readonly rowId: number; readonly tuple: Uint8Array | null; readonly xmin: number }

export interface NodeInstrumentation {
  loops: number;
  rows: number;
  startupMs: number;
  totalMs: number;
  /** Node-specific: 'Rows Removed by Filter', 'Sort Method', 'Buckets', ... in the order they were set. */
  readonly details: Map<string, string | number>;
}
