/**
 * The meta keyspace: what the state knows beside rows and entries. Whoever reads or writes an entry finds its layout here.
 *
 *     "applied"            u48 LSN of the last record applied, u48 replay from, f64 last commit time
 *     "reserve"            u48 xids below it may have been handed out, u48 storage ids likewise
 *     "horizon"            u48 LSN: older snapshots may miss versions
 *     "s" u48 sequence     i64 last value, u8 is called, u32 logged ahead, u48 LSN; what it superseded is in history
 *                          as a row with id 0
 *     "d" u48 LSN u48 id   a storage dropped at LSN, waiting for the horizon
 *     "c" time             when each commit was (commit-times.ts)
 *     "x" u48 xid          a transaction that wrote ahead (fates.ts)
 *     "v" u48 xid          large values of a transaction still open (open-values.ts)
 */
import { writeUint48 } from '../keycode.js';

export const META = {
  applied: Uint8Array.from(Buffer.from('applied')),
  reserve: Uint8Array.from(Buffer.from('reserve')),
  horizon: Uint8Array.from(Buffer.from('horizon')),
} as const;

/** A key in meta: a letter and up to two numbers. */
export function metaKey(letter: string, first: number, second?: number): Uint8Array {
  const out = new Uint8Array(second === undefined ? 7 : 13);
  out[0] = letter.charCodeAt(0);
  writeUint48(out, 1, first);
  if (second !== undefined) writeUint48(out, 7, second);
  return out;
}
