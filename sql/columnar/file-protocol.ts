/** What the thread that writes and reads files of segments is told, and what it answers. */
import type { PackedColumn } from './build-protocol.js';

export interface FileWorkerData {
  /** Of all files: one folder per storage below it. */
  readonly folder: string;
}

/** One block's segment. */
export interface SegmentPlace {
  readonly storage: number;
  readonly block: number;
  readonly lsn: number;
}

export type FileRequest =
  | { readonly id: number; readonly kind: 'write'; readonly place: SegmentPlace; readonly columns: readonly PackedColumn[] }
  | { readonly id: number; readonly kind: 'read'; readonly wanted: readonly { readonly place: SegmentPlace; readonly attnums: readonly number[] }[] }
  | { readonly id: number; readonly kind: 'remove'; readonly paths: readonly string[] }
  /** Whole, or not at all. */
  | { readonly id: number; readonly kind: 'replace'; readonly path: string; readonly bytes: Uint8Array };

export interface FileAnswer {
  readonly id: number;
  /** Bytes of files by attribute number, of what was written. */
  readonly written: readonly (readonly [number, number])[];
  /** By segment, what could be read. */
  readonly read: readonly (readonly PackedColumn[])[];
  readonly error: string | null;
}

export function columnPath({ storage, block, lsn }: SegmentPlace, attnum: number): string {
  return `${storage}/${block}-${lsn}-${attnum}.col`;
}
