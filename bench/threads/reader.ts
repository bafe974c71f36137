/** A session thread of the prototype: reads by key from the shared state, on its own, until told to stop. */
import { parentPort, workerData } from 'node:worker_threads';
import type { Lsn, RowId, StorageId, Xid } from '../../engine/ids.js';
import { KeyWriter, readUint48 } from '../../engine/keycode.js';
import type { Chunk } from '../../engine/kv/key-value-store.js';
import { openStateFile } from '../../engine/packed/open.js';
import { metaKey } from '../../engine/mvcc/meta.js';
import { FOREVER, Hit, VersionStore } from '../../engine/mvcc/version-store.js';

export interface ReaderData {
  readonly path: string;
  readonly table: number;
  readonly index: number;
  readonly rows: number;
  /** Bytes of this thread's cache of rows. */
  readonly cacheBytes: number;
  /** [0]: stop when 1; [1 + n]: reads done by thread n. */
  readonly shared: SharedArrayBuffer;
  readonly number: number;
}

const data = workerData as ReaderData;
const kv = openStateFile({ path: data.path });
const store = new VersionStore(kv, data.cacheBytes);
// Fates of transactions that loaded in bulk, as a start reads them.
const fates: Chunk = { keys: [], values: [] };
kv.scan('meta', metaKey('x', 0), metaKey('y', 0), false, Infinity, fates);
fates.keys.forEach((one, i) => store.staged.set(readUint48(one, 1) as Xid, readUint48(fates.values[i]!, 0) as Lsn));
const control = new Int32Array(data.shared);
const key = new KeyWriter();
const hit = new Hit();
const answer = new Uint8Array(1024);
const [table, index] = [data.table as StorageId, data.index as StorageId];
let state = data.number + 1;

/** What a prepared SELECT by key does below the protocol; the row goes into an answer buffer. */
function read(): void {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  const n = state % data.rows;
  const rowId = store.lookup(index, key.reset().int32(n).copy(), FOREVER);
  if (rowId <= 0 || !store.read(table, rowId as RowId, FOREVER, undefined, hit, true)) throw new Error(`row ${n} is not there`);
  answer.set(hit.tuple, 0);
}

function turn(): void {
  for (let i = 0; i < 2000; i++) read();
  Atomics.add(control, 1 + data.number, 2000);
  if (Atomics.load(control, 0) === 1) parentPort!.postMessage('done');
  else setImmediate(turn);
}

for (let i = 0; i < data.rows / 4; i++) read();
parentPort!.postMessage('ready');
parentPort!.once('message', turn);
