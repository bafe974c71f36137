/**
 * Looking for the next message for some microseconds before the process sleeps. Going to sleep and being woken costs
 * more (context switches, an idle core that must wake up) than a key read, and a client that works in a
 * loop comes back within microseconds. Measured with one pgbench client: 13,000 round trips a second
 * asleep between them, 45,000 awake.
 *
 * It adapts: a spin that met no message costs credit, one that did earns some. Without credit there is
 * none, but for a try now and then, so that slow clients do not keep a core busy.
 */
import type { Clock } from '../engine/runtime.js';

const MAX_CREDIT = 64;
/** What a spin in vain costs, in spins that were worth it. */
const MISS = 4;
/** Without credit, one of so many rounds is tried. */
const TRY_EVERY = 64;

export class Spinner {
  #credit = MAX_CREDIT;
  #spinning = false;
  #met = false;
  #untilMs = 0;
  #skipped = 0;

  constructor(private readonly clock: Clock, private readonly spinMs: number) {}

  /** Messages were processed: the next may come soon. */
  kick(): void {
    if (this.spinMs === 0) return;
    if (this.#spinning) {
      this.#met = true;
      this.#untilMs = this.clock.monotonicMs() + this.spinMs;
      return;
    }
    if (this.#credit <= 0 && ++this.#skipped % TRY_EVERY !== 0) return;
    this.#spinning = true;
    this.#met = false;
    this.#untilMs = this.clock.monotonicMs() + this.spinMs;
    setImmediate(this.#turn);
  }

  readonly #turn = (): void => {
    if (this.#met) {
      this.#met = false;
      if (this.#credit < MAX_CREDIT) this.#credit++;
    }
    if (this.clock.monotonicMs() < this.#untilMs) {
      setImmediate(this.#turn);
      return;
    }
    this.#spinning = false;
    if (this.#credit > 0) this.#credit -= MISS;
  };
}
