/**
 * Equivalence classes: what `a = b AND b = c` and `a = 5` say about each other. Members of a class with
 * a constant all get `member = constant`; between relations one clause of each class is enough, and
 * it may be between members that no written clause compares.
 */
import type { Expr } from '../analyzer/query-tree.js';
import { equalExpr } from '../analyzer/tree-walk.js';
import { isVolatile } from './logical.js';
import type { Clause, JoinProblem } from './join-problem.js';
import type { SameValue } from './path.js';

interface Member { readonly expr: Expr; readonly mask: number }
interface EquivalenceClass { members: Member[]; readonly operator: number; readonly collation: number; sources: Clause[] }

/** Finds the classes, rewrites the problem's clauses accordingly, and answers which expressions are equal. */
export function buildEquivalences(problem: JoinProblem): SameValue {
  const { planner } = problem;
  const { catalog } = planner;
  const classes: EquivalenceClass[] = [];
  const find = (expr: Expr, operator: number): EquivalenceClass | undefined => classes.find((ec) => ec.operator === operator && ec.members.some((member) => equalExpr(member.expr, expr)));
  for (const clause of [...problem.clauses]) {
    const { expr } = clause;
    if (clause.of !== null || clause.required !== clause.mask || expr.kind !== 'OpExpr' || expr.args.length !== 2) continue;
    const operator = catalog.operator(expr.operator);
    // One type on both sides keeps every derived comparison within the same operator.
    if (!operator || !operator.oprcanmerge || operator.oprleft !== operator.oprright || isVolatile(expr, catalog)) continue;
    const members = expr.args.map((arg): Member => ({ expr: arg, mask: problem.maskOf(arg) }));
    if (members.every((member) => member.mask === 0) || equalExpr(members[0]!.expr, members[1]!.expr)) continue;
    if (members.some((member) => member.mask !== 0 && (member.mask & (member.mask - 1)) !== 0)) continue;
    const left = find(members[0]!.expr, operator.oid);
    const right = find(members[1]!.expr, operator.oid);
    let target = left ?? right;
    if (!target) classes.push((target = { members: [], operator: operator.oid, collation: expr.inputCollation, sources: [] }));
    if (left && right && left !== right) {
      left.members.push(...right.members);
      left.sources.push(...right.sources);
      classes.splice(classes.indexOf(right), 1);
    }
    for (const member of members) if (!target.members.some((other) => equalExpr(other.expr, member.expr))) target.members.push(member);
    target.sources.push(clause);
  }
  classes.forEach((ec, id) => applyClass(ec, id, problem));
  return sameByNumber(classes);
}

/** Equal in every row. Asked very often while joins are searched: each expression is compared with others once, and has a number from then on. */
function sameByNumber(classes: readonly EquivalenceClass[]): SameValue {
  const distinct: Expr[] = [];
  /** By number, the classes that the expression is in. */
  const classesOf: number[][] = [];
  const numbers = new Map<Expr, number>();
  const numberOf = (expr: Expr): number => {
    let number = numbers.get(expr);
    if (number !== undefined) return number;
    number = distinct.findIndex((other) => equalExpr(other, expr));
    if (number < 0) {
      number = distinct.push(expr) - 1;
      classesOf.push(classes.flatMap((ec, at) => (ec.members.some((member) => equalExpr(member.expr, expr)) ? [at] : [])));
    }
    numbers.set(expr, number);
    return number;
  };
  return (a, b) => {
    if (a === b) return true;
    const first = numberOf(a);
    const second = numberOf(b);
    return first === second || classesOf[first]!.some((at) => classesOf[second]!.includes(at));
  };
}

function applyClass(ec: EquivalenceClass, id: number, problem: JoinProblem): void {
  const constants = ec.members.filter((member) => member.mask === 0);
  const columns = ec.members.filter((member) => member.mask !== 0);
  if (ec.members.length <= 2 && constants.length === 0 && columns.length === 2 && columns[0]!.mask !== columns[1]!.mask) {
    // Just one clause: mark it.
    remove(problem, ec.sources);
    problem.clauses.push(...ec.sources.slice(0, 1).map((clause) => ({ ...clause, ec: id })));
    return;
  }
  if (ec.members.length <= 2) return;
  remove(problem, ec.sources);
  const equality = (left: Member, right: Member): Expr => {
    const written = ec.sources.find(({ expr }) => expr.kind === 'OpExpr' && (pair(expr.args, left, right) || pair(expr.args, right, left)));
    if (written) return written.expr;
    const operator = problem.planner.catalog.operator(ec.operator)!;
    return { kind: 'OpExpr', operator: ec.operator, func: operator.oprcode, args: [left.expr, right.expr], type: 16, typmod: -1, collation: 0, location: -1, inputCollation: ec.collation };
  };
  if (constants.length > 0) {
    const [constant] = constants as [Member];
    for (const column of columns) {
      const expr = equality(column, constant);
      problem.clauses.push(problem.clause(expr, column.mask, column.mask, null));
    }
    // Further constants must equal the first, which each written clause tests.
    for (const other of constants.slice(1)) problem.pseudoconstants.push(equality(constant, other));
    return;
  }
  for (let i = 0; i < columns.length; i++) {
    for (let j = i + 1; j < columns.length; j++) {
      const mask = columns[i]!.mask | columns[j]!.mask;
      const expr = equality(columns[i]!, columns[j]!);
      problem.clauses.push(problem.clause(expr, mask, mask, null, columns[i]!.mask === columns[j]!.mask ? -1 : id));
    }
  }
}

function pair(args: readonly Expr[], left: Member, right: Member): boolean {
  return equalExpr(args[0]!, left.expr) && equalExpr(args[1]!, right.expr);
}

function remove(problem: JoinProblem, sources: readonly Clause[]): void {
  for (const clause of sources) {
    const at = problem.clauses.indexOf(clause);
    if (at >= 0) problem.clauses.splice(at, 1);
  }
}
