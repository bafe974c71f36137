/** Rows divided over files by the hash of a key, so that each part fits into memory where the whole did not. */
import type { DataType } from '../../types/data-type.js';
import type { Datum } from '../../types/datum.js';
import type { ExecState } from '../exec-state.js';
import { RowReader, RowWriter } from './row-file.js';
import { TempFile } from './temp-file.js';

export const PARTITIONS = 16;
/** Parts of parts of parts: rows that still do not part have one key. */
export const MAX_LEVEL = 6;

/** Where a key belongs; each level divides by other bits. */
export function partitionOf(key: unknown, level: number): number {
  let hash = Math.imul(level + 1, 0x9e3779b1);
  if (typeof key === 'number') {
    // -0 is 0 as a key.
    const number = key + 0;
    hash = Math.imul(hash ^ (number | 0), 0x85ebca6b) ^ Math.imul((number / 4294967296) | 0, 0xc2b2ae35) ^ (Number.isInteger(number) ? 0 : (number * 65537) | 0);
  } else {
    const text = String(key);
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  hash = Math.imul(hash ^ (hash >>> 13), 0x297a2d39);
  return (hash ^ (hash >>> 16)) & (PARTITIONS - 1);
}

export class Partitions {
  private readonly writers: (RowWriter | undefined)[] = [];

  constructor(private readonly state: ExecState, private readonly types: readonly DataType[]) {}

  add(partition: number, value: (column: number) => Datum): void {
    (this.writers[partition] ??= new RowWriter(TempFile.create(this.state), this.types)).add(value);
  }

  /** After the last row. */
  finish(): void {
    for (const writer of this.writers) writer?.flush();
  }

  rows(partition: number): number {
    return this.writers[partition]?.count ?? 0;
  }

  /** Bytes of one part's file. */
  size(partition: number): number {
    return this.writers[partition]?.file.size ?? 0;
  }

  get bytes(): number {
    return this.writers.reduce((sum, writer) => sum + (writer?.file.size ?? 0), 0);
  }

  reader(partition: number): RowReader | null {
    const writer = this.writers[partition];
    return writer ? new RowReader(writer.file, this.types, 0, writer.file.size) : null;
  }

  remove(partition: number): void {
    this.writers[partition]?.file.remove();
  }
}
