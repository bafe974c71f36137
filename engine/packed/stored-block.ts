/** A block where it is stored, opened: its key, what stands in its head, and its entries as single entries would be stored. */
import { readUint48 } from '../keycode.js';
import { BLOCK_HEADER, ENTRY_HEADER, Flag, PROVISIONAL_ENTRY_HEADER, writeEntryValue } from '../mvcc/row-format.js';
import { slabTake } from '../slab.js';
import { BlockView } from './block.js';

/** Bytes of the index's id, with which each key of the keyspace begins. */
export const INDEX_ID = 6;
const NO_PAYLOAD = new Uint8Array(0);

export class StoredBlock {
  readonly view = new BlockView();
  /** Under which it is stored; its first bytes are the index's id. */
  key: Uint8Array = NO_PAYLOAD;
  value: Uint8Array = NO_PAYLOAD;
  private keyStart = 0;
  private start = 0;

  open(key: Uint8Array, keyStart: number, value: Uint8Array, start: number, end: number): this {
    this.key = key;
    this.keyStart = keyStart;
    this.value = value;
    this.start = start;
    this.view.open(value, start + BLOCK_HEADER, end);
    return this;
  }

  get count(): number {
    return this.view.count;
  }

  get provisional(): number {
    return this.value[this.start]! & Flag.provisional;
  }

  get birth(): number {
    return readUint48(this.value, this.start + 1);
  }

  get stage(): number {
    return readUint48(this.value, this.start + ENTRY_HEADER);
  }

  get valueLength(): number {
    return this.provisional ? PROVISIONAL_ENTRY_HEADER : ENTRY_HEADER;
  }

  /** Copies entry `i`'s whole key into `into`; returns its length. */
  keyInto(i: number, into: Uint8Array): number {
    for (let n = 0; n < INDEX_ID; n++) into[n] = this.key[this.keyStart + n]!;
    return this.view.key(i, into, INDEX_ID);
  }

  keyOf(i: number): Uint8Array {
    const key = slabTake(INDEX_ID + this.view.keyLength(i));
    this.keyInto(i, key);
    return key;
  }

  valueInto(into: Uint8Array, key: Uint8Array): Uint8Array {
    writeEntryValue(into, this.provisional, this.birth, NO_PAYLOAD, key, this.stage);
    return into;
  }

  valueOf(key: Uint8Array): Uint8Array {
    return this.valueInto(slabTake(this.valueLength), key);
  }

  /** Whether `key` is of its index; what is not lies before or behind all of it. */
  private order(key: Uint8Array): number {
    for (let i = 0; i < INDEX_ID; i++) {
      const difference = i < key.length ? this.key[this.keyStart + i]! - key[i]! : 1;
      if (difference !== 0) return difference;
    }
    return 0;
  }

  /** The first entry at or behind `key`. */
  lowerBound(key: Uint8Array): number {
    const order = this.order(key);
    return order !== 0 ? (order > 0 ? 0 : this.count) : this.view.lowerBound(key, INDEX_ID);
  }

  is(i: number, key: Uint8Array): boolean {
    return i < this.count && this.view.compare(i, key, INDEX_ID) === 0;
  }
}
