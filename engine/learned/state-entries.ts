/**
 * All committed entries of an index from the state alone, for a thread of its own. What was committed while it reads, or
 * shortly before, may or may not be among them: the asker has listened since before it began, and knows those keys.
 */
import { readUint48 } from '../keycode.js';
import type { Lsn, StorageId, Xid } from '../ids.js';
import type { Chunk, KeyValueStore } from '../kv/key-value-store.js';
import { metaKey } from '../mvcc/meta.js';
import { Flag, isEntry, killerOf, storagePrefix, verifyEntry } from '../mvcc/row-format.js';
import { EntryCollector } from './entry-collector.js';
import { isKeyOf, keyValue, type KeyClass, type KeyValue } from './key-class.js';

/** Bytes before an entry's key: the index's id; and behind it: the row's. */
const PREFIX = 6;
const NOT_NULL = 2;

export interface StateEntries {
  /** null: some key is not of the class. */
  readonly entries: EntryCollector | null;
  readonly doubtful: KeyValue[];
}

export function readStateEntries(kv: KeyValueStore, index: StorageId, of: KeyClass): StateEntries {
  return kv.bulk((walker) => {
    const fates = committed(kv);
    const entries = new EntryCollector(of);
    const doubtful: KeyValue[] = [];
    let strange = false;
    let viewed: Uint8Array | undefined;
    let view: DataView | undefined;
    const lower = storagePrefix(index);
    const upper = storagePrefix(index + 1);
    walker.walk('index', lower, upper, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
      const at = keyStart + PREFIX;
      if (keys[at] !== NOT_NULL) return false;
      if (!isKeyOf(of, keyEnd - at - PREFIX)) {
        strange = true;
        return true;
      }
      if (keys !== viewed) {
        viewed = keys;
        view = new DataView(keys.buffer, keys.byteOffset, keys.length);
      }
      if (values !== keys || !isEntry(view!, keyStart, keyEnd, valueStart, valueEnd)) verifyEntry(values.subarray(valueStart, valueEnd), keys.subarray(keyStart, keyEnd));
      if (values[valueStart]! & Flag.provisional && !fates.has(readUint48(values, valueStart + 1) as Xid)) doubtful.push(keyValue(of, keys.subarray(at, keyEnd))!);
      entries.add(keys, at + 1, readUint48(keys, keyEnd - PREFIX));
      return false;
    });
    // Killed by transactions whose fate is open, or that were rolled back: they may stand.
    walker.walk('dead', lower, upper, (keys, keyStart, keyEnd, values, valueStart, valueEnd) => {
      const value = values.subarray(valueStart, valueEnd);
      if (keys[keyStart + PREFIX] === NOT_NULL && value[0]! & Flag.doomed && !fates.has(killerOf(value))) doubtful.push(keyValue(of, keys.subarray(keyStart + PREFIX, keyEnd))!);
      return false;
    });
    return { entries: strange ? null : entries, doubtful };
  });
}

/** Transactions that wrote ahead and committed. */
function committed(kv: KeyValueStore): Set<Xid> {
  const found: Chunk = { keys: [], values: [] };
  kv.scan('meta', metaKey('x', 0), metaKey('y', 0), false, Infinity, found);
  return new Set(found.keys.flatMap((key, i): Xid[] => ((readUint48(found.values[i]!, 0) as Lsn) > 0 ? [readUint48(key, 1) as Xid] : [])));
}
