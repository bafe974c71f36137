/**
 * How running operators stay interruptible: they ask `shouldYield()` inside loops that may be
 * long and, when it says so, return TIME_SLICE up to the portal driver, which gives the event loop
 * a turn (and so lets cancel requests and other sessions in) and calls next() again.
 */
import { Pending } from '../../engine/pending.js';
import { sliceMs } from '../../engine/turns.js';

/** Not a wait: "my time slice is over, give the event loop a turn and call again". */
export const TIME_SLICE = new Pending(Promise.resolve(), 'Timeout', 'TimeSlice');

export interface Interrupts {
  /**
   * True when the current slice (1 ms, less while others are answered) is used up. Throws what ends the statement (57014 for a
   * cancel or timeout, 57P01 for a shutdown) if something has asked for it. Cheap: reads the clock
   * once in many calls.
   */
  shouldYield(): boolean;
}

const CALLS_PER_CLOCK_READ = 4;

/** Slices by a monotonic clock; `check` throws when the statement shall end. */
export class SliceInterrupts implements Interrupts {
  private calls = 0;
  private sliceEnd = 0;
  constructor(private readonly nowMs: () => number, private readonly check: () => void) {}

  shouldYield(): boolean {
    if (++this.calls < CALLS_PER_CLOCK_READ) return false;
    this.calls = 0;
    this.check();
    const now = this.nowMs();
    if (now < this.sliceEnd) return false;
    const over = this.sliceEnd !== 0;
    this.sliceEnd = now + sliceMs();
    return over;
  }

  /** The driver calls it when a new slice begins. */
  beginSlice(): void {
    this.sliceEnd = this.nowMs() + sliceMs();
  }
}

export const NO_INTERRUPTS: Interrupts = { shouldYield: () => false };
