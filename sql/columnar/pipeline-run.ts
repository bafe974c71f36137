/** What all pipelines of one execution share: numbers of texts and keys, and the values of what no row changes. */
import { DatabaseError } from '../../engine/errors.js';
import type { Pending } from '../../engine/pending.js';
import type { Expr, SubLink } from '../analyzer/query-tree.js';
import type { PlanCompiler } from '../executor/compile-plan.js';
import type { ExecState } from '../executor/exec-state.js';
import { hashKeyOf } from '../executor/expressions/arrays.js';
import { Frame } from '../executor/expressions/frame.js';
import { compileWaiting } from '../executor/expressions/waiting.js';
import type { OutputLayout } from '../executor/layout.js';
import { hasSubLink } from '../executor/sub-plan.js';
import type { Datum } from '../types/datum.js';
import { ArrayLease } from './array-lease.js';
import { Interner } from './interner.js';
import type { Kernel } from './kernel.js';
import type { Lowering } from './lower-expression.js';
import { fetchMembers, membersIn, type MemberSet } from './member-set.js';
import { constantParts } from './stage.js';
import { intValue, type Value } from './value.js';

export class PipelineRun {
  readonly interner: Interner;
  readonly arrays = new ArrayLease();
  readonly constants = new Map<Expr, Datum>();
  readonly members = new Map<Expr, MemberSet>();
  private readonly keyIds = new Map<unknown, number>();
  private readonly frame: Frame;

  constructor(readonly compiler: PlanCompiler, readonly state: ExecState) {
    this.interner = new Interner(compiler);
    this.frame = new Frame(state);
  }

  /** The same execution with arrays that are given back sooner. */
  withArrays(arrays: ArrayLease): PipelineRun {
    return Object.create(this, { arrays: { value: arrays } }) as PipelineRun;
  }

  /** A number for a key value that is not one itself. */
  readonly keyId = (key: unknown): number => {
    let id = this.keyIds.get(key);
    if (id === undefined) this.keyIds.set(key, (id = this.keyIds.size));
    return id;
  };

  /** Evaluates the parts of these expressions that no row changes. */
  *evaluateConstants(exprs: readonly Expr[], layouts: readonly OutputLayout[]): Generator<Pending, void> {
    const links = new Set<SubLink>();
    for (const expr of exprs) membersIn(expr, this.compiler, links);
    for (const link of links) if (!this.members.has(link)) this.members.set(link, yield* fetchMembers(link, this.compiler, this.state));
    const parts = new Set<Expr>();
    for (const expr of exprs) constantParts(expr, layouts, this.compiler, parts);
    for (const part of parts) {
      if (this.constants.has(part)) continue;
      try {
        this.constants.set(part, yield* compileWaiting(part, this.compiler.scope())(this.frame));
      } catch (error) {
        // An error that no row may ever ask for: it is raised where it is asked for.
        if (!(error instanceof DatabaseError) || hasSubLink(part)) throw error;
      }
    }
  }

  /** Whether the value is itself a number that equal values share. */
  isKey(value: Value): boolean {
    return value.kind === 'int' || value.kind === 'bool' || (value.kind === 'decimal' && value.shownScale === undefined) || (value.kind === 'ref' && value.type !== BPCHAR);
  }

  /** The same for groups, where all values are of one source: padded texts are equal when their texts are. */
  isGroupKey(value: Value): boolean {
    return this.isKey(value) || (value.kind === 'ref' && value.padded === true);
  }

  /** A number that stands for the value in keys: equal values have equal ones. */
  boxedKey(value: Value, lowering: Lowering, kernel: Kernel): Value {
    const key = hashKeyOf(this.state.catalog.dataType(value.type));
    const id = (datum: Datum): number => (datum === null ? -1 : this.keyId(key(datum)));
    const code = kernel.name('v');
    kernel.line(`const ${code} = ${kernel.outside(id, 'f')}(${lowering.datum(value)});`);
    return intValue(code, value.isNull === null ? null : `${code} < 0`, value.type, 0, 2 ** 31);
  }
}

const BPCHAR = 1042;
