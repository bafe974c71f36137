import type { Clock } from '../engine/runtime.js';
import { endOfTurn } from '../engine/turns.js';

/** Answers wait for those of other connections no longer than this: client and server shall work at the same time. */
const HOLD_MS = 0.06;

/**
 * What connections do at the end of a turn of the event loop: send their answers, all of them one after the other. The
 * first write wakes a sleeping client process (costly, an interrupt to another core), and while that starts
 * to run the others cost little. Sent one by one between the reads, each write would wake it again.
 */
export class EndOfTurn {
  #waiting: (() => void)[] = [];
  #running: (() => void)[] = [];
  #sinceMs = 0;
  #scheduled = false;

  constructor(private readonly clock: Clock) {}

  /** Calls `flush` after everything that has arrived by now was processed, or a little earlier. */
  add(flush: () => void): void {
    const now = this.clock.monotonicMs();
    if (this.#waiting.push(flush) === 1) this.#sinceMs = now;
    else if (now - this.#sinceMs > HOLD_MS) {
      this.#flush();
      return;
    }
    if (this.#scheduled) return;
    this.#scheduled = true;
    endOfTurn(this.#run);
  }

  readonly #run = (): void => {
    this.#scheduled = false;
    this.#flush();
  };

  #flush(): void {
    const list = this.#waiting;
    this.#waiting = this.#running;
    for (let i = 0; i < list.length; i++) list[i]!();
    list.length = 0;
    this.#running = list;
  }
}
