/**
 * What the tables of one execution's kernels may take before its row operators take over, which write to files. Kernels
 * keep numbers in typed arrays, a fraction of what rows take, and cannot spill: they get work_mem, or a quarter of what
 * segments may take where that is more.
 */
import type { ExecState } from '../executor/exec-state.js';
import { hashMemory, kilobytesOf } from '../executor/spill/memory.js';
import { canSpill } from '../executor/spill/temp-file.js';

const SEGMENT_SHARE = 0.25;
const DEFAULT_COLUMN_KILOBYTES = 1 << 20;

export function kernelMemory(state: ExecState): number {
  if (!canSpill(state)) return Infinity;
  return Math.max(hashMemory(state), kilobytesOf(state.context.settings.get('oxbow.column_memory'), DEFAULT_COLUMN_KILOBYTES) * 1024 * SEGMENT_SHARE);
}
