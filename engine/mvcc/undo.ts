/**
 * Takes back what an aborted transaction wrote ahead: provisional versions and entries go, what they
 * superseded comes back out of history, `deleted` and `dead`. It is done lazily, storage by storage,
 * and for a single row or entry at once when somebody writes there first. Nobody sees a difference:
 * readers resolve a provisional stamp by its transaction's fate, and an aborted one has none.
 */
import type { RowId, StorageId, Xid } from '../ids.js';
import { readUint48 } from '../keycode.js';
import type { Chunk, KeyValueStore, KeyValueWriter, Keyspace } from '../kv/key-value-store.js';
import { FATE_HEADER, FATE_STORAGE } from './fates.js';
import { metaKey } from './meta.js';
import {
  Flag, HEAP_KEY, HISTORY_KEY, clearDeath, heapKey, historyKey, isProvisionalDeath, killerOf, stampOf, storagePrefix, undoomed, xidOf,
} from './row-format.js';
import type { Lsn } from '../ids.js';

const SPACES: readonly Keyspace[] = ['deleted', 'heap', 'dead', 'index'];

export class Undo {
  /** Aborted and not swept yet, with the storages they wrote to. */
  readonly aborted = new Map<Xid, readonly StorageId[]>();
  private readonly chunk: Chunk = { keys: [], values: [] };
  private readonly rowKey = new Uint8Array(HEAP_KEY);
  private readonly oldKey = new Uint8Array(HISTORY_KEY);
  /** Where a sweep goes on: xid, place in its list of storages, keyspace, key. */
  private readonly positions = new Map<Xid, { storage: number; space: number; from: Uint8Array | undefined }>();

  /** Versions taken out of history. */
  restored = 0;

  constructor(private readonly kv: KeyValueStore) {}

  /** Brings the row back to its newest version that is not aborted. */
  row(writer: KeyValueWriter, storage: StorageId, rowId: RowId): void {
    const key = heapKey(this.rowKey, storage, rowId);
    let value: Uint8Array | undefined = writer.get('heap', key)?.slice();
    let changed = false;
    if (!value) {
      const death = writer.get('deleted', key);
      if (!death || !isProvisionalDeath(death) || !this.aborted.has(readUint48(death, 6) as Xid)) return;
      value = this.takeHistory(writer, readUint48(death, 0) as Lsn, storage, rowId);
      writer.delete('deleted', key);
      changed = true;
    }
    while (value && (value[0]! & Flag.provisional) !== 0 && this.aborted.has(xidOf(value))) {
      changed = true;
      value = value[0]! & Flag.hasPrevious ? this.takeHistory(writer, stampOf(value), storage, rowId) : undefined;
    }
    if (!changed) return;
    if (value) writer.put('heap', key, value);
    else writer.delete('heap', key);
  }

  private takeHistory(writer: KeyValueWriter, lsn: Lsn, storage: StorageId, rowId: RowId): Uint8Array | undefined {
    const key = historyKey(this.oldKey, lsn, storage, rowId);
    const value = writer.get('history', key)?.slice();
    if (!value) return undefined;
    clearDeath(value);
    this.restored++;
    writer.delete('history', key);
    return value;
  }

  /** Brings an index entry (index, key, row id) back if aborted transactions killed it. */
  entry(writer: KeyValueWriter, full: Uint8Array): void {
    const live = writer.get('index', full);
    if (live) {
      if ((live[0]! & Flag.provisional) === 0 || !this.aborted.has(readUint48(live, 1) as Xid)) return;
      writer.delete('index', full);
    }
    const upper = new Uint8Array(full.length + 6).fill(0xff);
    upper.set(full);
    const found: Chunk = { keys: [], values: [] };
    writer.scan('dead', full, upper, false, Infinity, found);
    for (let i = 0; i < found.keys.length; i++) {
      const key = found.keys[i]!;
      if (key.length !== full.length + 6) continue;
      if (this.revive(writer, key, found.values[i]!)) return;
    }
  }

  /** An entry in `dead` whose killer aborted goes back to the index. */
  private revive(writer: KeyValueWriter, deadKey: Uint8Array, value: Uint8Array): boolean {
    if ((value[0]! & Flag.doomed) === 0 || !this.aborted.has(killerOf(value))) return false;
    writer.delete('dead', deadKey);
    const full = deadKey.slice(0, deadKey.length - 6);
    const birth = readUint48(value, 1) as Xid;
    if ((value[0]! & Flag.provisional) !== 0 && this.aborted.has(birth)) return false;
    const there = writer.get('index', full);
    if (there && !((there[0]! & Flag.provisional) !== 0 && this.aborted.has(readUint48(there, 1) as Xid))) return false;
    writer.put('index', full, undoomed(value, full));
    return true;
  }

  /** One slice of undoing `xid`: at most `max` entries looked at. True when nothing is left; its fate record then goes, too. */
  sweep(xid: Xid, max: number): boolean {
    this.kv.refresh();
    const fateKey = metaKey('x', xid);
    const fate = this.kv.get('meta', fateKey)?.slice();
    if (!fate || readUint48(fate, 0) !== 0) {
      this.aborted.delete(xid);
      return true;
    }
    let at = this.positions.get(xid);
    if (!at) this.positions.set(xid, (at = { storage: 0, space: 0, from: undefined }));
    const offset = FATE_HEADER + at.storage * FATE_STORAGE;
    if (offset >= fate.length) {
      this.kv.write((writer) => void writer.delete('meta', fateKey));
      this.positions.delete(xid);
      this.aborted.delete(xid);
      return true;
    }
    const storage = readUint48(fate, offset) as StorageId;
    const space = SPACES[at.space]!;
    const { chunk } = this;
    chunk.keys.length = 0;
    chunk.values.length = 0;
    const count = this.kv.scan(space, at.from ?? storagePrefix(storage), storagePrefix(storage + 1), false, max, chunk);
    const concerned: number[] = [];
    for (let i = 0; i < count; i++) if (concerns(space, chunk.values[i]!, xid)) concerned.push(i);
    if (concerned.length > 0)
      this.kv.write((writer) => {
        for (const i of concerned) {
          const key = chunk.keys[i]!;
          if (space === 'heap' || space === 'deleted') this.row(writer, storage, readUint48(key, 6) as RowId);
          else if (space === 'index') this.entry(writer, key);
          else this.revive(writer, key, chunk.values[i]!);
        }
      });
    if (count < max) {
      at.from = undefined;
      if (++at.space === SPACES.length) {
        at.space = 0;
        at.storage++;
      }
    } else {
      const last = chunk.keys[count - 1]!;
      at.from = new Uint8Array(last.length + 1);
      at.from.set(last);
    }
    return false;
  }
}

function concerns(space: Keyspace, value: Uint8Array, xid: Xid): boolean {
  const provisional = (value[0]! & Flag.provisional) !== 0;
  switch (space) {
    case 'heap':
      return provisional && xidOf(value) === xid;
    case 'index':
      return provisional && readUint48(value, 1) === xid;
    case 'deleted':
      return isProvisionalDeath(value) && readUint48(value, 6) === xid;
    default:
      return (value[0]! & Flag.doomed) !== 0 && killerOf(value) === xid;
  }
}
