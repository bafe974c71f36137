/**
 * What a transaction still has to check: foreign keys and deferrable unique keys, at the end of the
 * statement or at commit. Events of rolled back savepoints need no removal: every check looks at
 * the rows again as they are now.
 */
import type { Transaction } from '../../../engine/storage.js';
import type { DeferredUniqueCheck } from '../../access/table-writer.js';
import type { Constraint } from '../../catalog/catalog.js';
import type { Datum } from '../../types/datum.js';

export type ConstraintEvent =
  /** A row of the referencing table was written: its key must exist. */
  | { readonly kind: 'check'; readonly constraint: Constraint; readonly rowId: number; readonly values: readonly Datum[] }
  /** A referenced row was deleted (`after` null) or its key changed. */
  | { readonly kind: 'referenced'; readonly constraint: Constraint; readonly before: readonly Datum[]; readonly after: readonly Datum[] | null }
  | { readonly kind: 'unique'; readonly constraint: Constraint | null; readonly check: DeferredUniqueCheck };

export class ConstraintQueue {
  /** Of the running statement, in order. */
  statement: ConstraintEvent[] = [];
  /** Until COMMIT or SET CONSTRAINTS ... IMMEDIATE. */
  deferred: ConstraintEvent[] = [];
  /** SET CONSTRAINTS: by constraint OID, and for all. */
  private readonly modes = new Map<number, boolean>();
  private all: boolean | null = null;

  push(event: ConstraintEvent): void {
    if (event.constraint && this.isDeferred(event)) this.deferred.push(event);
    else this.statement.push(event);
  }

  private isDeferred(event: ConstraintEvent): boolean {
    const constraint = event.constraint!;
    if (!constraint.condeferrable) return false;
    if (event.kind === 'referenced') {
      // Only NO ACTION waits; the other actions run at once.
      const action = event.after === null ? constraint.confdeltype : constraint.confupdtype;
      if (action !== 'a') return false;
    }
    return this.modes.get(constraint.oid) ?? this.all ?? constraint.condeferred;
  }

  /** SET CONSTRAINTS { ALL | ... } { DEFERRED | IMMEDIATE }: null names mean all. Made immediate, pending events move to the statement's. */
  setMode(constraints: readonly number[] | null, deferred: boolean): void {
    if (constraints === null) {
      this.all = deferred;
      this.modes.clear();
    } else {
      for (const oid of constraints) this.modes.set(oid, deferred);
    }
    if (deferred) return;
    const concerned = (event: ConstraintEvent): boolean => constraints === null || (event.constraint !== null && constraints.includes(event.constraint.oid));
    this.statement.push(...this.deferred.filter(concerned));
    this.deferred = this.deferred.filter((event) => !concerned(event));
  }

  takeStatement(): ConstraintEvent[] {
    const events = this.statement;
    this.statement = [];
    return events;
  }

  takeDeferred(): ConstraintEvent[] {
    const events = this.deferred;
    this.deferred = [];
    return events;
  }
}

const queues = new WeakMap<Transaction, ConstraintQueue>();

export function constraintQueue(transaction: Transaction): ConstraintQueue {
  let queue = queues.get(transaction);
  if (!queue) queues.set(transaction, (queue = new ConstraintQueue()));
  return queue;
}

/** True when COMMIT has something to check first. */
export function hasDeferredConstraints(transaction: Transaction): boolean {
  return (queues.get(transaction)?.deferred.length ?? 0) > 0;
}
