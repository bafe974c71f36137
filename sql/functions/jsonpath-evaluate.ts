/** Evaluates jsonpath over jsonb, in lax and strict mode (jsonpath_exec.c), and the jsonb_path_* functions. */
import { DatabaseError, notSupported } from '../../engine/errors.js';
import { parseFloatText } from '../types/float.js';
import { Jsonb, JsonbObject, isJsonbArray, makeJsonbObject, type JsonbNode } from '../types/jsonb.js';
import type { Accessor, Arithmetic, Comparison, JsonPath, PathNode } from '../types/jsonpath.js';
import { Numeric, compareNumeric } from '../types/numeric.js';
import { compareText } from '../types/utf8.js';
import { f, set } from './define.js';
import type { SqlFunction } from './function.js';
import { defaultFlags, regex } from './regex.js';

type Truth = boolean | null;

/** An error that predicates turn into unknown and silent callers into nothing. */
class PathError extends Error {
  constructor(readonly sqlstate: string, message: string) {
    super(message);
  }
}

const typeName = (node: JsonbNode): string => (node === null ? 'null' : typeof node === 'string' ? 'string' : typeof node === 'boolean' ? 'boolean' : node instanceof Numeric ? 'number' : node instanceof JsonbObject ? 'object' : 'array');

class Evaluator {
  private current: JsonbNode;
  private lastIndex = -1;
  private readonly lax: boolean;

  constructor(private readonly path: JsonPath, private readonly root: JsonbNode, private readonly variables: JsonbObject) {
    this.current = root;
    this.lax = path.lax;
  }

  run(): JsonbNode[] {
    return this.evaluate(this.path.root);
  }

  private unwrap(items: readonly JsonbNode[]): JsonbNode[] {
    return this.lax ? items.flatMap((item) => (isJsonbArray(item) ? [...item] : [item])) : [...items];
  }

  evaluate(node: PathNode): JsonbNode[] {
    switch (node.kind) {
      case 'root': return [this.root];
      case 'current': return [this.current];
      case 'last':
        if (this.lastIndex < 0) throw new DatabaseError('42601', 'LAST is allowed only in array subscripts');
        return [Numeric.of(this.lastIndex, 0)];
      case 'variable': {
        const value = this.variables.get(node.name);
        if (value === undefined) throw new DatabaseError('42704', `could not find jsonpath variable "${node.name}"`);
        return [value];
      }
      case 'constant': return [node.value];
      case 'chain': {
        let items = this.evaluate(node.base);
        for (const accessor of node.accessors) items = items.flatMap((item) => this.access(item, accessor, true));
        return items;
      }
      case 'arithmetic': {
        const left = this.operand(node.left, node.op, 'left');
        const right = this.operand(node.right, node.op, 'right');
        return [compute(node.op, left, right)];
      }
      case 'unary':
        return this.unwrap(this.evaluate(node.arg)).map((item) => {
          const { op } = node;
          if (!(item instanceof Numeric)) throw new PathError('2203B', `operand of unary jsonpath operator ${op} is not a numeric value`);
          return op === '-' ? item.negate() : item;
        });
      default: return [this.test(node)];
    }
  }

  private operand(node: PathNode, op: string, side: 'left' | 'right'): Numeric {
    const items = this.unwrap(this.evaluate(node));
    const [item] = items;
    if (items.length !== 1 || !(item instanceof Numeric)) throw new PathError('22038', `${side} operand of jsonpath operator ${op} is not a single numeric value`);
    return item;
  }

  /** Applies an accessor to one item; `unwrapping` is false for elements that were unwrapped already. */
  private access(item: JsonbNode, accessor: Accessor, unwrapping: boolean): JsonbNode[] {
    switch (accessor.kind) {
      case 'key':
        if (item instanceof JsonbObject) {
          const value = item.get(accessor.name);
          if (value !== undefined) return [value];
          if (!this.lax) throw new PathError('2203A', `JSON object does not contain key "${accessor.name}"`);
          return [];
        }
        if (this.lax && unwrapping && isJsonbArray(item)) return item.flatMap((element) => this.access(element, accessor, false));
        if (!this.lax) throw new PathError('2203A', 'jsonpath member accessor can only be applied to an object');
        return [];
      case 'anyKey':
        if (item instanceof JsonbObject) return [...item.values];
        if (this.lax && unwrapping && isJsonbArray(item)) return item.flatMap((element) => this.access(element, accessor, false));
        if (!this.lax) throw new PathError('2203C', 'jsonpath wildcard member accessor can only be applied to an object');
        return [];
      case 'anyArray':
        if (isJsonbArray(item)) return [...item];
        if (!this.lax) throw new PathError('22039', 'jsonpath wildcard array accessor can only be applied to an array');
        return [item];
      case 'recursive': return this.descend(item, accessor.from, accessor.to, 0);
      case 'index': return this.subscript(item, accessor.subscripts);
      case 'filter': {
        const candidates = this.lax && unwrapping && isJsonbArray(item) ? item : [item];
        return candidates.filter((candidate) => {
          const saved = this.current;
          this.current = candidate;
          try {
            return this.test(accessor.predicate) === true;
          } finally {
            this.current = saved;
          }
        });
      }
      case 'method': return this.method(item, accessor.name, unwrapping);
    }
  }

  private descend(item: JsonbNode, from: number, to: number, level: number): JsonbNode[] {
    const out: JsonbNode[] = [];
    const children = item instanceof JsonbObject ? item.values : isJsonbArray(item) ? item : [];
    if (from === Infinity) {
      if (children.length === 0) out.push(item);
    } else if (level >= from && level <= to) out.push(item);
    if (level < to) for (const child of children) out.push(...this.descend(child, from, to, level + 1));
    return out;
  }

  private subscript(item: JsonbNode, subscripts: readonly { from: PathNode; to: PathNode | null }[]): JsonbNode[] {
    if (!isJsonbArray(item) && !this.lax) throw new PathError('22039', 'jsonpath array accessor can only be applied to an array');
    const array = isJsonbArray(item) ? item : [item];
    const saved = this.lastIndex;
    this.lastIndex = array.length - 1;
    const index = (node: PathNode): number => {
      const items = this.evaluate(node);
      const [value] = items;
      if (items.length !== 1 || !(value instanceof Numeric)) throw new PathError('22033', 'jsonpath array subscript is not a single numeric value');
      const result = Number(value.truncate(0).toString());
      if (!(result >= -2147483648 && result <= 2147483647)) throw new PathError('22033', 'jsonpath array subscript is out of integer range');
      return result;
    };
    try {
      return subscripts.flatMap(({ from, to }) => {
        let low = index(from);
        let high = to ? index(to) : low;
        if (!this.lax && (low < 0 || low > high || high >= array.length)) throw new PathError('22033', 'jsonpath array subscript is out of bounds');
        low = Math.max(low, 0);
        high = Math.min(high, array.length - 1);
        return array.slice(low, high + 1);
      });
    } finally {
      this.lastIndex = saved;
    }
  }

  private method(item: JsonbNode, name: string, unwrapping: boolean): JsonbNode[] {
    if (name === 'type') return [typeName(item)];
    if (name === 'size') {
      if (isJsonbArray(item)) return [Numeric.of(item.length, 0)];
      if (!this.lax) throw new PathError('22039', 'jsonpath item method .size() can only be applied to an array');
      return [Numeric.one];
    }
    if (this.lax && unwrapping && isJsonbArray(item)) return item.flatMap((element) => this.method(element, name, false));
    switch (name) {
      case 'abs': case 'floor': case 'ceiling':
        if (!(item instanceof Numeric)) throw new PathError('22036', `jsonpath item method .${name}() can only be applied to a numeric value`);
        return [name === 'abs' ? item.abs() : name === 'floor' ? item.floor() : item.ceil()];
      case 'double': {
        if (typeof item !== 'string' && !(item instanceof Numeric)) throw new PathError('22036', 'jsonpath item method .double() can only be applied to a string or numeric value');
        let value: number;
        try {
          value = parseFloatText(String(item), 'double precision');
        } catch {
          throw new PathError('22036', typeof item === 'string' ? 'string argument of jsonpath item method .double() is not a valid representation of a double precision number' : 'numeric argument of jsonpath item method .double() is out of range for type double precision');
        }
        if (!Number.isFinite(value)) throw new PathError('22036', 'NaN or Infinity is not allowed for jsonpath item method .double()');
        return [Numeric.fromFloat(value, 15)];
      }
      case 'keyvalue':
        if (!(item instanceof JsonbObject)) throw new PathError('2203C', 'jsonpath item method .keyvalue() can only be applied to an object');
        return item.keys.map((key, i) => makeJsonbObject(['id', 'key', 'value'], [Numeric.zero, key, item.values[i]!]));
      default: throw notSupported(`jsonpath item method .${name}()`);
    }
  }

  /** Three-valued; errors inside operands are unknown. */
  test(node: PathNode): Truth {
    switch (node.kind) {
      case 'and': {
        const left = this.test(node.left);
        if (left === false) return false;
        const right = this.test(node.right);
        return right === true ? left : right;
      }
      case 'or': {
        const left = this.test(node.left);
        if (left === true) return true;
        const right = this.test(node.right);
        return right === false ? left : right;
      }
      case 'not': {
        const value = this.test(node.arg);
        return value === null ? null : !value;
      }
      case 'isUnknown': return this.test(node.arg) === null;
      case 'exists': {
        const items = this.quietly(() => this.evaluate(node.arg));
        return items && items.length > 0;
      }
      case 'comparison': return this.anyPair(node.left, node.right, (a, b) => compareItems(node.op, a, b));
      case 'startsWith': return this.anyPair(node.left, node.right, (a, b) => (typeof a === 'string' && typeof b === 'string' ? a.startsWith(b) : null));
      case 'likeRegex': {
        const flags = { ...defaultFlags(), icase: node.flags.includes('i'), literal: node.flags.includes('q'), newlineAnchors: node.flags.includes('m'), newlineStops: !node.flags.includes('s') };
        const re = regex(node.pattern, flags);
        return this.anyPair(node.arg, null, (a) => (typeof a === 'string' ? re.test(a) : null));
      }
      default: {
        const items = this.evaluate(node);
        const [item] = items;
        if (items.length === 1 && typeof item === 'boolean') return item;
        return null;
      }
    }
  }

  private quietly(run: () => JsonbNode[]): JsonbNode[] | null {
    try {
      return run();
    } catch (error) {
      if (error instanceof PathError) return null;
      throw error;
    }
  }

  /** executePredicate: true for some pair (lax), all pairs looked at in strict mode. */
  private anyPair(left: PathNode, right: PathNode | null, holds: (a: JsonbNode, b: JsonbNode) => Truth): Truth {
    const lefts = this.quietly(() => this.unwrap(this.evaluate(left)));
    if (!lefts) return null;
    const rights = right ? this.quietly(() => this.unwrap(this.evaluate(right))) : [null];
    if (!rights) return null;
    let failed = false;
    let found = false;
    for (const a of lefts) {
      for (const b of rights) {
        const result = holds(a, b);
        if (result === null) {
          if (!this.lax) return null;
          failed = true;
        } else if (result) {
          if (this.lax) return true;
          found = true;
        }
      }
    }
    return found ? true : failed ? null : false;
  }
}

function compute(op: Arithmetic, left: Numeric, right: Numeric): Numeric {
  try {
    switch (op) {
      case '+': return left.add(right);
      case '-': return left.subtract(right);
      case '*': return left.multiply(right);
      case '/': return left.divide(right);
      case '%': return left.mod(right);
    }
  } catch (error) {
    if (error instanceof DatabaseError) throw new PathError(error.sqlstate, error.message);
    throw error;
  }
}

function compareItems(op: Comparison, a: JsonbNode, b: JsonbNode): Truth {
  const [left, right] = [typeName(a), typeName(b)];
  if (left !== right) return left === 'null' || right === 'null' ? op === '!=' : null;
  let order: number;
  switch (left) {
    case 'null': order = 0; break;
    case 'boolean': order = Number(a) - Number(b); break;
    case 'number': order = compareNumeric(a as Numeric, b as Numeric); break;
    case 'string': order = compareText(a as string, b as string); break;
    default: return null;
  }
  switch (op) {
    case '==': return order === 0;
    case '!=': return order !== 0;
    case '<': return order < 0;
    case '<=': return order <= 0;
    case '>': return order > 0;
    case '>=': return order >= 0;
  }
}

const NO_VARIABLES = new JsonbObject([], []);

function variablesOf(vars: Jsonb | undefined): JsonbObject {
  if (!vars) return NO_VARIABLES;
  if (!(vars.value instanceof JsonbObject)) throw new DatabaseError('22023', '"vars" argument is not an object', { detail: 'Jsonpath parameters should be encoded as key-value pairs of "vars" object.' });
  return vars.value;
}

/** All items; null when silent and it failed. */
function query(target: Jsonb, path: JsonPath, vars: Jsonb | undefined, silent: boolean): JsonbNode[] | null {
  try {
    return new Evaluator(path, target.value, variablesOf(vars)).run();
  } catch (error) {
    if (!(error instanceof PathError)) throw error;
    if (silent) return null;
    throw new DatabaseError(error.sqlstate, error.message);
  }
}

function exists(target: Jsonb, path: JsonPath, vars?: Jsonb, silent = true): boolean | null {
  const items = query(target, path, vars, silent);
  return items && items.length > 0;
}

function match(target: Jsonb, path: JsonPath, vars?: Jsonb, silent = true): boolean | null {
  const items = query(target, path, vars, silent);
  if (items?.length === 1) {
    const [item] = items;
    if (typeof item === 'boolean') return item;
    if (item === null) return null;
  }
  if (!silent) throw new DatabaseError('22038', 'single boolean result is expected');
  return null;
}

function family(suffix: string): SqlFunction[] {
  const types = '(jsonb,jsonpath,jsonb,bool)';
  return [
    f(`jsonb_path_exists${suffix}${types}`, exists),
    f(`jsonb_path_match${suffix}${types}`, match),
    set(`jsonb_path_query${suffix}${types}`, (target: Jsonb, path: JsonPath, vars: Jsonb, silent: boolean) => (query(target, path, vars, silent) ?? []).map((item) => new Jsonb(item))),
    f(`jsonb_path_query_array${suffix}${types}`, (target: Jsonb, path: JsonPath, vars: Jsonb, silent: boolean) => new Jsonb(query(target, path, vars, silent) ?? [])),
    f(`jsonb_path_query_first${suffix}${types}`, (target: Jsonb, path: JsonPath, vars: Jsonb, silent: boolean) => {
      const first = query(target, path, vars, silent)?.[0];
      return first === undefined ? null : new Jsonb(first);
    }),
  ];
}

export const jsonpathFunctions: readonly SqlFunction[] = [
  ...family(''),
  ...family('_tz'),
  f('jsonb_path_exists_opr(jsonb,jsonpath)', (target: Jsonb, path: JsonPath) => exists(target, path)),
  f('jsonb_path_match_opr(jsonb,jsonpath)', (target: Jsonb, path: JsonPath) => match(target, path)),
];
