/**
 * How long work shares its thread with short requests. The event loop alone is not fair: everything that asked for a turn
 * by setImmediate runs between two looks at the sockets, so that a request waits for a slice of each, and its
 * answer, which leaves at the end of a turn, for another of each. Here one of those who wait goes on per turn, after
 * what the turn has to answer; and while others are being answered, slices are short.
 *
 *     poll: requests are read and processed -> answers leave -> one slice of long work -> poll
 */

/** While nobody else is answered. */
const SLICE_MS = 1;
/** While others are: what a request waits for at worst, beside garbage collection. */
const SHARED_SLICE_MS = 0.25;
/** Slices are short for so many turns after an answer. */
const SHARED_TURNS = 200;

class Turns {
  private waiting: (() => void)[] = [];
  private scheduled = false;
  private sharedTurns = 0;
  private answers: (() => void)[] = [];
  answered = 0;

  turn(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      this.schedule();
    });
  }

  /** `answer`: called once, ahead of the next slice. */
  answering(answer: () => void): void {
    this.sharedTurns = SHARED_TURNS;
    this.answered++;
    this.answers.push(answer);
    this.schedule();
  }

  get sliceMs(): number {
    return this.sharedTurns > 0 ? SHARED_SLICE_MS : SLICE_MS;
  }

  get contended(): boolean {
    return this.waiting.length > 0;
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(this.run);
  }

  private readonly run = (): void => {
    this.scheduled = false;
    const { answers } = this;
    for (let i = 0; i < answers.length; i++) answers[i]!();
    answers.length = 0;
    const next = this.waiting.shift();
    if (!next) return;
    if (this.sharedTurns > 0) this.sharedTurns--;
    if (this.waiting.length > 0) this.schedule();
    next();
  };
}

const turns = new Turns();

/** Resolves in a later turn of this thread's event loop, when those who asked before have had theirs. */
export function turn(): Promise<void> {
  return turns.turn();
}

/** Calls `send` at the end of this turn, before any long work goes on. */
export function endOfTurn(send: () => void): void {
  turns.answering(send);
}

/** Work that looks at the clock by itself: `over` when it has gone on for a slice since the last turn. */
export class Slice {
  private end: number;

  constructor(private readonly nowMs: () => number) {
    this.end = nowMs() + sliceMs();
  }

  get over(): boolean {
    return this.nowMs() >= this.end;
  }

  async turn(): Promise<void> {
    await turn();
    this.end = this.nowMs() + sliceMs();
  }
}

/** Requests answered so far by this thread: whoever looks twice knows how busy it is. */
export function answersGiven(): number {
  return turns.answered;
}

/** Whether long work waits for a turn of this thread, beside whoever asks. */
export function othersWait(): boolean {
  return turns.contended;
}

/** How long work may go on now before it asks for a turn. */
export function sliceMs(): number {
  return turns.sliceMs;
}
