/** Sequence values: in memory at once, in the log ahead of their use, outside transactions. */
import type { Lsn, StorageId, Xid } from '../ids.js';
import type { KeyValueStore } from '../kv/key-value-store.js';
import { RecordKind, Section } from '../log/batch.js';
import type { GroupCommit } from '../log/group-commit.js';
import type { SequenceState, SequenceStore } from '../storage.js';
import { metaKey } from './applier.js';

export class Sequences implements SequenceStore {
  private readonly states = new Map<StorageId, SequenceState>();
  /** Logged further than they have come. */
  private readonly ahead = new Set<StorageId>();

  constructor(private readonly kv: KeyValueStore, private readonly log: GroupCommit) {}

  get(sequence: StorageId): SequenceState | undefined {
    const known = this.states.get(sequence);
    if (known) return known;
    const stored = this.kv.get('meta', metaKey('s', sequence));
    if (!stored) return undefined;
    const view = new DataView(stored.buffer, stored.byteOffset, stored.length);
    const state: SequenceState = { lastValue: view.getBigInt64(0, true), isCalled: view.getUint8(8) === 1, logCount: view.getUint32(9, true) };
    this.states.set(sequence, state);
    return state;
  }

  set(sequence: StorageId, state: SequenceState, options: { log: boolean; logged?: SequenceState }): Lsn {
    this.states.set(sequence, state);
    if (!options.log) return 0 as Lsn;
    const logged = options.logged ?? state;
    if (options.logged) this.ahead.add(sequence);
    else this.ahead.delete(sequence);
    const builder = this.log.open();
    const lsn = builder.beginRecord(RecordKind.system, 0, 0 as Xid);
    builder.beginSection(Section.sequence);
    builder.uint48(sequence);
    builder.int64(logged.lastValue);
    builder.uint8(logged.isCalled ? 1 : 0);
    builder.uint32(0);
    builder.endSection();
    builder.endRecord();
    this.log.wrote(lsn);
    return lsn;
  }

  /** Before a clean stop: logs where sequences really are, so that the next start leaves no gap. */
  settle(): void {
    for (const sequence of [...this.ahead]) this.set(sequence, { ...this.states.get(sequence)!, logCount: 0 }, { log: true });
  }

  forget(sequence: StorageId): void {
    this.ahead.delete(sequence);
    this.states.delete(sequence);
  }
}
