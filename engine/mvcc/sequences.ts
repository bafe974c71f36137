/** Sequence values: in memory at once, in the log ahead of their use, outside transactions. */
import type { Lsn, StorageId, Xid } from '../ids.js';
import type { KeyValueStore } from '../kv/key-value-store.js';
import { RecordKind, Section } from '../log/batch.js';
import type { GroupCommit } from '../log/group-commit.js';
import type { SequenceState, SequenceStore } from '../storage.js';
import { metaKey } from './meta.js';
import { HEAP_KEY, HISTORY_KEY, ROW_HEADER, SEQUENCE_ROW, heapKey, historyKey, sequenceStamp, stampOf, verifyRow } from './row-format.js';

function decodeState(bytes: Uint8Array, at: number): SequenceState {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { lastValue: view.getBigInt64(at, true), isCalled: view.getUint8(at + 8) === 1, logCount: view.getUint32(at + 9, true) };
}

export class Sequences implements SequenceStore {
  private readonly states = new Map<StorageId, SequenceState>();
  /** Logged further than they have come. */
  private readonly ahead = new Set<StorageId>();

  /** Logged and perhaps not applied, in the log's order. */
  private recent: { readonly sequence: StorageId; readonly lsn: Lsn; readonly state: SequenceState }[] = [];

  constructor(private readonly kv: KeyValueStore, private readonly log: GroupCommit) {}

  get(sequence: StorageId): SequenceState | undefined {
    const known = this.states.get(sequence);
    if (known) return known;
    const stored = this.kv.get('meta', metaKey('s', sequence));
    if (!stored) return undefined;
    const state = decodeState(stored, 0);
    this.states.set(sequence, state);
    return state;
  }

  getAt(sequence: StorageId, lsn: Lsn): SequenceState | undefined {
    for (let i = this.recent.length - 1; i >= 0; i--) if (this.recent[i]!.sequence === sequence && this.recent[i]!.lsn <= lsn) return this.recent[i]!.state;
    const stored = this.kv.get('meta', metaKey('s', sequence));
    if (!stored) return undefined;
    let stamp = sequenceStamp(stored);
    if (stamp <= lsn) return decodeState(stored, 0);
    const key = new Uint8Array(HISTORY_KEY);
    const rowKey = heapKey(new Uint8Array(HEAP_KEY), sequence, SEQUENCE_ROW);
    for (;;) {
      const old = this.kv.get('history', historyKey(key, stamp, sequence, SEQUENCE_ROW));
      if (!old) return undefined;
      verifyRow(old, rowKey);
      stamp = stampOf(old);
      if (stamp <= lsn) return decodeState(old, ROW_HEADER);
    }
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
    this.recent.push({ sequence, lsn, state: { ...logged, logCount: 0 } });
    return lsn;
  }

  /** Reads of the store see everything up to `applied`. */
  trim(applied: Lsn): void {
    const { recent } = this;
    let seen = 0;
    while (seen < recent.length && recent[seen]!.lsn <= applied) seen++;
    if (seen > 0) this.recent = recent.slice(seen);
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
