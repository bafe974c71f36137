/**
 * A prototype of sessions on several threads, and a model of what they would give on more cores than there are here.
 *
 * Reads need nothing shared but the state, which is mapped memory, and the last commits: each thread has its own view and its
 * own cache of rows. Measured: key reads of 1 and 2 threads, beside a main thread that does nothing. Commits go to one
 * sequencer, which takes a write set, gives it its place and writes the log. Measured: the sequencer's time for a commit
 * of the shape of pgbench's tpcb-like, 32 at a time, without any session work.
 *
 *   npm run bench:threads
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { parseArgs } from 'node:util';
import type { RowId } from '../../engine/ids.js';
import { KeyWriter } from '../../engine/keycode.js';
import { openEngine } from '../../engine/open.js';
import { Pending } from '../../engine/pending.js';
import { nodeRuntime } from '../../engine/runtime-node.js';
import type { Storage } from '../../engine/storage.js';
import type { ReaderData } from './reader.js';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '200000' }, seconds: { type: 'string', default: '3' },
    /** Microseconds of a session's thread for one select-only and one tpcb-like transaction, as measured with pgbench. */
    read: { type: 'string', default: '18' }, tpcb: { type: 'string', default: '200' },
  },
});
const rows = Number(values.rows);
const TUPLE = new Uint8Array(110).fill(120);
const EMPTY = new Uint8Array(0);

async function fill(engine: Storage): Promise<{ table: number; index: number }> {
  const transaction = engine.begin();
  const table = transaction.createStorage();
  const index = transaction.createStorage();
  const loader = transaction.bulkLoader(table)!;
  const key = new KeyWriter();
  for (let n = 0; n < rows; n++) {
    const id = loader.insert(table, TUPLE, TUPLE.length);
    key.reset().int32(n);
    loader.put(index, key.underlying, 0, key.length, id, EMPTY);
    await loader.pending()?.until;
  }
  await loader.finish();
  await transaction.commit();
  await engine.checkpoint();
  return { table, index };
}

/** Reads a second, and CPU microseconds of a read: the latter also on a machine with other work. */
async function reads(threads: number, data: Omit<ReaderData, 'shared' | 'number'>): Promise<{ rate: number; cpu: number }> {
  const shared = new SharedArrayBuffer(4 * (1 + threads));
  const control = new Int32Array(shared);
  const workers = Array.from({ length: threads }, (_, number) => new Worker(new URL('./reader.js', import.meta.url), { workerData: { ...data, shared, number } satisfies ReaderData }));
  const heard = (): Promise<unknown> => Promise.all(workers.map((worker) => new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  })));
  await heard();
  const began = performance.now();
  const before = process.cpuUsage();
  for (const worker of workers) worker.postMessage('go');
  await new Promise((resolve) => setTimeout(resolve, Number(values.seconds) * 1000));
  const done = heard();
  Atomics.store(control, 0, 1);
  await done;
  const elapsed = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(before);
  let total = 0;
  for (let i = 0; i < threads; i++) total += control[1 + i]!;
  await Promise.all(workers.map((worker) => worker.terminate()));
  return { rate: total / elapsed, cpu: (user + system) / total };
}

/** CPU of this thread so far, in microseconds (Linux: clock ticks of 10 ms). */
function threadCpu(): number {
  const fields = readFileSync(`/proc/self/task/${process.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

/** CPU of the main thread alone for one commit: three updates and an insert, as a finished write set would arrive. */
async function sequencer(engine: Storage, table: number): Promise<{ perCommit: number; rate: number }> {
  let commits = 0;
  const end = performance.now() + Number(values.seconds) * 1000;
  const session = async (number: number): Promise<void> => {
    for (let n = 0; performance.now() < end; n++) {
      const transaction = engine.begin();
      const snapshot = transaction.takeSnapshot();
      for (const place of [number * 3000 + (n % 1000), number * 3000 + 1500, number * 3000 + 1501]) {
        const row = (1 + (place % rows)) as RowId;
        const locked = transaction.lockRow(table as never, row, 'no key update', 'wait', snapshot);
        if (locked instanceof Pending) throw new Error('a rival for a row of its own');
        transaction.update(table as never, row, TUPLE);
      }
      transaction.insert(table as never, TUPLE);
      snapshot.release();
      await transaction.commit();
      commits++;
    }
  };
  const before = threadCpu();
  const began = performance.now();
  await Promise.all(Array.from({ length: 32 }, (_, number) => session(number)));
  const cpu = threadCpu() - before;
  const elapsed = performance.now() - began;
  return { perCommit: cpu / commits, rate: (commits * 1000) / elapsed };
}

const directory = mkdtempSync(join(tmpdir(), 'oxbow-bench-threads-'));
try {
  const engine = await openEngine(nodeRuntime(), { directory });
  const { table, index } = await fill(engine);
  const data = { path: join(directory, 'state.mdb'), table, index, rows, cacheBytes: 256 << 20 };
  const one = await reads(1, data);
  const two = await reads(2, data);
  const { perCommit, rate } = await sequencer(engine, table);
  await engine.close();
  // What a second thread costs the first in CPU; how many cores there are is the model's business.
  const scaling = 2 * (one.cpu / two.cpu);
  console.log(`key reads below the protocol: ${one.cpu.toFixed(2)} us of CPU on one thread (${Math.round(one.rate)}/s), ${two.cpu.toFixed(2)} us on two (${Math.round(two.rate)}/s)`);
  console.log(`sequencer: ${perCommit.toFixed(1)} us of its thread for a commit (${Math.round(rate)}/s with 32 at a time)`);
  console.log('\nModel. Two cores go to the applier, the log and the kernel; the rest are session threads.\n');
  console.log('| cores | session threads | select-only/s | tpcb-like/s | tpcb-like is bound by |');
  console.log('|--:|--:|--:|--:|---|');
  const [readMicros, tpcbMicros] = [Number(values.read), Number(values.tpcb)];
  // Each thread beyond the first brings what the second brought here.
  const share = Math.max(0.1, Math.min(1, scaling - 1));
  for (const cores of [2, 4, 8, 16, 32]) {
    const threads = Math.max(1, cores - 2);
    const effective = 1 + (threads - 1) * share;
    const sessions = (effective * 1e6) / Math.max(1, tpcbMicros - perCommit);
    const sequenced = 1e6 / perCommit;
    console.log(`| ${cores} | ${threads} | ${Math.round((effective * 1e6) / readMicros).toLocaleString('en-US')} | ${Math.round(Math.min(sessions, sequenced)).toLocaleString('en-US')} | ${sessions < sequenced ? 'sessions' : 'the sequencer'} |`);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
