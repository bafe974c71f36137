/**
 * Large values whose transaction has not come to its end: until then nothing else says that they are there.
 *
 *     "v" u48 xid -> u48 storage, u48 value id each
 */
import type { StorageId, Xid } from '../ids.js';
import { readUint48, writeUint48 } from '../keycode.js';
import type { KeyValueStore, KeyValueWriter } from '../kv/key-value-store.js';
import { metaKey } from './meta.js';

const ITEM = 12;

export class OpenValues {
  private byXid = new Map<Xid, Map<number, StorageId>>();
  private readonly changed = new Set<Xid>();

  load(kv: KeyValueStore): void {
    this.byXid.clear();
    this.changed.clear();
    const chunk = { keys: [] as Uint8Array[], values: [] as Uint8Array[] };
    kv.scan('meta', metaKey('v', 0), metaKey('w', 0), false, Infinity, chunk);
    chunk.keys.forEach((key, n) => {
      const list = chunk.values[n]!;
      const values = new Map<number, StorageId>();
      for (let at = 0; at < list.length; at += ITEM) values.set(readUint48(list, at + 6), readUint48(list, at) as StorageId);
      this.byXid.set(readUint48(key, 1) as Xid, values);
    });
  }

  xids(): IterableIterator<Xid> {
    return this.byXid.keys();
  }

  /** Value id and storage of each. */
  of(xid: Xid): Iterable<readonly [number, StorageId]> {
    return this.byXid.get(xid) ?? [];
  }

  add(xid: Xid, storage: StorageId, id: number): void {
    let values = this.byXid.get(xid);
    if (!values) this.byXid.set(xid, (values = new Map()));
    if (values.has(id)) return;
    values.set(id, storage);
    this.changed.add(xid);
  }

  /** The transaction's end came: what its rows refer to lives as long as they do. */
  settle(writer: KeyValueWriter, xid: Xid): void {
    if (!this.byXid.delete(xid)) return;
    this.changed.delete(xid);
    writer.delete('meta', metaKey('v', xid));
  }

  /** Writes what changed since the last call. */
  save(writer: KeyValueWriter): void {
    for (const xid of this.changed) {
      const values = this.byXid.get(xid)!;
      const list = new Uint8Array(values.size * ITEM);
      let at = 0;
      for (const [id, storage] of values) {
        writeUint48(list, at, storage);
        writeUint48(list, at + 6, id);
        at += ITEM;
      }
      writer.put('meta', metaKey('v', xid), list);
    }
    this.changed.clear();
  }

  /** Remembers how things are; the function answered brings that back. */
  checkpoint(): () => void {
    const copy = new Map([...this.byXid].map(([xid, values]) => [xid, new Map(values)]));
    return () => (this.byXid = copy);
  }
}
