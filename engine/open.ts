/** Opens a storage engine: in memory, or on a data directory. */
import { takeDirectory } from './data-directory.js';
import { DatabaseError } from './errors.js';
import type { Lsn, StorageId, Xid } from './ids.js';
import { readUint48, writeUint48 } from './keycode.js';
import { MemoryKeyValueStore } from './kv/memory.js';
import type { KeyValueStore } from './kv/key-value-store.js';
import { BATCH_HEADER, FIRST_LSN, batchFirstLsn } from './log/batch.js';
import { FileLogStore } from './log/file-store.js';
import { GroupCommit } from './log/group-commit.js';
import type { LogStore } from './log/log-store.js';
import { MemoryLogStore } from './log/memory.js';
import { Applier } from './mvcc/applier.js';
import { META, metaKey } from './mvcc/meta.js';
import { SUMS_EVERY_MS } from './mvcc/applier-driver.js';
import { InlineApplier } from './mvcc/apply-inline.js';
import { ThreadedApplier } from './mvcc/apply-threaded.js';
import { Engine } from './mvcc/engine.js';
import type { EngineOptions } from './mvcc/engine.js';
import { stagedXids } from './mvcc/prepared.js';
import { VersionStore } from './mvcc/version-store.js';
import { openStateFile } from './packed/open.js';
import { PackedKeyValueStore } from './packed/store.js';
import type { Runtime } from './runtime.js';
import type { Storage } from './storage.js';

export interface OpenOptions {
  /** Data directory; without one (`memory`) everything ends with the process. */
  readonly directory?: string;
  readonly memory?: boolean;
  /** Bytes of uncommitted changes one transaction may keep in memory. */
  readonly transactionMemory?: number;
  /** Bytes of inserts from which on a transaction writes them ahead of its commit. */
  readonly bulkThreshold?: number;
  /** False: never fsync. A power cut then loses or damages data: for tests and throw-away servers. */
  readonly sync?: boolean;
  /** Where the log is applied to the state: on a thread of its own (the default), or in slices on this one. */
  readonly applier?: 'thread' | 'inline';
  /** Bytes per log segment. */
  readonly segmentBytes?: number;
  /** Bytes of log between checkpoints: what a restart may have to replay. */
  readonly trimEveryBytes?: number;
  /** Milliseconds between garbage collections; 0: only on demand. */
  readonly collectEveryMs?: number;
  /** Old row versions kept for snapshots (20 million): beyond that the oldest snapshot is ended with 72000. */
  readonly maxVersions?: number;
  /** What rows and keys that were looked up one by one may take in memory. */
  readonly cacheBytes?: number;
  /** Milliseconds that old versions are kept for whoever reads the past (0). */
  readonly retentionMs?: number;
  /** Milliseconds between records of counts and hash sums in the log. */
  readonly sumsEveryMs?: number;
}

export interface EngineParts {
  readonly kv: KeyValueStore;
  readonly log: LogStore;
  readonly onClose?: () => Promise<void>;
  /** Path of the LMDB file that `kv` has open: the applier then runs on a thread of its own. */
  readonly statePath?: string;
}

/** Bytes of log replayed in one key-value transaction. */
const REPLAY_CHUNK = 32 << 20;
const FIRST_XID = 1000;
const FIRST_STORAGE = 1 << 16;

export async function openEngine(runtime: Runtime, options: OpenOptions): Promise<Storage> {
  if (options.memory) return openParts(runtime, { kv: new PackedKeyValueStore(new MemoryKeyValueStore()), log: new MemoryLogStore({ keep: false }) }, options);
  const { directory } = options;
  if (directory === undefined) throw new DatabaseError('F0000', 'no data directory given', { severity: 'FATAL' });
  const held = takeDirectory(runtime, directory);
  try {
    const log = new FileLogStore(runtime, { directory: `${directory}/log`, ...(options.segmentBytes ? { segmentBytes: options.segmentBytes } : {}), sync: options.sync ?? true });
    const statePath = `${directory}/state.mdb`;
    const kv = openStateFile({ path: statePath });
    // Their names must survive a power cut before anything relies on what is in them.
    runtime.files.syncDirectory(directory);
    const threaded = options.applier !== 'inline';
    return await openParts(runtime, { kv, log, onClose: async () => held.release(), ...(threaded ? { statePath } : {}) }, options);
  } catch (error) {
    held.release();
    throw error;
  }
}

/** Recovers the state in `kv` from `log` and opens an engine over them: what tests and simulations call with stores of their own. */
export async function openParts(runtime: Runtime, parts: EngineParts, options: OpenOptions = {}): Promise<Engine> {
  const { kv, log } = parts;
  const applier = new Applier(kv);
  const retentionMs = options.retentionMs ?? 0;
  const lead = await log.lead('local', 0);
  const begun = runtime.clock.monotonicMs();
  const { batches, bytes: replayedBytes } = await replay(kv, log, applier, lead.tail, retentionMs > 0);
  const replayMs = runtime.clock.monotonicMs() - begun;
  const store = new VersionStore(kv, options.cacheBytes ?? (options.memory ? 1 << 20 : 256 << 20));
  for (const info of applier.infos.values()) if (info.lastDeath > 0) store.noteDeath(info.id, info.lastDeath);
  loadFates(kv, store);
  loadDrops(kv, store);
  const reserve = kv.get('meta', META.reserve);
  const nextRowIds = new Map<StorageId, number>();
  for (const info of applier.infos.values()) nextRowIds.set(info.id, info.nextRowId);
  const prepared = [...applier.keepPrepared()].map(([xid, parts]) => {
    const staged = [xid, ...stagedXids(parts)].filter((one) => applier.unfinished().includes(one)).map((one) => applier.stagedBy(one));
    const storages = [...new Set(staged.flatMap((one) => one.storages))];
    return { xid, parts, staged: storages.length > 0 ? { first: Math.min(...staged.map((one) => one.first)) as Lsn, storages } : undefined };
  });
  const keptXids = new Set(prepared.flatMap(({ xid, parts }) => [xid, ...stagedXids(parts)]));
  const recovered = {
    nextXid: reserve ? readUint48(reserve, 0) : FIRST_XID,
    nextStorageId: reserve ? readUint48(reserve, 6) : FIRST_STORAGE,
    lastCommitMicros: applier.lastCommitMicros,
    nextRowIds,
    unfinished: applier.unfinished().filter((xid) => !keptXids.has(xid)).map((xid) => ({ xid, ...applier.stagedBy(xid) })),
    prepared,
    replayedBytes,
    replayMs,
    cleanStart: lead.unclean !== true,
    collected: collectedTo(kv, lead.tail, retentionMs > 0 || batches === 0),
  };
  const group = new GroupCommit(log, lead, runtime.clock, batches + Math.floor(runtime.random.uniform() * 2 ** 30));
  const sumsEveryMs = options.sumsEveryMs ?? SUMS_EVERY_MS;
  const driver = parts.statePath === undefined ? new InlineApplier(kv, applier, runtime.clock, sumsEveryMs) : await startThread(runtime, kv, parts.statePath, applier, sumsEveryMs);
  const engineOptions: EngineOptions = {
    directory: options.directory,
    transactionMemory: options.transactionMemory ?? 1 << 30,
    bulkThreshold: options.bulkThreshold ?? 16 << 20,
    collectEveryMs: options.collectEveryMs ?? 1000,
    maxVersions: options.maxVersions ?? 20_000_000,
    retentionMs,
    trimEveryBytes: options.trimEveryBytes ?? 16 << 20,
  };
  return new Engine(runtime, engineOptions, kv, log, group, driver, store, recovered, parts.onClose);
}

async function startThread(runtime: Runtime, kv: KeyValueStore, path: string, applier: Applier, sumsEveryMs: number): Promise<ThreadedApplier> {
  const driver = new ThreadedApplier(runtime, kv, path, applier, sumsEveryMs);
  await new Promise<void>((resolve, reject) => {
    driver.onFailure = reject;
    driver.ready.then(resolve, reject);
  });
  return driver;
}

/** Applies what the log has beyond the state, with every version or only with what it comes to. Returns what it read. */
async function replay(kv: KeyValueStore, log: LogStore, applier: Applier, tail: Lsn, history: boolean): Promise<{ batches: number; bytes: number }> {
  const { replayFrom } = applier.load();
  const from = replayFrom || FIRST_LSN;
  if (from > tail)
    throw new DatabaseError('XX001', `the state is at ${from} but the commit log ends at ${tail}`, { severity: 'FATAL', detail: 'Part of the commit log is missing.' });
  const found = await log.tail(from as Lsn);
  if (found.kind === 'trimmed')
    throw new DatabaseError('XX001', `the commit log begins at ${found.oldest} but the state needs it from ${from}`, { severity: 'FATAL' });
  let batches: Uint8Array[] = [];
  let bytes = 0;
  let count = 0;
  let total = 0;
  const flush = (): void => {
    if (batches.length > 0) applier.applyAll(batches, BATCH_HEADER, undefined, !history);
    batches = [];
    bytes = 0;
  };
  for await (const batch of found.batches) {
    if (batchFirstLsn(batch) >= tail) break;
    batches.push(batch);
    bytes += batch.length;
    total += batch.length;
    count++;
    if (bytes >= REPLAY_CHUNK) flush();
  }
  flush();
  kv.refresh();
  return { batches: count, bytes: total };
}

/** Storages that were dropped and are kept for who reads the past: their deaths count up to the drop. */
function loadDrops(kv: KeyValueStore, store: VersionStore): void {
  const chunk = { keys: [] as Uint8Array[], values: [] as Uint8Array[] };
  kv.scan('meta', metaKey('d', 0, 0), metaKey('e', 0), false, Infinity, chunk);
  for (const key of chunk.keys) store.noteDeath(readUint48(key, 7) as StorageId, readUint48(key, 1) as Lsn);
}

/** From which LSN on snapshots find all their versions: what was collected before, or the log's end after a replay without history. */
function collectedTo(kv: KeyValueStore, tail: Lsn, keptHistory: boolean): Lsn {
  const stored = kv.get('meta', META.horizon);
  if (stored && keptHistory) return readUint48(stored, 0) as Lsn;
  const value = new Uint8Array(6);
  writeUint48(value, 0, tail);
  kv.write((writer) => writer.put('meta', META.horizon, value));
  kv.refresh();
  return tail;
}

/** Which bulk-loading transactions committed, and when. */
function loadFates(kv: KeyValueStore, store: VersionStore): void {
  const chunk = { keys: [] as Uint8Array[], values: [] as Uint8Array[] };
  kv.scan('meta', Uint8Array.of(0x78), Uint8Array.of(0x79), false, Infinity, chunk);
  chunk.keys.forEach((key, i) => {
    const lsn = readUint48(chunk.values[i]!, 0) as Lsn;
    if (lsn > 0) store.staged.set(readUint48(key, 1) as Xid, lsn);
  });
}
