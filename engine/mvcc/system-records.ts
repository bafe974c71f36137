/** Records of the log that belong to no client's transaction. */
import type { Lsn, StorageId, Xid } from '../ids.js';
import { RecordKind, Section } from '../log/batch.js';
import type { GroupCommit } from '../log/group-commit.js';
import type { StateSums } from './state-mark.js';
import { writeDrops } from './commit-encoder.js';

const SUMS_PER_RECORD = 4096;

/** How far xids and storage ids may be handed out before the next such record. */
export function logReserve(log: GroupCommit, xids: number, storages: number): void {
  const builder = log.open();
  const lsn = builder.beginRecord(RecordKind.system, 0, 0 as Xid);
  builder.beginSection(Section.reserve);
  builder.uint48(xids);
  builder.uint48(storages);
  builder.endSection();
  builder.endRecord();
  log.wrote(lsn);
  log.flushSoon();
}

/** What was written ahead under `xid` will never be true. */
export function logAbort(log: GroupCommit, xid: Xid): Lsn {
  const builder = log.open();
  const lsn = builder.beginRecord(RecordKind.abort, 0, xid);
  builder.endRecord();
  log.wrote(lsn);
  log.flushSoon();
  return lsn;
}

/** A storage made and written ahead by a transaction that took it back. */
export function logDropped(log: GroupCommit, storage: StorageId): void {
  const builder = log.open();
  const lsn = builder.beginRecord(RecordKind.system, 0, 0 as Xid);
  writeDrops(builder, [storage]);
  builder.endRecord();
  log.wrote(lsn);
  log.flushSoon();
}

/** The state's counts and hash sums as of an LSN before: a restore compares when it gets there. */
export function logSums(log: GroupCommit, { at, storages }: StateSums): void {
  for (let from = 0; from < storages.length; from += SUMS_PER_RECORD) {
    const builder = log.open();
    const lsn = builder.beginRecord(RecordKind.system, 0, 0 as Xid);
    builder.beginSection(Section.sums);
    builder.uint48(at);
    for (const { storage, count, hash } of storages.slice(from, from + SUMS_PER_RECORD)) {
      builder.uint48(storage);
      builder.float64(count);
      for (const word of hash) builder.uint32(word);
    }
    builder.endSection();
    builder.endRecord();
    log.wrote(lsn);
  }
  log.flushSoon();
}
