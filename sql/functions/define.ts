/** Short forms for tables of implementations. */
import type { Datum } from '../types/datum.js';
import type { AggregateFunction, BoundAggregate, FunctionCall, ScalarFunction, SetFunction, SqlFunction } from './function.js';

type Fn = (...args: never[]) => Datum;
type Inline = (args: readonly string[]) => string;

/** `f(signature, implementation[, inline source])`. */
export function f(signature: string | readonly string[], evaluate: Fn, inline?: Inline): ScalarFunction {
  return inline ? { kind: 'scalar', signature, evaluate, inline } : { kind: 'scalar', signature, evaluate };
}

/** With the EvalContext as last argument. */
export function fc(signature: string | readonly string[], evaluate: Fn): ScalarFunction {
  return { kind: 'scalar', signature, evaluate, needsContext: true };
}

/** Bound to the call's types; `evaluate` takes no context. */
export function fb(signature: string | readonly string[], bind: (call: FunctionCall) => Fn): ScalarFunction {
  return { kind: 'scalar', signature, bind };
}

/** Bound to the call's types; what `bind` returns takes the context last. */
export function fbc(signature: string | readonly string[], bind: (call: FunctionCall) => Fn): ScalarFunction {
  return { kind: 'scalar', signature, bind, needsContext: true };
}

type Rows = Iterable<Datum | readonly Datum[]>;

export function set(signature: string | readonly string[], rows: (...args: never[]) => Rows): SetFunction {
  return { kind: 'set', signature, rows };
}

export function setc(signature: string | readonly string[], rows: (...args: never[]) => Rows): SetFunction {
  return { kind: 'set', signature, rows, needsContext: true };
}

export function setbc(signature: string | readonly string[], bind: (call: FunctionCall) => (...args: never[]) => Rows): SetFunction {
  return { kind: 'set', signature, bind, needsContext: true };
}

export function aggregate<S>(signature: string | readonly string[], bind: (call: FunctionCall) => BoundAggregate<S>): AggregateFunction {
  return { kind: 'aggregate', signature, bind: bind as unknown as AggregateFunction['bind'] };
}

export const binary = (operator: string): Inline => ([a, b]) => `(${a} ${operator} ${b})`;

/** eq, ne, lt, le, gt, ge and cmp over one comparison. `names` maps each to its pg_proc name. */
export function comparisons(types: string, name: (operation: string) => string, compare: (a: never, b: never) => number, options: { cmp?: string; primitive?: true } = {}): SqlFunction[] {
  const inline = (operator: string): Inline | undefined => (options.primitive ? binary(operator) : undefined);
  const out: SqlFunction[] = [
    f(`${name('eq')}(${types})`, (a, b) => compare(a, b) === 0, inline('===')),
    f(`${name('ne')}(${types})`, (a, b) => compare(a, b) !== 0, inline('!==')),
    f(`${name('lt')}(${types})`, (a, b) => compare(a, b) < 0, inline('<')),
    f(`${name('le')}(${types})`, (a, b) => compare(a, b) <= 0, inline('<=')),
    f(`${name('gt')}(${types})`, (a, b) => compare(a, b) > 0, inline('>')),
    f(`${name('ge')}(${types})`, (a, b) => compare(a, b) >= 0, inline('>=')),
  ];
  if (options.cmp) {
    out.push(f(`${options.cmp}(${types})`, (a, b) => {
      const order = compare(a, b);
      return order < 0 ? -1 : order > 0 ? 1 : 0;
    }));
  }
  return out;
}
