/**
 * Rows of temporary relations: the same formats in a memory store, one version each, never logged.
 * Only the session that owns a storage reads it, so there is nothing older to see.
 */
import type { Lsn, StorageId } from '../ids.js';
import { MemoryKeyValueStore } from '../kv/memory.js';
import { HEAP_KEY, ROW_HEADER, heapKey, indexKey, storagePrefix, writeEntryValue, writeRowValue } from './row-format.js';
import { StorageInfo } from './storage-info.js';
import { VersionStore } from './version-store.js';
import type { Write } from './write.js';

export class TemporaryStore {
  private readonly kv = new MemoryKeyValueStore();
  readonly store = new VersionStore(this.kv);
  private readonly infos = new Map<StorageId, StorageInfo>();
  private readonly rowKey = new Uint8Array(HEAP_KEY);
  private readonly keyScratch = new Uint8Array(2048);
  private value = new Uint8Array(4096);

  apply(writes: readonly Write[], lsn: Lsn): void {
    for (const write of writes) {
      const { length } = (write.isRow ? write.tuple : write.payload) ?? { length: 0 };
      if (length + 32 > this.value.length) this.value = new Uint8Array((length + 32) * 2);
      if (write.isRow) {
        const key = heapKey(this.rowKey, write.storage, write.rowId);
        const info = this.info(write.storage);
        const old = this.kv.get('heap', key);
        if (old) {
          info.count--;
          info.bytes -= old.length - ROW_HEADER;
        }
        if (write.tuple) {
          info.count++;
          info.bytes += length;
          this.kv.put('heap', key, this.value.subarray(0, writeRowValue(this.value, 0, lsn, write.xid, write.tuple, key)));
        } else this.kv.delete('heap', key);
      } else {
        const key = indexKey(this.keyScratch, write.index, write.key, write.rowId);
        if (write.payload) this.kv.put('index', key, this.value.subarray(0, writeEntryValue(this.value, 0, lsn, write.payload, key)));
        else this.kv.delete('index', key);
      }
    }
  }

  private info(storage: StorageId): StorageInfo {
    let info = this.infos.get(storage);
    if (!info) this.infos.set(storage, (info = new StorageInfo(storage)));
    return info;
  }

  rowCount(storage: StorageId): number {
    return this.infos.get(storage)?.count ?? 0;
  }

  byteSize(storage: StorageId): number {
    return this.infos.get(storage)?.bytes ?? 0;
  }

  discard(storage: StorageId): void {
    this.infos.delete(storage);
    for (const space of ['heap', 'index'] as const) {
      const chunk = { keys: [] as Uint8Array[], values: [] as Uint8Array[] };
      this.kv.scan(space, storagePrefix(storage), storagePrefix(storage + 1), false, Infinity, chunk);
      for (const key of chunk.keys) this.kv.delete(space, key);
    }
  }
}
