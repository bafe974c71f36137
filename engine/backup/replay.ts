/**
 * Log over a state: what a restore (and a rebuild) does behind a backup. The same applier as the
 * server's makes the state of it. Wherever the log carries counts and hash sums of the server's
 * state, the replay stops at the LSN they are of and compares; so a restored state is known to be the
 * server's, relation by relation, at least every 16 MB of log or 10 seconds.
 */
import { DatabaseError } from '../errors.js';
import type { Lsn, StorageId, Xid } from '../ids.js';
import type { KeyValueStore } from '../kv/key-value-store.js';
import { BATCH_HEADER, RecordKind, RecordReader, Section, batchHash } from '../log/batch.js';
import { Applier } from '../mvcc/applier.js';
import type { StorageSum } from '../mvcc/state-mark.js';
import { formatLsn } from './layout.js';
import type { ChainBatch } from './log-chain.js';
import type { StoredMark } from './manifest.js';
import type { TargetFinder } from './recovery-target.js';
import { truncateBatch } from './truncate-batch.js';

/** Bytes of log in one key-value transaction, at most about. */
const CHUNK = 32 << 20;

interface ExpectedSums {
  readonly at: Lsn;
  readonly storages: readonly StorageSum[];
}

export interface Replayed {
  /** The history ends here: where the next record would stand. */
  readonly end: Lsn;
  /** Hash of the last batch, as it was cut. */
  readonly endHash: Uint8Array | undefined;
  readonly bytes: number;
  /** How often the state was compared with the server's sums, and with how many of relations. */
  readonly comparisons: number;
  readonly relationsCompared: number;
  /** The log has what prepared transactions wrote from here on; undefined: there are none. */
  readonly preparedFrom: Lsn | undefined;
}

export class Replay {
  readonly applier: Applier;
  private pending: Uint8Array[] = [];
  private pendingBytes = 0;
  /** Where to go on in the first pending batch. */
  private offset = BATCH_HEADER;
  /** The state came with everything up to here: sums of before are not its. */
  private readonly loaded: number;
  private sums: ExpectedSums[] = [];
  private comparisons = 0;
  private relationsCompared = 0;
  private bytes = 0;
  private readonly reader = new RecordReader();

  /** `mark`: of the backup that `kv` was loaded from; undefined when the state goes on from where it is. */
  constructor(kv: KeyValueStore, mark: StoredMark | undefined) {
    this.applier = new Applier(kv);
    this.applier.load();
    this.loaded = mark?.at ?? 0;
    if (mark && mark.open.length > 0) this.applier.only = { until: mark.at, xids: new Set<Xid>(mark.open) };
  }

  /** Applies `log` up to where `finder` says, or all of it. `start`: where the history ends when there is none. */
  async run(log: AsyncIterable<ChainBatch>, finder: TargetFinder | undefined, start: Lsn, progress: (lsn: Lsn) => void = () => undefined): Promise<Replayed> {
    let end = start;
    let endHash: Uint8Array | undefined;
    for await (const { batch, firstLsn, until } of log) {
      const limit = Math.min(batch.length, until - firstLsn);
      const whole = limit === batch.length ? batch : truncateBatch(batch, limit);
      if (!whole) break;
      const cut = finder?.cut(whole);
      const part = cut === undefined ? whole : truncateBatch(whole, cut);
      if (part) {
        this.take(part);
        endHash = batchHash(part);
        end = Math.max(end, firstLsn + part.length) as Lsn;
      } else end = Math.max(end, firstLsn) as Lsn;
      if (cut !== undefined) break;
      if (this.pendingBytes >= CHUNK) {
        this.flush(false);
        progress(end);
      }
    }
    this.flush(true);
    progress(end);
    const prepared = [...this.applier.keepPrepared().values()].map((parts) => parts[0]!.lsn);
    return {
      end, endHash, bytes: this.bytes, comparisons: this.comparisons, relationsCompared: this.relationsCompared,
      preparedFrom: prepared.length > 0 ? (Math.min(...prepared) as Lsn) : undefined,
    };
  }

  private take(batch: Uint8Array): void {
    this.pending.push(batch);
    this.pendingBytes += batch.length;
    this.bytes += batch.length;
    const { reader } = this;
    reader.open(batch);
    while (reader.nextRecord()) {
      if (reader.kind !== RecordKind.system) continue;
      while (reader.nextSection()) if (reader.tag === Section.sums) this.sums.push(readSums(reader));
    }
  }

  private flush(final: boolean): void {
    const { applier } = this;
    for (const expected of this.sums) {
      if (expected.at <= this.loaded) continue;
      if (expected.at > applier.applied) this.apply(() => applier.applied >= expected.at);
      if (applier.applied === expected.at) this.compare(expected);
    }
    this.sums = [];
    this.pendingBytes = this.pending.reduce((bytes, batch) => bytes + batch.length, 0);
    if (final || this.pendingBytes > CHUNK) this.apply(undefined);
  }

  private apply(stop: (() => boolean) | undefined): void {
    if (this.pending.length === 0) return;
    const { batch, offset } = this.applier.applyAll(this.pending, this.offset, stop, true);
    this.pending = this.pending.slice(batch);
    this.offset = this.pending.length > 0 ? offset : BATCH_HEADER;
    this.pendingBytes = this.pending.reduce((bytes, one) => bytes + one.length, 0);
  }

  private compare({ at, storages }: ExpectedSums): void {
    this.comparisons++;
    for (const { storage, count, hash } of storages) {
      this.relationsCompared++;
      const info = this.applier.infos.get(storage);
      // An index may have a record on one side only.
      if ((info?.count ?? 0) === count && hash.every((word, i) => word === (info?.hash[i] ?? 0))) continue;
      throw new DatabaseError('XX001', `the restored state is not the server's at LSN ${formatLsn(at)}`, {
        detail: `Storage ${storage} has ${info?.count ?? 0} rows where the server had ${count}${info?.count === count ? ', with other contents' : ''}.`,
      });
    }
  }
}

function readSums(reader: RecordReader): ExpectedSums {
  const storages: StorageSum[] = [];
  for (let at = reader.sectionStart + 6; at < reader.sectionEnd; at += 30)
    storages.push({
      storage: reader.uint48(at) as StorageId,
      count: reader.float64(at + 6),
      hash: Uint32Array.from({ length: 4 }, (_, i) => reader.uint32(at + 14 + i * 4)),
    });
  return { at: reader.uint48(reader.sectionStart) as Lsn, storages };
}
