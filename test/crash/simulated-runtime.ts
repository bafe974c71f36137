/**
 * A Runtime without real time, randomness or threads: the test moves the clock and runs what is
 * due, so a seed replays a run, and a "crash" is simply never running the old runtime again.
 */
import { nodeRuntime } from '../../engine/runtime-node.js';
import type { Clock, RandomSource, Runtime, Threads } from '../../engine/runtime.js';

/** mulberry32. */
export function seededRandom(seed: number): () => number {
  let a = seed;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

interface Due {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

export class SimulatedClock implements Clock {
  private ms = 1_000_000;
  private due: Due[] = [];
  private order = 0;

  nowMicros(): number {
    return Math.floor(this.ms * 1000) + 1_700_000_000_000_000;
  }

  get currentMs(): number {
    return this.ms;
  }

  /** A process that starts later than another finds the clock where that one left it. */
  advanceTo(ms: number): void {
    this.ms = Math.max(this.ms, ms);
  }

  monotonicMs(): number {
    // Time passes by being looked at, so that slices end.
    this.ms += 0.05;
    return this.ms;
  }

  after(delayMs: number, callback: () => void): () => void {
    const entry: Due = { at: this.ms + Math.max(0, delayMs), order: this.order++, callback };
    this.due.push(entry);
    return () => {
      this.due = this.due.filter((other) => other !== entry);
    };
  }

  turn(): Promise<void> {
    return new Promise((resolve) => this.after(0, resolve));
  }

  /** Runs the callback that is due next within `withinMs`; false when there is none. */
  step(withinMs: number): boolean {
    let next: Due | undefined;
    for (const entry of this.due) if (!next || entry.at < next.at || (entry.at === next.at && entry.order < next.order)) next = entry;
    if (!next || next.at > this.ms + withinMs) return false;
    this.due = this.due.filter((entry) => entry !== next);
    this.ms = Math.max(this.ms, next.at);
    next.callback();
    return true;
  }

  /** Runs timers until `promise` is settled. */
  async drive<T>(promise: Promise<T>): Promise<T> {
    let done = false;
    promise.then(
      () => (done = true),
      () => (done = true),
    );
    while (!done) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      this.step(60);
    }
    return promise;
  }

  /** Lets promises settle and timers run until nothing is due within `withinMs`. */
  async settle(withinMs = 5): Promise<void> {
    for (let idle = 0; idle < 3; ) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (this.step(withinMs)) idle = 0;
      else idle++;
    }
  }
}

export interface SimulatedRuntime extends Runtime {
  readonly clock: SimulatedClock;
}

export function simulatedRuntime(seed: number): SimulatedRuntime {
  const random = seededRandom(seed);
  const source: RandomSource = { bytes: (length) => Uint8Array.from({ length }, () => Math.floor(random() * 256)), uniform: random };
  const threads: Threads = {
    start() {
      throw new Error('the simulation runs in one thread');
    },
  };
  const { files, processes } = nodeRuntime();
  return { clock: new SimulatedClock(), random: source, files, threads, processes };
}
