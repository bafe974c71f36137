/**
 * Removes what no snapshot can see any more. History is ordered by the LSN that superseded each
 * version, so everything below the horizon is one prefix; each entry names what else goes with it.
 * Dropped storages go range by range once the horizon has passed their drop.
 */
import type { Lsn, StorageId } from '../ids.js';
import { readUint48, writeUint48 } from '../keycode.js';
import type { Chunk, KeyValueStore, KeyValueWriter, Keyspace } from '../kv/key-value-store.js';
import { DEAD_IF_COMMITTED, DEAD_VALUE } from './dead-list.js';
import { META, metaKey } from './meta.js';
import { outdatedTimes } from './commit-times.js';
import { Flag, HISTORY_KEY, VALUE_KEY, historyKey, storagePrefix, unsealDeadList, writeUint32 } from './row-format.js';

export interface Collected {
  versions: number;
  /** Entries of history, versions among them. */
  history: number;
  entries: number;
  /** False: there may be more below the horizon. */
  finished: boolean;
}

/** Entries of commit times removed per slice. */
const TIMES_SLICE = 64;

const RANGES: readonly Keyspace[] = ['heap', 'index', 'deleted', 'dead', 'values'];

/** Deletes the chunks of a large value; `prefix` is storage and value id. */
function freeValue(writer: KeyValueWriter, prefix: Uint8Array): void {
  const key = new Uint8Array(VALUE_KEY);
  key.set(prefix);
  for (let n = 0; ; n++) {
    writeUint32(key, 12, n);
    if (!writer.delete('values', key)) return;
  }
}

export class Collector {
  private readonly chunk: Chunk = { keys: [], values: [] };
  private readonly from = new Uint8Array(HISTORY_KEY);

  constructor(private readonly kv: KeyValueStore) {}

  /** One slice: at most `max` entries, in one key-value transaction. Nothing is written when nothing is due. */
  collect(horizon: Lsn, max: number): Collected {
    this.kv.refresh();
    const { chunk } = this;
    chunk.keys.length = 0;
    chunk.values.length = 0;
    const upper = historyKey(new Uint8Array(HISTORY_KEY), (horizon + 1) as Lsn, 0, 0);
    const count = this.kv.scan('history', this.from.fill(0), upper, false, max, chunk);
    const result: Collected = { versions: 0, history: count, entries: 0, finished: count < max };
    const outdated = outdatedTimes(this.kv, horizon, TIMES_SLICE);
    if (count > 0 || outdated.length > 0)
      this.kv.write((writer) => {
        const reached = new Uint8Array(6);
        writeUint48(reached, 0, horizon);
        writer.put('meta', META.horizon, reached);
        for (const key of outdated) writer.delete('meta', key);
        for (let i = 0; i < count; i++) this.remove(writer, chunk.keys[i]!, chunk.values[i]!, result);
      });
    if (result.finished) result.finished = this.dropStorages(horizon, max);
    return result;
  }

  private remove(writer: KeyValueWriter, key: Uint8Array, value: Uint8Array, result: Collected): void {
    if (readUint48(key, 6) === 0) {
      const list = unsealDeadList(value, key);
      // What a damaged list names cannot be trusted: it stays, for `verify` to name.
      if (!list) return;
      writer.delete('history', key);
      let at = 0;
      if (((list[0]! << 8) | list[1]!) === DEAD_IF_COMMITTED) {
        // Of an aborted transaction nothing is dead; its fate record may be gone already.
        const fate = writer.get('meta', metaKey('x', readUint48(list, 2)));
        if (!fate || readUint48(fate, 0) === 0) return;
        at = 8;
      }
      while (at < list.length) {
        const length = (list[at]! << 8) | list[at + 1]!;
        if (length === DEAD_VALUE) {
          freeValue(writer, list.subarray(at + 2, at + 14));
          at += 14;
          continue;
        }
        if (writer.delete('dead', list.subarray(at + 2, at + 2 + length))) result.entries++;
        at += 2 + length;
      }
      return;
    }
    writer.delete('history', key);
    result.versions++;
    if (value[0]! & Flag.death) writer.delete('deleted', key.subarray(6));
  }

  private dropStorages(horizon: Lsn, max: number): boolean {
    const { chunk } = this;
    chunk.keys.length = 0;
    chunk.values.length = 0;
    this.kv.scan('meta', metaKey('d', 0, 0), metaKey('d', horizon + 1, 0), false, 1, chunk);
    const due = chunk.keys[0];
    if (!due) return true;
    const storage = readUint48(due, 7) as StorageId;
    const lower = storagePrefix(storage);
    const upper = storagePrefix(storage + 1);
    for (const space of RANGES) {
      chunk.keys.length = 0;
      chunk.values.length = 0;
      if (this.kv.scan(space, lower, upper, false, 1, chunk) === 0) continue;
      this.kv.write((writer) => void writer.clear(space, lower, upper, max));
      return false;
    }
    this.kv.write((writer) => {
      writer.delete('meta', metaKey('s', storage));
      writer.delete('meta', due);
    });
    return false;
  }
}
