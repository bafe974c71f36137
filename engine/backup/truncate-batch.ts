/** A batch without its last records, as if it had been closed there: what the end of a restored history needs. */
import { BATCH_HEADER, RecordReader } from '../log/batch.js';
import { crc32 } from '../log/checksum.js';

/** `offset` is where a record of the batch begins, or its end. Undefined when no record is left. */
export function truncateBatch(batch: Uint8Array, offset: number): Uint8Array | undefined {
  if (offset <= BATCH_HEADER) return undefined;
  if (offset === batch.length) return batch;
  const reader = new RecordReader().open(batch);
  let records = 0;
  while (reader.nextRecord() && reader.nextOffset <= offset) records++;
  const out = batch.slice(0, offset);
  const view = new DataView(out.buffer);
  view.setUint32(20, offset, true);
  view.setUint32(24, records, true);
  view.setUint32(60, 0, true);
  view.setUint32(60, crc32(out), true);
  return out;
}
