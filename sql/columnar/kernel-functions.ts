/** Functions that kernels call on any thread: they depend on their arguments alone. They travel by name. */
import { addFloat, checkInt2, checkInt4, divFloat, mulFloat, subFloat } from '../functions/kernel-helpers.js';

type KernelHelper = (...values: number[]) => number;

const FUNCTIONS: Readonly<Record<string, KernelHelper>> = { addFloat, checkInt2, checkInt4, divFloat, mulFloat, subFloat } as Record<string, KernelHelper>;
const NAMES = new Map<unknown, string>(Object.entries(FUNCTIONS).map(([name, helper]) => [helper, name]));

/** The name under which other threads know a function; undefined for all others. */
export function helperName(value: unknown): string | undefined {
  return NAMES.get(value);
}

export function helperNamed(name: string): KernelHelper {
  return FUNCTIONS[name]!;
}
