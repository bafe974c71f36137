/**
 * Inner sides of a pipeline's joins, and the one among them that may be too large: that join runs part by part of its keys, with
 * a pass over the outer side for each. A second one that is too large is left to the row operators.
 */
import type { Pending } from '../../engine/pending.js';
import { ArrayLease } from './array-lease.js';
import { buildInner, type Execute } from './join-build.js';
import type { JoinTable } from './join-table.js';
import { divided, emitPart, repeatable, WHOLE, type KeyPart } from './key-parts.js';
import type { KeyFilter } from './key-filter.js';
import { kernelMemory } from './kernel-memory.js';
import type { Kernel } from './kernel.js';
import type { PipelineRun } from './pipeline-run.js';
import { NotColumnar } from './segment.js';
import type { JoinStage, Stage } from './stage.js';
import type { Value } from './value.js';

type ExecuteIn = (run: PipelineRun) => Execute;

export class JoinParts {
  private divided: { readonly stage: JoinStage; readonly filters: readonly KeyFilter[]; readonly waiting: KeyPart[]; part: KeyPart; arrays: ArrayLease; passes: number } | null = null;

  constructor(private readonly run: PipelineRun, private readonly top: Stage, private readonly execute: ExecuteIn) {}

  get active(): boolean {
    return this.divided !== null;
  }

  isDivided(stage: Stage): boolean {
    return this.divided?.stage === stage;
  }

  /** The inner side, or the first part of it. */
  *build(stage: JoinStage, filters: readonly KeyFilter[]): Generator<Pending, JoinTable> {
    const { run } = this;
    const whole = yield* buildInner(stage, filters, run, this.execute(run), WHOLE, kernelMemory(run.state));
    if (whole) return whole;
    if (this.divided || this.keepsOthers(stage) || !repeatable(stage.node.inner, run.compiler)) throw new NotColumnar();
    this.divided = { stage, filters, waiting: divided(WHOLE)!, part: WHOLE, arrays: new ArrayLease(), passes: 0 };
    return (yield* this.next())!.table;
  }

  /** The next part's inner side; null when there is none. */
  *next(): Generator<Pending, { stage: JoinStage; table: JoinTable } | null> {
    const one = this.divided;
    if (!one) return null;
    const { run } = this;
    for (let part = one.waiting.shift(); part; part = one.waiting.shift()) {
      one.arrays.release();
      const arrays = (one.arrays = new ArrayLease());
      run.state.cleanups.push(() => arrays.release());
      const own = run.withArrays(arrays);
      const smaller = divided(part);
      // Rows of one key cannot be told apart: they are kept whatever they take.
      const table = yield* buildInner(one.stage, one.filters, own, this.execute(own), part, smaller ? kernelMemory(run.state) : Infinity);
      if (!table) {
        one.waiting.unshift(...smaller!);
        continue;
      }
      one.part = part;
      one.passes++;
      if (run.state.instrument) {
        const { details } = run.state.instrument(one.stage.node);
        details.set('Hash Batches', one.passes);
        details.set('Peak Memory Usage', Math.max(Number(details.get('Peak Memory Usage') ?? 0), Math.ceil(table.rows.bytes / 1024)));
      }
      return { stage: one.stage, table };
    }
    one.arrays.release();
    return null;
  }

  /** Leaves out outer rows whose keys are of other parts. */
  emit(stage: JoinStage, kernel: Kernel, keys: readonly Value[]): void {
    if (this.divided?.stage === stage) emitPart(kernel, keys, this.divided.part);
  }

  /** Whether another join of the pipeline gives out rows at its end: it would have to wait for the last part. */
  private keepsOthers(stage: JoinStage): boolean {
    for (let at: Stage = this.top; ; ) {
      if (at.kind === 'join') {
        if (at !== stage && (at.node.joinType === 'right' || at.node.joinType === 'full')) return true;
        at = at.outer;
      } else if ('child' in at) at = at.child;
      else return false;
    }
  }
}
