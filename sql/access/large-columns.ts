/**
 * Column values that do not stand in their row: writing them ahead of it, and reading them, in slices
 * with turns of the event loop between, so that others are served while 100 MB pass.
 */
import type { StorageId } from '../../engine/ids.js';
import { Pending } from '../../engine/pending.js';
import type { LargeValueReader, LargeValueWriter } from '../../engine/storage.js';
import { turn } from '../../engine/turns.js';
import type { Datum } from '../types/datum.js';
import { LARGE_TEXT, TextAssembler, forgetPieces, piecesOf } from '../types/large-text.js';

/** Where a value is: what a row holds in its place. */
export class LargeRef {
  constructor(readonly id: number, readonly length: number) {}
}

/** Values longer than this (bytes, or UTF-16 units) leave their row. */
export const LARGE_VALUE = 32 << 10;
/** Longer ones are written and read in slices. */
export const SLICED = LARGE_TEXT;
const SLICE = 1 << 20;

const encoder = new TextEncoder();

/** Writes a value of moderate size at once. */
export function writeNow(writer: LargeValueWriter, value: string | Uint8Array): LargeRef {
  writer.write(typeof value === 'string' ? encoder.encode(value) : value);
  const { id, length } = writer.finish();
  return new LargeRef(id, length);
}

async function writeSliced(writer: LargeValueWriter, value: string | Uint8Array): Promise<LargeRef> {
  if (typeof value === 'string') {
    let scratch = new Uint8Array(SLICE);
    let sinceTurn = 0;
    for (const piece of piecesOf(value)) {
      if (piece.length * 3 > scratch.length) scratch = new Uint8Array(piece.length * 3);
      const { written } = encoder.encodeInto(piece, scratch);
      const wait = writer.write(scratch.subarray(0, written));
      if (wait) await wait.until;
      if ((sinceTurn += written) < SLICE) continue;
      sinceTurn = 0;
      await turn();
    }
    forgetPieces(value);
  } else {
    for (let at = 0; at < value.length; at += SLICE) {
      const wait = writer.write(value.subarray(at, at + SLICE));
      if (wait) await wait.until;
      await turn();
    }
  }
  const { id, length } = writer.finish();
  return new LargeRef(id, length);
}

/**
 * Has the sliced values of a row written ahead of it. A row is asked for again and again until
 * nothing is pending: `values` (the same array) says which row is meant.
 */
export class ValueStager {
  private job: { readonly values: readonly Datum[]; readonly pending: Pending; refs: (LargeRef | undefined)[] | null } | null = null;

  /** `columns`: those whose value may be long, by position. */
  constructor(private readonly columns: readonly number[], private readonly open: () => LargeValueWriter | undefined) {}

  /** Where the row's sliced values are by now (undefined: it has none); Pending while they are written. */
  refs(values: readonly Datum[]): readonly (LargeRef | undefined)[] | undefined | Pending {
    if (this.job?.values === values) return this.job.refs ?? this.job.pending;
    if (!this.hasSliced(values) || !this.open()) return undefined;
    const large = this.columns.filter((column) => isSliced(values[column] ?? null));
    const job = { values, refs: null as (LargeRef | undefined)[] | null, pending: new Pending(this.write(values, large), 'IO', 'WALWrite') };
    job.pending.until.then(() => undefined, () => undefined);
    this.job = job;
    return job.pending;
  }

  private hasSliced(values: readonly Datum[]): boolean {
    for (let i = 0; i < this.columns.length; i++) if (isSliced(values[this.columns[i]!] ?? null)) return true;
    return false;
  }

  private async write(values: readonly Datum[], large: readonly number[]): Promise<void> {
    // the turn lets the caller see its Pending first
    await turn();
    const { job } = this;
    const refs: (LargeRef | undefined)[] = [];
    for (const column of large) refs[column] = await writeSliced(this.open()!, values[column] as string | Uint8Array);
    job!.refs = refs;
  }

  /** The row is written. */
  done(): void {
    this.job = null;
  }
}

function isSliced(value: Datum): boolean {
  return (typeof value === 'string' || value instanceof Uint8Array) && value.length > SLICED;
}

/** Reads a value in slices and makes a datum of it: `text` decodes UTF-8, others take the bytes whole. */
export async function readSliced(reader: LargeValueReader, storage: StorageId, ref: LargeRef, text: ((bytes: Uint8Array) => string) | null, whole: (bytes: Uint8Array) => Datum): Promise<Datum> {
  if (text) {
    const assembler = new TextAssembler(text);
    for (let at = 0; at < ref.length; at += SLICE) {
      assembler.add(reader.read(storage, ref.id, at, Math.min(SLICE, ref.length - at)));
      await turn();
    }
    return assembler.finish();
  }
  const bytes = new Uint8Array(ref.length);
  for (let at = 0; at < ref.length; at += SLICE) {
    bytes.set(reader.read(storage, ref.id, at, Math.min(SLICE, ref.length - at)), at);
    await turn();
  }
  return whole(bytes);
}
