/**
 * Source of one kernel while it is being written: statements in nested blocks, and the values that
 * it takes from outside. Names are made here and constants are passed by reference, so no text of
 * a user ever enters the source; kernels of the same shape share one compiled function.
 */
import type { Dictionary } from './dictionary.js';

export class Kernel {
  private readonly lines: (string | ((view: KernelView) => string))[] = [];
  private readonly preamble: string[] = [];
  private readonly postamble: string[] = [];
  readonly values: unknown[] = [];
  private readonly known = new Map<unknown, string>();
  private readonly scopes: Map<string, string>[] = [new Map()];
  private readonly arrays = new Map<string, string>();
  /** What it reads of a view. */
  readonly reads: { readonly what: ViewArray; readonly column: number }[] = [];
  private counter = 0;
  /** Its text by what differs from view to view. */
  private readonly sources = new Map<string, string>();
  /** Once it is complete. */
  private readonly ofViews = new Map<KernelView, string>();

  name(prefix: string): string {
    return `${prefix}${this.counter++}`;
  }

  line(source: string): void {
    this.lines.push(source);
  }

  /** A statement whose text is known when the kernel is complete; it may differ from view to view. */
  late(source: (view: KernelView) => string): void {
    this.lines.push(source);
  }

  /** A statement before the loops. */
  before(source: string): void {
    this.preamble.push(source);
  }

  /** A statement after the loops. */
  after(source: string): void {
    this.postamble.push(source);
  }

  /** A value from outside under a name of its own; the same value has one name. */
  outside(value: unknown, prefix = 'k'): string {
    const plain = !Object.is(value, -0);
    let name = plain ? this.known.get(value) : undefined;
    if (name === undefined) {
      name = this.name(prefix);
      const read = `K[${this.values.length}]`;
      // A number is taken out of its box once, before the loop.
      this.preamble.push(`const ${name} = ${typeof value !== 'number' ? read : plain && (value | 0) === value ? `${read} | 0` : `+${read}`};`);
      this.values.push(value);
      if (plain) this.known.set(value, name);
    }
    return name;
  }

  /** Name of an array of the running view. */
  viewArray(what: ViewArray, column: number): string {
    const key = `${what}${column}`;
    let name = this.arrays.get(key);
    if (name === undefined) {
      this.arrays.set(key, (name = this.name(what[0]!)));
      this.preamble.push(`const ${name} = V.${what}[${column}]${what === 'places' ? ' | 0' : ''};`);
      this.reads.push({ what, column });
    }
    return name;
  }

  /** Name of the running view's base. */
  base(): string {
    let name = this.arrays.get('base');
    if (name === undefined) {
      this.arrays.set('base', (name = this.name('k')));
      this.preamble.push(`const ${name} = V.base | 0;`);
    }
    return name;
  }

  /** Declares `source` as a constant of the current block, once; `key` finds it again. */
  once(key: string, prefix: string, source: () => string): string {
    for (let i = this.scopes.length - 1; i >= 0; i--) {
      const found = this.scopes[i]!.get(key);
      if (found !== undefined) return found;
    }
    const name = this.name(prefix);
    this.line(`const ${name} = ${source()};`);
    this.scopes[this.scopes.length - 1]!.set(key, name);
    return name;
  }

  /** The same with a source that may differ from view to view. */
  onceLate(key: string, prefix: string, source: (view: KernelView) => string): string {
    for (let i = this.scopes.length - 1; i >= 0; i--) {
      const found = this.scopes[i]!.get(key);
      if (found !== undefined) return found;
    }
    const name = this.name(prefix);
    this.late((view) => `const ${name} = ${source(view)};`);
    this.scopes[this.scopes.length - 1]!.set(key, name);
    return name;
  }

  /** `head { body }`: what the body declares ends with it. */
  block(head: string, body: () => void): void {
    this.line(`${head} {`);
    this.scopes.push(new Map());
    body();
    this.scopes.pop();
    this.line('}');
  }

  /** The whole as a function (K values from outside, V view of the source, from, to). */
  compile(view: KernelView): KernelFunction {
    return compileKernel(this.source(view));
  }

  /**
   * Its text for views like this one. Kernels over arrays of other types are functions of their own, because V8 keeps one
   * version per function, slower for each type it meets.
   */
  source(view: KernelView): string {
    const known = this.ofViews.get(view);
    if (known !== undefined) return known;
    const late: string[] = [];
    for (const line of this.lines) if (typeof line !== 'string') late.push(line(view));
    const types = view.data.map(arrayType).join('') + view.lifted.map(arrayType).join('');
    const key = `${types}\n${late.join('\n')}`;
    let source = this.sources.get(key);
    if (source === undefined) {
      let next = 0;
      const lines = this.lines.map((line) => (typeof line === 'string' ? line : late[next++]!));
      source = `// ${this.values.map(arrayType).join('')}${types}\n${this.preamble.join('\n')}\n${lines.join('\n')}\n${this.postamble.join('\n')}`;
      this.sources.set(key, source);
    }
    this.ofViews.set(view, source);
    return source;
  }
}

/** The function of a kernel's source, one per thread and source. */
export function compileKernel(source: string): KernelFunction {
  let compiled = compiledKernels.get(source);
  if (compiled) compiledKernels.delete(source);
  else {
    if (compiledKernels.size >= MAX_KERNELS) compiledKernels.delete(compiledKernels.keys().next().value!);
    // eslint-disable-next-line @typescript-eslint/no-implied-eval
    compiled = new Function('K', 'V', 'from', 'to', `'use strict';\n${source}\n//# sourceURL=kernel-${++kernelsMade}`) as KernelFunction;
  }
  compiledKernels.set(source, compiled);
  return compiled;
}

function arrayType(value: unknown): string {
  if (value instanceof Int32Array) return 'i';
  if (value instanceof Float64Array) return 'd';
  if (value instanceof Uint8Array) return 'b';
  if (value instanceof Uint16Array) return 'h';
  if (value instanceof Int16Array) return 's';
  if (value instanceof BigInt64Array) return 'q';
  return typeof value === 'number' ? 'n' : 'o';
}

export type ViewArray = 'data' | 'halves' | 'nulls' | 'refs' | 'dictionaries' | 'lifted' | 'places';

/** What a kernel reads of its source: per column data, nulls and dictionary codes to texts, and tables. */
export interface KernelView {
  readonly data: readonly unknown[];
  /** Position of the view's first slot among those of all views. */
  readonly base: number;
  /** Of 64-bit integers: lower and upper halves in turn. */
  readonly halves: readonly (Int32Array | null)[];
  readonly nulls: readonly (Uint8Array | null)[];
  readonly skip: Uint8Array | null;
  /** Per column: dictionary code to the execution's number of the text, -1 not asked yet. */
  readonly refs: (Int32Array | null)[];
  /** Per column: place of the dictionary's first text. */
  readonly places: number[];
  readonly dictionaries: readonly (Dictionary | null)[];
  /** Expressions over one text column, computed per dictionary entry. */
  readonly lifted: unknown[];
}

/** Of a source that is not a relation. */
export const NO_VIEW: KernelView = { base: 0, data: [], halves: [], nulls: [], skip: null, refs: [], places: [], dictionaries: [], lifted: [] };

export type KernelFunction = (values: readonly unknown[], view: KernelView, from: number, to: number) => void;

/** Number of the last kernel: what a profile shows. */
let kernelsMade = 0;
const MAX_KERNELS = 512;
const compiledKernels = new Map<string, KernelFunction>();
