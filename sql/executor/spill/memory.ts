/** What an operator may keep in memory, and what rows take there. */
import type { Datum } from '../../types/datum.js';
import type { ExecState } from '../exec-state.js';

const DEFAULT_WORK_MEM = 4096;
const DEFAULT_MULTIPLIER = 2;
const UNITS = { kB: 1, MB: 1024, GB: 1 << 20, TB: 1 << 30 };

/** A memory setting as SHOW prints it ('4MB', '64kB', '-1'), in kilobytes. */
export function kilobytesOf(shown: string | undefined, otherwise: number): number {
  const found = /^(-?\d+)(kB|MB|GB|TB)?$/.exec(shown ?? '');
  return found ? Number(found[1]) * UNITS[(found[2] ?? 'kB') as 'kB'] : otherwise;
}

/** Bytes for one sort. */
export function sortMemory({ context }: ExecState): number {
  return kilobytesOf(context.settings.get('work_mem'), DEFAULT_WORK_MEM) * 1024;
}

/** Bytes for one hash table. */
export function hashMemory(state: ExecState): number {
  const multiplier = Number(state.context.settings.get('hash_mem_multiplier') ?? DEFAULT_MULTIPLIER);
  return sortMemory(state) * (Number.isFinite(multiplier) ? multiplier : DEFAULT_MULTIPLIER);
}

/** About what a value takes in V8's heap. */
export function datumBytes(value: Datum): number {
  switch (typeof value) {
    case 'number': case 'boolean': return 12;
    case 'string': return 24 + value.length;
    case 'bigint': return 32;
    default: return value === null ? 8 : value instanceof Uint8Array ? 96 + value.length : 'elements' in value && Array.isArray(value.elements) ? 128 + value.elements.length * 16 : 64;
  }
}
