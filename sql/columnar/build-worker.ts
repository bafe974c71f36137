/** The thread that turns blocks of rows into columns, beside the sessions' work. */
import type { RowId } from '../../engine/ids.js';
import { openStateFile } from '../../engine/packed/open.js';
import { BlockReader } from '../../engine/mvcc/block-reader.js';
import { lowerThreadPriority, workerContext } from '../../engine/runtime-node.js';
import { TupleCodec, type TupleColumn } from '../access/tuple-codec.js';
import type { DataType } from '../types/data-type.js';
import { BORN_TYPES } from '../types/index.js';
import type { BuildAnswer, BuildRequest, BuildWorkerData, PackedColumn, RowColumn } from './build-protocol.js';
import { ABSENT, CHANGED, ColumnBuilder, LIVE, NotColumnar, SEGMENT_ROWS, packColumn } from './segment.js';

/** Point work and loads go first; but statements may wait for it. */
const NICE = 4;

const context = workerContext<BuildWorkerData, BuildRequest, BuildAnswer>();
const reader = new BlockReader(openStateFile({ path: context.data.statePath }));
lowerThreadPriority(NICE);

function typeOf({ type }: RowColumn): DataType | undefined {
  return type === null ? undefined : BORN_TYPES.get(type);
}

function codecOf(row: readonly RowColumn[]): TupleCodec {
  return new TupleCodec(row.map((column): TupleColumn => {
    const known = typeOf(column);
    return known ? { type: known, missing: column.missing } : { type: { name: '', row: { width: column.width } } as unknown as DataType, missing: null };
  }));
}

/** Types that are stored as their UTF-8. */
const PLAIN = new Set(['text', 'varchar', 'bpchar', 'name']);

/** Sets a column's slot from a row whose value `codec.locateAt` found. */
type Fill = (builder: ColumnBuilder, slot: number, bytes: Uint8Array, view: DataView, start: number, end: number) => void;

function fillOf(column: RowColumn): Fill {
  const { name, row } = typeOf(column)!;
  if (PLAIN.has(name)) return (builder, slot, bytes, _, start, end) => builder.setBytes(slot, bytes, start, end);
  if (name === 'numeric') return (builder, slot, bytes, _, start, end) => builder.setNumeric(slot, bytes, start, end);
  if (row.width !== 0) return (builder, slot, _, view, start) => builder.set(slot, row.read(view, start));
  return (builder, slot, bytes, _, start, end) => builder.set(slot, row.decode(bytes.slice(start, end)));
}

/** What rows have that are older than the column. */
function setMissing(builder: ColumnBuilder, slot: number, { type, missing }: RowColumn): void {
  if (typeof missing !== 'string' || !PLAIN.has(type!)) {
    builder.set(slot, missing);
    return;
  }
  const bytes = Buffer.from(missing);
  builder.setBytes(slot, bytes, 0, bytes.length);
}

function build({ id, storage, block, s, own, row, wanted }: BuildRequest): BuildAnswer {
  const codec = codecOf(row);
  const from = block * SEGMENT_ROWS;
  const marks = new Uint8Array(SEGMENT_ROWS).fill(ABSENT);
  const builders = wanted.map((column) => new ColumnBuilder(column.class, SEGMENT_ROWS, column.maxTexts));
  const fills = wanted.map(({ attnum }) => fillOf(row[attnum - 1]!));
  const attnums = wanted.map(({ attnum }) => attnum);
  const refused = new Set<number>();
  let slots = 0;
  reader.read(storage, from as RowId, (from + SEGMENT_ROWS - 1) as RowId, s, new Set(own), (rowId, bytes, view, start) => {
    const slot = rowId - from;
    if (slot >= slots) slots = slot + 1;
    marks[slot] = bytes ? LIVE : CHANGED;
    if (!bytes) return;
    for (let c = 0; c < builders.length; c++) {
      const builder = builders[c]!;
      if (builder.abandoned) continue;
      const column = attnums[c]! - 1;
      try {
        switch (codec.locateAt(bytes, view, start, column)) {
          case 'here':
            fills[c]!(builder, slot, bytes, view, codec.start, codec.end);
            break;
          case 'null':
            builder.set(slot, null);
            break;
          case 'missing':
            setMissing(builder, slot, row[column]!);
            break;
          case 'elsewhere':
            throw new NotColumnar();
        }
      } catch (error) {
        if (!(error instanceof NotColumnar)) throw error;
        builder.abandoned = true;
        refused.add(attnums[c]!);
      }
    }
  });
  const columns: PackedColumn[] = [];
  builders.forEach((builder, c) => {
    if (!builder.abandoned) columns.push(packColumn(attnums[c]!, builder.finish(slots, true)));
  });
  return { id, marks, slots, columns, refused: [...refused], error: null };
}

context.onMessage((request) => {
  try {
    context.post(build(request));
  } catch (error) {
    context.post({ id: request.id, marks: new Uint8Array(0), slots: 0, columns: [], refused: [], error: error instanceof Error ? error.message : String(error) });
  }
});
