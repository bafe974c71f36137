/** LogStore in memory: the model, and the log of memory engines. Loses everything with the process. */
import type { Lsn } from '../ids.js';
import { assert } from '../errors.js';
import { FIRST_LSN, batchFirstLsn, batchHash } from './batch.js';
import { NO_HASH } from './log-store.js';
import type { AppendResult, Lead, LogStore, LogStoreStats, Tail } from './log-store.js';

export class MemoryLogStore implements LogStore {
  private batches: Uint8Array[] = [];
  private end: Lsn = FIRST_LSN;
  private term = 0;
  private lastId = -1;
  private lastLsn = -1;

  /** `keep: false` forgets batches once they are appended: an engine that will not be reopened needs no log. */
  constructor(private readonly options: { keep: boolean } = { keep: true }) {}

  async lead(): Promise<Lead> {
    this.term++;
    const last = this.batches.at(-1);
    return { term: this.term, tail: this.end, tailHash: last ? batchHash(last) : NO_HASH };
  }

  append(term: number, previousLsn: Lsn, batch: Uint8Array, id: number): AppendResult {
    if (term !== this.term) return { kind: 'fenced' };
    if (id === this.lastId && previousLsn === this.lastLsn) return { kind: 'appended', durable: this.end };
    assert(previousLsn === this.end && batchFirstLsn(batch) === this.end, 'append out of order');
    this.lastId = id;
    this.lastLsn = batchFirstLsn(batch);
    this.end = (this.end + batch.length) as Lsn;
    if (this.options.keep) this.batches.push(batch.slice());
    return { kind: 'appended', durable: this.end };
  }

  hasRoom(): boolean {
    return true;
  }

  async confirm(): Promise<Lsn> {
    return this.end;
  }

  async tail(from: Lsn): Promise<Tail> {
    const oldest = this.batches[0] ? batchFirstLsn(this.batches[0]) : this.end;
    if (from < oldest) return { kind: 'trimmed', oldest };
    const batches = this.batches.filter((batch) => batchFirstLsn(batch) + batch.length > from);
    return {
      kind: 'batches',
      batches: (async function* () {
        yield* batches;
      })(),
    };
  }

  async trim(_term: number, upTo: Lsn): Promise<void> {
    this.batches = this.batches.filter((batch) => batchFirstLsn(batch) + batch.length > upTo);
  }

  stats(): LogStoreStats {
    return { fsyncCount: 0, fsyncMsTotal: 0, fsyncMsMax: 0, fsyncBuckets: [] };
  }

  async close(): Promise<void> {}
}
