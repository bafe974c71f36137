/**
 * A process with the state file open whose threads end, again and again, while their syncs of it wait in libuv's pool; then
 * it ends itself in the same way. Arguments: the state file's path, how many threads. Exit code 70 is what the test wants to see.
 */
import { pbkdf2 } from 'node:crypto';
import { Worker, isMainThread, workerData } from 'node:worker_threads';
import { LmdbKeyValueStore } from '../../engine/kv/lmdb.js';

const path = isMainThread ? process.argv[2]! : (workerData as string);
const kv = new LmdbKeyValueStore({ path });

/** The pool's threads have something else to do, so a sync has to wait. */
function occupyPool(): void {
  for (let i = 0; i < 8; i++) pbkdf2('a', 'b', 20_000, 32, 'sha256', () => undefined);
}

function write(byte: number): void {
  kv.write((writer) => writer.put('heap', Uint8Array.of(1, byte), Uint8Array.of(byte)));
}

if (isMainThread) {
  write(0);
  for (let i = 0; i < Number(process.argv[3]); i++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: path });
    await new Promise((resolve) => worker.on('exit', resolve));
  }
}
write(1);
occupyPool();
kv.sync().catch(() => undefined);
kv.sync().catch(() => undefined);
process.exit(isMainThread ? 70 : 0);
