/**
 * The applier's thread: reads batches from the ring, applies them to LMDB, reports how far it is.
 * It alone writes to LMDB while it lives. A full disk makes it wait and try again; anything else
 * that goes wrong ends it, and with it the process.
 */
import type { Lsn } from '../ids.js';
import { openStateFile } from '../packed/open.js';
import { BATCH_HEADER, batchFirstLsn } from '../log/batch.js';
import { nodeRuntime, workerContext } from '../runtime-node.js';
import { Applier } from './applier.js';
import { SUMS_EVERY_BYTES } from './applier-driver.js';
import type { ApplyWorkerData, FromApplier, ToApplier } from './apply-protocol.js';
import { Collector } from './collector.js';
import { RingReader } from './ring.js';

/** One LMDB transaction applies at most this much log, or for this long. */
const MAX_BYTES = 4 << 20;
const MAX_MS = 50;
const COLLECT_SLICE = 2000;
const RETRY_MS = 500;
const LOW_SPACE = 64 << 20;

const { files, clock } = nodeRuntime();

const context = workerContext<ApplyWorkerData, ToApplier, FromApplier>();
const kv = openStateFile({ path: context.data.path });
const applier = new Applier(kv);
const collector = new Collector(kv);
const ring = new RingReader(context.data.ring);
let stopping = false;
let working: Promise<void> = Promise.resolve();

applier.load();
applier.adopt(context.data.prepared);

/** Batches read from the ring and not wholly applied, and where to go on in the first. */
let batches: Uint8Array[] = [];
let offset = BATCH_HEADER;

let sinceSums = 0;
let summedMs = clock.monotonicMs();

/** The state's counts and hash sums go to the log, for whoever restores from it. */
function reportSums(): void {
  if (sinceSums < SUMS_EVERY_BYTES && clock.monotonicMs() - summedMs < context.data.sumsEveryMs) return;
  sinceSums = 0;
  summedMs = clock.monotonicMs();
  const sums = applier.takeSums();
  if (sums) context.post({ kind: 'sums', sums });
}

function takeFromRing(): void {
  let bytes = 0;
  for (const batch of batches) bytes += batch.length;
  while (bytes < MAX_BYTES) {
    const batch = ring.read();
    if (!batch) break;
    batches.push(batch);
    bytes += batch.length;
  }
}

function applySlice(): void {
  const end = clock.monotonicMs() + MAX_MS;
  let records = 0;
  const at = applier.applyAll(batches, offset, () => (++records & 63) === 0 && clock.monotonicMs() >= end);
  let bytes = 0;
  let position = 0;
  for (const done of batches.splice(0, at.batch)) {
    bytes += done.length;
    position = batchFirstLsn(done) + done.length;
  }
  offset = at.offset;
  const infos = [...applier.takeChanged()].map((info) => [info.id, info.count, info.bytes] as const);
  context.post({ kind: 'applied', applied: applier.applied, end: position, historyCount: applier.historyCount - applier.undo.restored, infos, bytes });
  sinceSums += bytes;
  reportSums();
}

/** LMDB reports a write cut short by a full disk as an I/O error. */
function isFullDisk(error: unknown): boolean {
  const text = String(error);
  if (/ENOSPC|No space left|MAP_FULL|mapsize/i.test(text)) return true;
  return /EIO|Input\/output error/i.test(text) && files.freeBytes(context.data.path) < LOW_SPACE;
}
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function applyLoop(): Promise<void> {
  for (;;) {
    ring.look();
    takeFromRing();
    if (batches.length === 0) {
      if (stopping) return;
      await ring.wait(1000);
      reportSums();
      continue;
    }
    try {
      applySlice();
    } catch (error) {
      if (!isFullDisk(error)) throw error;
      context.post({ kind: 'stalled', message: String(error) });
      applier.restore();
      // The log has what is missing; a restart with room replays it.
      if (stopping) return;
      await pause(RETRY_MS);
      continue;
    }
    // Messages are served between slices.
    await new Promise<void>((resolve) => setImmediate(resolve));
    // What came meanwhile waits until there is enough of it: each step is an LMDB commit and its flush.
    if (batches.length === 0 && !stopping) await ring.wait(1000);
  }
}

async function collect(id: number, horizon: Lsn): Promise<void> {
  const total = { versions: 0, history: 0, entries: 0 };
  try {
    for (;;) {
      const slice = collector.collect(horizon, COLLECT_SLICE);
      total.versions += slice.versions;
      total.history += slice.history;
      total.entries += slice.entries;
      if (slice.finished || stopping) break;
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  } catch (error) {
    if (!isFullDisk(error)) throw error;
  }
  context.post({ kind: 'collected', id, ...total });
}

async function serve(message: ToApplier): Promise<void> {
  switch (message.kind) {
    case 'sync': {
      const { keepFrom } = applier;
      await kv.sync();
      context.post({ kind: 'synced', id: message.id, keepFrom });
      return;
    }
    case 'collect':
      return collect(message.id, message.horizon);
    case 'sweep':
      while (!applier.undo.sweep(message.xid, COLLECT_SLICE) && !stopping) await new Promise<void>((resolve) => setImmediate(resolve));
      context.post({ kind: 'swept', id: message.id, historyCount: applier.historyCount - applier.undo.restored });
      return;
    case 'mark':
      context.post({ kind: 'marked', id: message.id, mark: applier.mark() });
      return;
    case 'halt':
      context.exit();
      break;
    case 'stop':
      stopping = true;
      ring.wake();
      await working;
      await kv.sync();
      context.exit();
  }
}

function fail(error: unknown): void {
  context.post({ kind: 'failed', message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}

context.onMessage((message) => void serve(message).catch(fail));
working = applyLoop();
working.catch(fail);
context.post({ kind: 'ready' });
