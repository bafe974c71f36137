/**
 * What rows of a kernel's source have taken, by the kernel's text: kernels of the same shape have the same text, whatever their constants.
 * A pipeline is handed to threads by the time that it will take (thread-run.ts).
 */
import type { Kernel, KernelView } from './kernel.js';

/** Of a kernel that has not run yet. */
const UNKNOWN_NS = 10;
/** Fewer rows say little, and a kernel's first rows are interpreted. */
const MIN_ROWS = 1024;
/** What a slower run counts beside those before: it may have waited for a core. */
const SLOWER_PART = 1 / 8;
const MOST = 1024;
/** How much more a slice counts than its part of the rows so far. */
const RECENT = 4;

/** Rows of a kernel's source, and what the last of them took, each. */
export interface Speed { readonly rows: number; readonly ns: number }

const nsPerRow = new Map<string, number>();

/** Speed of a run, slice by slice: the last ones count most, because a kernel's first rows are interpreted. */
export class RunSpeed {
  rows = 0;
  ns = 0;

  passed(rows: number, ms: number): void {
    const part = this.rows === 0 ? 1 : Math.min(1, (rows / this.rows) * RECENT);
    this.rows += rows;
    this.ns += ((ms * 1e6) / rows - this.ns) * part;
  }
}

/** Notes a run of a kernel with this text. */
export function noteKernelSpeed(source: string, { rows, ns }: Speed): void {
  if (rows < MIN_ROWS) return;
  const known = nsPerRow.get(source);
  if (known !== undefined) nsPerRow.delete(source);
  else if (nsPerRow.size >= MOST) nsPerRow.delete(nsPerRow.keys().next().value!);
  nsPerRow.set(source, known === undefined || ns < known ? ns : known + (ns - known) * SLOWER_PART);
}

/** How long one thread will take for these rows. `madeRows`: what joins are estimated to make of them, for a kernel that has not run yet. */
export function expectedMs(kernel: Kernel, stretches: readonly { readonly view: KernelView; readonly first: number; readonly rows: number }[], madeRows: number): number {
  let known = 0;
  let unknown = 0;
  let all = 0;
  for (const { view, first, rows } of stretches) {
    const ns = nsPerRow.get(kernel.source(view));
    all += rows - first;
    if (ns === undefined) unknown += rows - first;
    else known += (rows - first) * ns;
  }
  return (known + (unknown === 0 ? 0 : unknown * UNKNOWN_NS * (1 + madeRows / all))) / 1e6;
}
