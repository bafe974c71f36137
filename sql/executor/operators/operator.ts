/**
 * Operators are written as generators that yield batches, and Pendings where they must wait or
 * their time slice is over: the state that makes them resumable is the generator's own, and
 * close() runs their `finally` blocks.
 */
import { Pending } from '../../../engine/pending.js';
import type { Batch, Operator } from '../batch.js';

export type Run = Generator<Batch | Pending, void>;

export class GeneratorOperator implements Operator {
  constructor(private readonly run: Run) {}

  next(): Batch | null | Pending {
    const step = this.run.next();
    return step.done ? null : step.value;
  }

  close(): void {
    this.run.return();
  }
}

/** The child's next batch; passes its waits up. */
export function* pull(child: Operator): Generator<Pending, Batch | null> {
  for (;;) {
    const result = child.next();
    if (result instanceof Pending) yield result;
    else return result;
  }
}

/** Calls an engine function until it has an answer. */
export function* waitFor<T>(call: () => T | Pending): Generator<Pending, T> {
  for (;;) {
    const result = call();
    if (result instanceof Pending) yield result;
    else return result;
  }
}
