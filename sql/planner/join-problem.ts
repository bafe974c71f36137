/**
 * The join problem of one query level: its relations as bits of a mask, its quals as clauses that say
 * which relations they need, and its outer, semi and anti joins as constraints on the join order.
 * After deconstruct_jointree (initsplan.c), with the right side of such a join always kept together.
 */
import { notSupported } from '../../engine/errors.js';
import type { Expr } from '../analyzer/query-tree.js';
import type { Tree } from './logical.js';
import type { Path } from './path.js';
import type { PlanJoinType } from './plan-node.js';
import type { Planner } from './planner-state.js';
import { exprVarnos } from './query-vars.js';

export interface Rel {
  readonly bit: number;
  readonly varno: number;
  /** Relations that must be on the outer side of it (LATERAL). */
  lateral: number;
  readonly paths: Path[];
  rows: number;
}

/** A join whose sides may not be mixed freely. `right` joins have been turned into left ones. */
export interface SpecialJoin {
  readonly type: Exclude<PlanJoinType, 'inner' | 'right'>;
  readonly synLeft: number;
  readonly synRight: number;
  minLeft: number;
  readonly minRight: number;
}

/** `left operator right` over disjoint sets of relations. */
export interface BinaryClause {
  readonly left: Expr;
  readonly right: Expr;
  readonly leftMask: number;
  readonly rightMask: number;
  readonly operator: number;
  /** The operator with sides exchanged, 0 if none. */
  readonly commutator: number;
}

export interface Clause {
  readonly expr: Expr;
  /** Relations it reads. */
  readonly mask: number;
  /** Relations that must be joined before it may be tested. */
  required: number;
  /** ON clause of this outer join that is not a mere restriction of its right side. */
  readonly of: SpecialJoin | null;
  /** Equivalence class, -1 if none: one clause of a class suffices between two sets. */
  readonly ec: number;
  readonly binary: BinaryClause | null;
}

export const MAX_RELATIONS = 30;

export class JoinProblem {
  readonly rels: Rel[] = [];
  readonly clauses: Clause[] = [];
  readonly joins: SpecialJoin[] = [];
  /** Quals without Vars of this level: tested once, before anything. */
  readonly pseudoconstants: Expr[] = [];
  private readonly bits = new Map<number, number>();

  constructor(tree: Tree, readonly planner: Planner) {
    this.number(tree);
    this.deconstruct(tree, 0);
  }

  private number(tree: Tree): void {
    if (tree.kind === 'rel') {
      if (this.rels.length >= MAX_RELATIONS) throw notSupported(`a join of more than ${MAX_RELATIONS} relations in one query level`);
      const bit = 1 << this.rels.length;
      this.rels.push({ bit, varno: tree.varno, lateral: 0, paths: [], rows: 1 });
      this.bits.set(tree.varno, bit);
    } else if (tree.kind === 'join') {
      this.number(tree.left);
      this.number(tree.right);
    } else tree.items.forEach((item) => this.number(item));
  }

  bitOf(varno: number): number {
    return this.bits.get(varno) ?? 0;
  }

  maskOf(expr: Expr): number {
    let mask = 0;
    for (const varno of exprVarnos(expr, this.planner)) mask |= this.bitOf(varno);
    return mask;
  }

  get all(): number {
    return this.rels.reduce((mask, rel) => mask | rel.bit, 0);
  }

  /** Relations of the subtree. */
  private deconstruct(tree: Tree, _depth: number): number {
    if (tree.kind === 'rel') return this.bitOf(tree.varno);
    if (tree.kind === 'from') {
      let mask = 0;
      for (const item of tree.items) mask |= this.deconstruct(item, _depth + 1);
      for (const qual of tree.quals) this.addQual(qual, mask, null);
      return mask;
    }
    let left = this.deconstruct(tree.left, _depth + 1);
    let right = this.deconstruct(tree.right, _depth + 1);
    const all = left | right;
    if (tree.type === 'inner') {
      for (const qual of tree.quals) this.addQual(qual, all, null);
      return all;
    }
    if (tree.type === 'right') [left, right] = [right, left];
    const type = tree.type === 'right' ? 'left' : tree.type;
    const join: SpecialJoin = { type, synLeft: left, synRight: right, minLeft: 0, minRight: right };
    let used = 0;
    for (const qual of tree.quals) {
      const mask = this.maskOf(qual);
      if (type !== 'full' && mask !== 0 && (mask & ~right) === 0) {
        // Concerns the right side alone: a restriction of it.
        this.addQual(qual, right, null);
      } else if (type === 'semi' && mask !== 0 && (mask & ~left) === 0) {
        this.addQual(qual, left, null);
      } else {
        used |= mask;
        this.clauses.push(this.clause(qual, mask, mask | right, join));
      }
    }
    join.minLeft = type === 'full' ? left : this.closure(used & left, left) || left;
    // Exactly at this join, also where a clause reads one side or none (ON false).
    for (const clause of this.clauses) if (clause.of === join) clause.required |= join.minLeft | join.minRight;
    this.joins.push(join);
    return all;
  }

  /** With every lower outer join whose nullable side is touched, all of that join. */
  private closure(mask: number, within: number): number {
    let result = mask;
    for (let changed = true; changed; ) {
      changed = false;
      for (const join of this.joins) {
        const both = join.minLeft | join.minRight;
        if ((both & ~within) !== 0) continue;
        const touches = join.type === 'full' ? (result & both) !== 0 : join.type !== 'semi' && (result & join.minRight) !== 0;
        if (touches && (both & ~result) !== 0) {
          result |= both;
          changed = true;
        }
      }
    }
    return result;
  }

  private addQual(qual: Expr, scope: number, of: SpecialJoin | null): void {
    const mask = this.maskOf(qual);
    if (mask === 0) {
      // Inside an outer join's right side it must stay there.
      if (scope === this.all || this.rels.length === 0) this.pseudoconstants.push(qual);
      else this.clauses.push(this.clause(qual, scope, scope, of));
      return;
    }
    this.clauses.push(this.clause(qual, mask, this.closure(mask, scope), of));
  }

  clause(expr: Expr, mask: number, required: number, of: SpecialJoin | null, ec = -1): Clause {
    return { expr, mask, required, of, ec, binary: this.binary(expr) };
  }

  private binary(expr: Expr): BinaryClause | null {
    if (expr.kind !== 'OpExpr' || expr.args.length !== 2) return null;
    const [left, right] = expr.args as [Expr, Expr];
    const leftMask = this.maskOf(left);
    const rightMask = this.maskOf(right);
    if (leftMask === 0 || rightMask === 0 || (leftMask & rightMask) !== 0) return null;
    return { left, right, leftMask, rightMask, operator: expr.operator, commutator: this.planner.catalog.operator(expr.operator)?.oprcom ?? 0 };
  }

  /** Restrictions of one relation, testable as soon as it is read. */
  restrictions(rel: Rel): Clause[] {
    return this.clauses.filter((clause) => clause.of === null && clause.required === rel.bit);
  }

  /** Relations that some outer join may make NULL. */
  nullableMask(): number {
    let mask = 0;
    for (const join of this.joins) {
      if (join.type === 'left' || join.type === 'anti') mask |= join.synRight;
      if (join.type === 'full') mask |= join.synLeft | join.synRight;
    }
    return mask;
  }

  /** Which special join, if any, joining `a` with `b` performs; null when they may not be joined (yet). */
  legal(a: number, b: number): { join: SpecialJoin | null; swapped: boolean } | null {
    const both = a | b;
    let match: SpecialJoin | null = null;
    let swapped = false;
    for (const join of this.joins) {
      const { minLeft, minRight, synLeft, synRight } = join;
      const own = minLeft | minRight;
      const done = (mask: number): boolean => (own & ~mask) === 0;
      if (done(a) || done(b)) continue;
      const touchesRight = (both & minRight) !== 0;
      const touchesLeft = join.type === 'full' && (both & synLeft) !== 0;
      if (!touchesRight && !touchesLeft) continue;
      const inside = (mask: number, of: number): boolean => (mask & ~of) === 0;
      const fits = (l: number, r: number): boolean => inside(minLeft, l) && inside(minRight, r) && inside(r, synRight) && (join.type !== 'full' || inside(l, synLeft));
      if (fits(a, b)) {
        if (match) return null;
        match = join;
        swapped = false;
      } else if (fits(b, a)) {
        if (match) return null;
        match = join;
        swapped = true;
      } else if (inside(a, synRight) && inside(b, synRight)) {
        continue;
      } else if (join.type === 'full' && inside(a, synLeft) && inside(b, synLeft)) {
        continue;
      } else {
        return null;
      }
    }
    return { join: match, swapped };
  }
}

