/** The thread that turns blocks of rows into columns, beside the sessions' work. */
import type { RowId } from '../../engine/ids.js';
import { openStateFile } from '../../engine/packed/open.js';
import { BlockReader } from '../../engine/mvcc/block-reader.js';
import { hasLarge } from '../../engine/mvcc/row-format.js';
import { workerContext } from '../../engine/runtime-node.js';
import { TupleCodec, type TupleColumn } from '../access/tuple-codec.js';
import type { DataType } from '../types/data-type.js';
import { BORN_TYPES } from '../types/index.js';
import type { BuildAnswer, BuildRequest, BuildWorkerData, PackedColumn, RowColumn } from './build-protocol.js';
import { ABSENT, CHANGED, ColumnBuilder, LIVE, NotColumnar, SEGMENT_ROWS, packColumn } from './segment.js';

const context = workerContext<BuildWorkerData, BuildRequest, BuildAnswer>();
const reader = new BlockReader(openStateFile({ path: context.data.statePath }));

function codecOf(row: readonly RowColumn[]): TupleCodec {
  return new TupleCodec(row.map(({ type, width, missing }): TupleColumn => {
    const known = type === null ? undefined : BORN_TYPES.get(type);
    return known ? { type: known, missing } : { type: { name: '', row: { width } } as unknown as DataType, missing: null };
  }));
}

function build({ id, storage, block, s, row, wanted }: BuildRequest): BuildAnswer {
  const codec = codecOf(row);
  const from = block * SEGMENT_ROWS;
  const marks = new Uint8Array(SEGMENT_ROWS).fill(ABSENT);
  const builders = wanted.map((column) => new ColumnBuilder(column.class, SEGMENT_ROWS, column.maxTexts));
  const refused = new Set<number>();
  let slots = 0;
  reader.read(storage, from as RowId, (from + SEGMENT_ROWS - 1) as RowId, s, (rowId, tuple) => {
    const slot = rowId - from;
    if (slot >= slots) slots = slot + 1;
    marks[slot] = tuple ? LIVE : CHANGED;
    if (!tuple) return;
    for (let c = 0; c < wanted.length; c++) {
      const builder = builders[c]!;
      if (builder.abandoned) continue;
      const { attnum } = wanted[c]!;
      try {
        if (hasLarge(tuple) && codec.refOf(tuple, attnum - 1)) throw new NotColumnar();
        builder.set(slot, codec.read(tuple, attnum - 1));
      } catch (error) {
        if (!(error instanceof NotColumnar)) throw error;
        builder.abandoned = true;
        refused.add(attnum);
      }
    }
  });
  const columns: PackedColumn[] = [];
  builders.forEach((builder, c) => {
    if (!builder.abandoned) columns.push(packColumn(wanted[c]!.attnum, builder.finish(slots, true)));
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
