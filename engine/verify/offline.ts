/**
 * Checks a data directory that no server has open, without changing it: the log, the state as it lies
 * there, and (in memory, over both) the state that a start would come to, as an engine that the SQL layer
 * can read relations from.
 *
 * Reading a damaged LMDB file can crash the process: whoever calls this in a process of its own can say so.
 */
import { checkDirectory, holderOf } from '../data-directory.js';
import { DatabaseError } from '../errors.js';
import type { Lsn, StorageId, Xid } from '../ids.js';
import { readUint48 } from '../keycode.js';
import { openStateFile } from '../packed/open.js';
import type { PackedKeyValueStore } from '../packed/store.js';
import type { Keyspace } from '../kv/key-value-store.js';
import { COMMIT_HAS_PARTS, COMMIT_HAS_PROVISIONAL, RecordKind, RecordReader, Section } from '../log/batch.js';
import type { Lead, LogStore, LogStoreStats, AppendResult, Tail } from '../log/log-store.js';
import { Applier } from '../mvcc/applier.js';
import { metaKey } from '../mvcc/meta.js';
import type { StorageInfo } from '../mvcc/storage-info.js';
import { openParts } from '../open.js';
import type { Runtime } from '../runtime.js';
import type { Storage } from '../storage.js';
import type { Findings } from './findings.js';
import { LayeredKeyValueStore } from './layered-kv.js';
import { walkLog } from './log-walk.js';
import type { LogWalk } from './log-walk.js';
import { StateWalk } from './state-walk.js';
import type { WalkTotals } from './state-walk.js';

export interface OfflineCheck extends WalkTotals {
  readonly logFrom: Lsn;
  readonly logTo: Lsn;
  readonly applied: Lsn;
  readonly clean: boolean;
  /** Storages whose sums the log has for the state as it lies there: compared. */
  readonly sumsCompared: number;
  /** The state at the log's end, in memory; undefined when it cannot be had. Close it. */
  readonly storage: Storage | undefined;
}

export interface OfflineHooks {
  progress?(what: Keyspace | 'log', done: number): void;
}

/** Raises F0000 or F0001 for what is no data directory, or one in use. */
export async function checkOffline(runtime: Runtime, directory: string, findings: Findings, hooks: OfflineHooks = {}): Promise<OfflineCheck> {
  checkDirectory(runtime, directory);
  const holder = holderOf(runtime, directory);
  if (holder !== undefined)
    throw new DatabaseError('F0001', `data directory "${directory}" is in use by a server (process ${holder})`, { hint: 'Ask that server: oxbow verify --url with the address of its ops port.' });
  const kv = openState(directory, findings, runtime);
  const applier = kv && loadState(kv, findings);
  const sums = new LoggedSums();
  const logBytes = { read: 0 };
  const log = await walkLog(runtime, `${directory}/log`, findings, (applier?.replayFrom ?? 0) as Lsn, (batch) => {
    sums.take(batch);
    logBytes.read += batch.length;
    hooks.progress?.('log', logBytes.read);
  });
  const totals: WalkTotals = { entries: 0, rows: 0, storages: 0 };
  let sumsCompared = 0;
  let storage: Storage | undefined;
  if (kv && applier) {
    if (applier.applied > log.end) findings.add({ part: 'log', message: `the log ends at ${log.end}, but the state is at ${applier.applied}: its last batches are damaged or missing` });
    if (applier.replayFrom > 0 && applier.replayFrom < log.first) findings.add({ part: 'log', message: `the log begins at ${log.first}, but the state needs it from ${applier.replayFrom}` });
    sumsCompared = sums.compare(applier, findings);
    const walk = new StateWalk({
      kv, findings, still: true, turn: () => undefined, now: () => runtime.clock.monotonicMs(), progress: hooks.progress,
      pin: async () => ({ at: applier.applied, storages: applier.infos, dropped: droppedIn(kv), valid: () => true, release: () => undefined }),
    });
    Object.assign(totals, await walk.run());
    storage = await openFrozen(runtime, kv, applier, log, findings);
  }
  return { ...totals, logFrom: log.first, logTo: log.end, applied: applier?.applied ?? (0 as Lsn), clean: log.clean, sumsCompared, storage };
}

function openState(directory: string, findings: Findings, runtime: Runtime): PackedKeyValueStore | undefined {
  const path = `${directory}/state.mdb`;
  if (!runtime.files.exists(path)) {
    findings.add({ part: 'state', message: 'state.mdb is missing' });
    return undefined;
  }
  try {
    return openStateFile({ path });
  } catch (error) {
    findings.add({ part: 'state', message: `state.mdb cannot be opened: ${(error as Error).message}` });
    return undefined;
  }
}

function loadState(kv: PackedKeyValueStore, findings: Findings): Applier | undefined {
  const applier = new Applier(kv);
  let damaged = false;
  // The walk names them.
  kv.onDamage = () => (damaged = true);
  try {
    applier.load();
  } catch (error) {
    if (error instanceof DatabaseError) throw error;
    findings.add({ part: 'state', message: `how far the state is cannot be read: ${(error as Error).message}` });
    return undefined;
  } finally {
    kv.onDamage = undefined;
  }
  if (applier.applied > 0 || !damaged) return applier;
  findings.add({ part: 'state', message: 'how far the state is cannot be read' });
  return undefined;
}

function droppedIn(kv: PackedKeyValueStore): Set<StorageId> {
  const keys: Uint8Array[] = [];
  kv.onDamage = () => undefined;
  kv.scan('meta', metaKey('d', 0, 0), metaKey('e', 0), false, Infinity, { keys, values: [] });
  kv.onDamage = undefined;
  return new Set(keys.map((key) => readUint48(key, 7) as StorageId));
}

/** An engine over the state and the log's end, all changes in memory. */
async function openFrozen(runtime: Runtime, kv: PackedKeyValueStore, applier: Applier, log: LogWalk, findings: Findings): Promise<Storage | undefined> {
  const usable = applier.replayFrom === 0 || (log.first <= applier.replayFrom && log.end >= applier.applied);
  try {
    return await openParts(runtime, { kv: new LayeredKeyValueStore(kv), log: new FrozenLog(usable ? log : { ...log, batches: [], first: applier.applied, end: applier.applied }) }, { collectEveryMs: 0, memory: true });
  } catch (error) {
    findings.add({ part: 'state', message: `the state cannot be brought to the log's end: ${(error as Error).message}` });
    return undefined;
  }
}

/** A log that was read; what an engine says behind its end is forgotten. */
class FrozenLog implements LogStore {
  private end: Lsn;

  constructor(private readonly log: LogWalk) {
    this.end = log.end;
  }

  async lead(): Promise<Lead> {
    return { term: 1, tail: this.log.end, tailHash: this.log.endHash };
  }

  append(_term: number, previousLsn: Lsn, batch: Uint8Array): AppendResult {
    this.end = (previousLsn + batch.length) as Lsn;
    return { kind: 'appended', durable: this.end };
  }

  hasRoom(): boolean {
    return true;
  }

  async confirm(): Promise<Lsn> {
    return this.end;
  }

  async tail(from: Lsn): Promise<Tail> {
    const batches = this.log.batches.filter((batch) => readUint48(batch, 14) + batch.length > from);
    return { kind: 'batches', batches: (async function* () { yield* batches; })() };
  }

  async trim(): Promise<void> {}

  stats(): LogStoreStats {
    return { fsyncCount: 0, fsyncMsTotal: 0, fsyncMsMax: 0, fsyncBuckets: [] };
  }

  async close(): Promise<void> {}
}

/** Counts and hash sums that the log carries, and which storages changed after them. */
export class LoggedSums {
  private readonly latest = new Map<StorageId, { at: Lsn; count: number; hash: number[] }>();
  private readonly lastChange = new Map<StorageId, Lsn>();
  private readonly held = new Map<Xid, Set<StorageId>>();
  private readonly reader = new RecordReader();

  take(batch: Uint8Array): void {
    const { reader } = this;
    reader.open(batch);
    while (reader.nextRecord()) {
      const { kind, lsn, xid } = reader;
      const later = kind === RecordKind.part || kind === RecordKind.prepare || kind === RecordKind.provisional;
      const touched = new Set<StorageId>();
      while (reader.nextSection()) {
        if (reader.tag === Section.rows) reader.rows({ row: (_op, storage) => void touched.add(storage), piece: () => undefined });
        else if (reader.tag === Section.sums) this.takeSums();
        else if (reader.tag === Section.xids) for (let at = reader.sectionStart; at < reader.sectionEnd; at += 6) for (const storage of this.held.get(reader.uint48(at) as Xid) ?? []) touched.add(storage);
      }
      if (later) {
        const held = this.held.get(xid) ?? new Set();
        for (const storage of touched) held.add(storage);
        this.held.set(xid, held);
        continue;
      }
      if (kind === RecordKind.commit && reader.flags & (COMMIT_HAS_PARTS | COMMIT_HAS_PROVISIONAL)) for (const storage of this.held.get(xid) ?? []) touched.add(storage);
      if (kind === RecordKind.commit || kind === RecordKind.abort) this.held.delete(xid);
      for (const storage of touched) this.lastChange.set(storage, lsn);
    }
  }

  private takeSums(): void {
    const { reader } = this;
    const at = reader.uint48(reader.sectionStart) as Lsn;
    for (let from = reader.sectionStart + 6; from < reader.sectionEnd; from += 30)
      this.latest.set(reader.uint48(from) as StorageId, { at, count: reader.float64(from + 6), hash: Array.from({ length: 4 }, (_, i) => reader.uint32(from + 14 + i * 4)) });
  }

  /** Against what the state keeps: of storages that did not change since. Returns how many. */
  compare(state: { readonly applied: Lsn; readonly infos: ReadonlyMap<StorageId, StorageInfo> }, findings: Findings): number {
    let compared = 0;
    for (const [storage, sums] of this.latest) {
      if (sums.at > state.applied || (this.lastChange.get(storage) ?? 0) > sums.at) continue;
      const info = state.infos.get(storage);
      if (!info) continue;
      compared++;
      if (info.count !== sums.count || sums.hash.some((word, i) => word !== info.hash[i]))
        findings.add({ part: 'state', storage, message: `the state counts ${info.count} rows where the log says ${sums.count} at ${sums.at}, or their hash sums differ` });
    }
    return compared;
  }
}
