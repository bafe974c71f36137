/**
 * Random transactions against the engine and against a model that anybody can check by eye: the
 * list of commits, each a map from row to value. Every scan, look-up and index range must answer
 * as the model does, through commits in parts, application, collection, savepoints and crashes.
 *
 * OXBOW_SEED replays a run; OXBOW_MODEL_RUNS and OXBOW_MODEL_STEPS make it longer.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RowId, StorageId, SubId } from '../../engine/ids.js';
import { KeyReader, KeyWriter } from '../../engine/keycode.js';
import type { KeyValueStore } from '../../engine/kv/key-value-store.js';
import { LmdbKeyValueStore } from '../../engine/kv/lmdb.js';
import { MemoryKeyValueStore } from '../../engine/kv/memory.js';
import { FileLogStore } from '../../engine/log/file-store.js';
import type { LogStore } from '../../engine/log/log-store.js';
import { MemoryLogStore } from '../../engine/log/memory.js';
import { openParts } from '../../engine/open.js';
import { PackedKeyValueStore } from '../../engine/packed/store.js';
import { nodeRuntime } from '../../engine/runtime-node.js';
import { Pending } from '../../engine/pending.js';
import type { IndexBlock, RowBlock, Snapshot, Storage, Transaction } from '../../engine/storage.js';
import { FaultyFiles } from './faulty-files.js';
import { PowerCutKeyValueStore } from './power-cut-kv.js';
import { seededRandom, simulatedRuntime } from './simulated-runtime.js';
import type { SimulatedRuntime } from './simulated-runtime.js';

type Rows = Map<number, string>;

/** memory and lmdb: the applier in slices; threads: on its thread, over LMDB; power cuts: on disks that forget. */
const KINDS = ['memory', 'power cuts', 'lmdb', 'threads'] as const;
type Kind = (typeof KINDS)[number];

interface ModelCommit {
  readonly lsn: number;
  readonly changes: Map<number, string | undefined>;
}

interface OwnWrite {
  readonly rowId: number;
  readonly value: string | undefined;
  readonly command: number;
}

interface Client {
  readonly tx: Transaction;
  own: OwnWrite[];
  command: number;
  savepoints: { sub: SubId; length: number }[];
  /** Snapshots kept open, with what they must go on seeing. */
  held: { snapshot: Snapshot; command: number }[];
}

/** A row's value is "key/anything"; the index has (key, row id) with the value's length as payload. */
const keyOf = (value: string): number => Number(value.slice(0, value.indexOf('/')));
const encodeKey = (key: number): Uint8Array => new KeyWriter().notNull().int32(key).copy();
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
/** Most keys have none: only entries without one go in blocks. */
const payloadText = (value: string): string => (keyOf(value) < 24 ? '' : String(value.length));
const payloadOf = (value: string): Uint8Array => bytes(payloadText(value));

class Run {
  private readonly random: () => number;
  private runtime: SimulatedRuntime;
  private engine!: Storage;
  private commits: ModelCommit[] = [];
  private clients: Client[] = [];
  private table = 0 as StorageId;
  private index = 0 as StorageId;
  private log: LogStore = new MemoryLogStore({ keep: true });
  private readonly files = new FaultyFiles();
  private readonly powerCuts: boolean;

  /** With `powerCuts` the log is the file store on a disk that loses what was not synced. */
  constructor(private readonly seed: number, private kv: KeyValueStore, private readonly kind: Kind, private readonly statePath: string) {
    this.powerCuts = kind === 'power cuts';
    this.random = seededRandom(seed);
    this.runtime = this.newRuntime(seed);
  }

  private newRuntime(seed: number): SimulatedRuntime {
    const runtime = simulatedRuntime(seed);
    return this.kind === 'threads' ? { ...runtime, threads: nodeRuntime().threads } : { ...runtime, files: this.files };
  }

  private below(n: number): number {
    return Math.floor(this.random() * n);
  }

  private pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  async run(steps: number): Promise<void> {
    await this.open();
    this.table = this.engine.allocateStorageId();
    this.index = this.engine.allocateStorageId();
    for (let step = 0; step < steps; step++) await this.step();
    for (const client of this.clients) client.tx.rollback();
    this.clients = [];
    await this.settle();
    await this.engineDo(this.engine.checkpoint());
    await this.checkFresh();
    await this.engineDo(this.engine.vacuum());
    expect(this.engine.stats().versionsInHistory).toBe(0);
    await this.checkFresh();
    expect(this.engine.rowCount(this.table)).toBe(this.at(Infinity).size);
    expect(this.engine.stats().overlayRows).toBe(0);
    expect(this.engine.stats().locksHeld).toBe(0);
  }

  private async open(): Promise<void> {
    if (this.powerCuts) this.log = new FileLogStore(this.runtime, { directory: 'log', segmentBytes: 2.5 * 2 ** 20 });
    const threaded = this.kind === 'threads' ? { statePath: this.statePath } : {};
    this.engine = await openParts(this.runtime, { kv: new PackedKeyValueStore(this.kv), log: this.log, ...threaded }, { collectEveryMs: this.below(2) * 50, trimEveryBytes: 1 << 20, ...(this.random() < 0.6 ? { bulkThreshold: 4000 } : {}) });
  }

  /** Awaits something that needs the simulated clock to run. */
  private engineDo<T>(promise: Promise<T>): Promise<T> {
    return this.runtime.clock.drive(promise);
  }

  private settle(): Promise<void> {
    return this.runtime.clock.settle();
  }

  private at(lsn: number): Rows {
    const rows: Rows = new Map();
    for (const commit of this.commits)
      if (commit.lsn <= lsn)
        for (const [rowId, value] of commit.changes) {
          if (value === undefined) rows.delete(rowId);
          else rows.set(rowId, value);
        }
    return rows;
  }

  private view(client: Client, lsn: number, command: number): Rows {
    const rows = this.at(lsn);
    for (const write of client.own) {
      if (write.command >= command) continue;
      if (write.value === undefined) rows.delete(write.rowId);
      else rows.set(write.rowId, write.value);
    }
    return rows;
  }

  private async step(): Promise<void> {
    const roll = this.random();
    if (this.clients.length === 0 || (roll < 0.08 && this.clients.length < 6)) {
      const isolation = this.random() < 0.5 ? 'repeatable read' : 'read committed';
      this.clients.push({ tx: this.engine.begin({ isolation }), own: [], command: 1, savepoints: [], held: [] });
      return;
    }
    const client = this.pick(this.clients);
    if (roll < 0.02) await this.load(client);
    else if (roll < 0.45) this.write(client);
    else if (roll < 0.6) this.checkScan(client);
    else if (roll < 0.7) this.checkIndex(client);
    else if (roll < 0.75) this.checkGet(client);
    else if (roll < 0.82) this.savepoint(client);
    else if (roll < 0.9) await this.finish(client);
    else if (roll < 0.95) this.runtime.clock.step(5);
    else if (roll < 0.97) await this.settle();
    else if (roll < 0.98) await this.engineDo(this.engine.checkpoint());
    else if (roll < 0.99) await this.engineDo(this.engine.vacuum());
    else if (this.random() < (this.powerCuts ? 1 : 0.2)) await this.crash();
  }

  private write(client: Client): void {
    const { tx } = client;
    const count = this.random() < 0.05 ? 50 : 1 + this.below(3);
    for (let i = 0; i < count; i++) this.writeOne(client);
    if (this.random() < 0.8) {
      tx.advanceCommand();
      client.command++;
    }
  }

  /** Rows past the write set (bulk-load.ts): the transaction sees them when the loader has finished. */
  private async load(client: Client): Promise<void> {
    const { tx, command } = client;
    const loader = tx.bulkLoader(this.table)!;
    const entries: { rowId: RowId; value: string }[] = [];
    const put = ({ rowId, value }: { rowId: RowId; value: string }): void => {
      const key = encodeKey(keyOf(value));
      loader.put(this.index, key, 0, key.length, rowId, payloadOf(value));
    };
    // In order they become blocks (engine/packed), mostly of many keys that others have, too.
    const sorted = this.random() < 0.6;
    for (let n = this.below(150); n >= 0; n--) {
      const value = this.value();
      const tuple = bytes(value);
      const rowId = loader.insert(this.table, tuple, tuple.length);
      if (sorted) entries.push({ rowId, value });
      else put({ rowId, value });
      client.own.push({ rowId, value, command });
      const wait = loader.pending();
      if (wait) await this.engineDo(wait.until);
    }
    entries.sort((a, b) => keyOf(a.value) - keyOf(b.value) || a.rowId - b.rowId).forEach(put);
    await this.engineDo(loader.finish());
    tx.advanceCommand();
    client.command++;
  }

  private value(): string {
    const size = this.random() < 0.02 ? 80_000 : this.below(20);
    return `${this.below(30)}/${'x'.repeat(size)}${this.below(1000)}`;
  }

  private writeOne(client: Client): void {
    const { tx, command } = client;
    const value = this.value();
    if (this.random() < 0.4) {
      const rowId = tx.insert(this.table, bytes(value));
      tx.putIndexEntry(this.index, encodeKey(keyOf(value)), rowId, payloadOf(value));
      client.own.push({ rowId, value, command });
      return;
    }
    const snapshot = tx.takeSnapshot();
    const seen = this.view(client, snapshot.lsn, command);
    if (seen.size === 0) return snapshot.release();
    const rowId = this.pick([...seen.keys()]) as RowId;
    const result = tx.lockRow(this.table, rowId, this.random() < 0.5 ? 'update' : 'no key update', 'skip', snapshot);
    if (result instanceof Pending) throw new Error('skip must not wait');
    const ownLast = client.own.findLast((write) => write.rowId === rowId);
    const newest = this.at(Infinity).get(rowId);
    switch (result.kind) {
      case 'skipped':
        expect(this.clients.length).toBeGreaterThan(1);
        break;
      case 'self-modified':
        expect(ownLast?.command).toBe(command);
        break;
      case 'deleted':
        expect(newest).toBeUndefined();
        break;
      case 'updated':
        expect(Buffer.from(result.version.tuple).toString()).toBe(newest);
        break;
      case 'locked':
        this.change(client, rowId, seen.get(rowId)!, this.random() < 0.3 ? undefined : value);
    }
    snapshot.release();
  }

  private change(client: Client, rowId: RowId, old: string, value: string | undefined): void {
    const { tx } = client;
    tx.deleteIndexEntry(this.index, encodeKey(keyOf(old)), rowId);
    if (value === undefined) tx.delete(this.table, rowId);
    else {
      tx.update(this.table, rowId, bytes(value));
      tx.putIndexEntry(this.index, encodeKey(keyOf(value)), rowId, payloadOf(value));
    }
    client.own.push({ rowId, value, command: client.command });
  }

  /** A snapshot: a new one, or one held open for long. */
  private snapshot(client: Client): { snapshot: Snapshot; command: number; done: () => void } {
    if (client.held.length > 0 && this.random() < 0.4) {
      const held = this.pick(client.held);
      return { ...held, done: () => undefined };
    }
    const snapshot = client.tx.takeSnapshot();
    if (this.random() < 0.2 && client.savepoints.length === 0) {
      client.held.push({ snapshot, command: client.command });
      return { snapshot, command: client.command, done: () => undefined };
    }
    return { snapshot, command: client.command, done: () => snapshot.release() };
  }

  private checkScan(client: Client): void {
    const { snapshot, command, done } = this.snapshot(client);
    const from = this.random() < 0.3 ? this.below(100) : undefined;
    const cursor = client.tx.scan(this.table, snapshot, from === undefined ? undefined : { from: from as RowId });
    const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
    const found: [number, string][] = [];
    while ((cursor.fill(block, 1 + this.below(20)) as number) > 0)
      for (let i = 0; i < block.length; i++) found.push([block.rowIds[i]!, Buffer.from(block.tuples[i]!).toString()]);
    const expected = [...this.view(client, snapshot.lsn, command)].filter(([rowId]) => rowId >= (from ?? 0)).sort((a, b) => a[0] - b[0]);
    same(found, expected);
    done();
  }

  private checkIndex(client: Client): void {
    const { snapshot, command, done } = this.snapshot(client);
    const [low, high] = [this.below(30), this.below(30)];
    const [lowerInclusive, upperInclusive, reverse] = [this.random() < 0.5, this.random() < 0.5, this.random() < 0.5];
    const open = this.random() < 0.3;
    const range = open ? { reverse } : { lower: encodeKey(low), upper: encodeKey(high), lowerInclusive, upperInclusive, reverse };
    const cursor = client.tx.scanIndex(this.index, snapshot, range);
    const block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };
    const found: [number, number, string][] = [];
    while ((cursor.fill(block, 1 + this.below(20)) as number) > 0)
      for (let i = 0; i < block.length; i++) {
        const reader = new KeyReader(block.keys[i]!);
        reader.isNull();
        found.push([reader.int32(), block.rowIds[i]!, Buffer.from(block.payloads[i]!).toString()]);
      }
    const expected: [number, number, string][] = [...this.view(client, snapshot.lsn, command)]
      .map(([rowId, value]): [number, number, string] => [keyOf(value), rowId, payloadText(value)])
      .filter(([key]) => open || ((lowerInclusive ? key >= low : key > low) && (upperInclusive ? key <= high : key < high)))
      .sort((a, b) => (a[0] - b[0] || a[1] - b[1]) * (reverse ? -1 : 1));
    same(found, expected);
    done();
  }

  private checkGet(client: Client): void {
    const { snapshot, command, done } = this.snapshot(client);
    const rowId = 1 + this.below(200);
    const version = client.tx.get(this.table, rowId as RowId, snapshot);
    if (version instanceof Pending) throw new Error('unexpected wait');
    expect(version && Buffer.from(version.tuple).toString()).toBe(this.view(client, snapshot.lsn, command).get(rowId));
    done();
  }

  private savepoint(client: Client): void {
    const roll = this.random();
    if (roll < 0.5 || client.savepoints.length === 0) {
      client.savepoints.push({ sub: client.tx.savepoint(), length: client.own.length });
      return;
    }
    const at = this.below(client.savepoints.length);
    const { sub, length } = client.savepoints[at]!;
    if (roll < 0.8) {
      client.tx.rollbackTo(sub);
      client.own.length = length;
      client.savepoints.length = at + 1;
      // Their own writes may be gone now; PostgreSQL closes such portals too.
      for (const { snapshot } of client.held) snapshot.release();
      client.held = [];
    } else {
      client.tx.release(sub);
      client.savepoints.length = at;
    }
  }

  private async finish(client: Client): Promise<void> {
    this.clients = this.clients.filter((other) => other !== client);
    if (this.random() < 0.25) {
      client.tx.rollback();
      return;
    }
    const changes = new Map<number, string | undefined>();
    for (const { rowId, value } of client.own) changes.set(rowId, value);
    const size = [...changes.values()].reduce((sum, value) => sum + (value?.length ?? 0), 0);
    const synchronous = this.random() < 0.8;
    // A transaction that wrote ahead takes its place some turns later.
    const ahead = (client.tx as { staged?: unknown }).staged !== undefined;
    const commit = client.tx.commit({ synchronous });
    commit.catch(() => undefined);
    if (ahead || size > 40_000 || client.own.length > 100) {
      const lsn = await this.engineDo(commit);
      if (changes.size > 0) this.commits.push({ lsn, changes });
    } else {
      if (changes.size > 0) this.commits.push({ lsn: this.engine.watermarks.assigned, changes });
      if (this.random() < 0.5) await this.engineDo(commit);
    }
    this.commits.sort((a, b) => a.lsn - b.lsn);
  }

  /** What is durable must be there afterwards; what is not may be, whole batches at a time. */
  private async crash(): Promise<void> {
    if (this.kind === 'threads') return this.restart();
    const { durable } = this.engine.watermarks;
    this.clients = [];
    this.runtime = this.newRuntime(this.seed + this.commits.length + 1);
    if (this.powerCuts) {
      this.files.powerCut(this.random);
      this.kv = (this.kv as PowerCutKeyValueStore).powerCut(this.random);
    }
    await this.open();
    const recovered = this.engine.watermarks.durable;
    expect(recovered).toBeGreaterThanOrEqual(durable);
    this.commits = this.commits.filter((commit) => commit.lsn < recovered);
    await this.checkFresh();
  }

  /** A thread cannot be forgotten like a simulated runtime: it is stopped in order. */
  private async restart(): Promise<void> {
    this.clients = [];
    await this.engineDo(this.engine.close());
    this.kv = new LmdbKeyValueStore({ path: this.statePath });
    await this.open();
    await this.checkFresh();
  }

  async close(): Promise<void> {
    if (this.kind === 'threads') await this.engineDo(this.engine.close());
    else this.kv.close();
  }

  private async checkFresh(): Promise<void> {
    const client: Client = { tx: this.engine.begin(), own: [], command: 1, savepoints: [], held: [] };
    this.checkScan(client);
    this.checkIndex(client);
    await this.engineDo(client.tx.commit());
  }
}

/** toEqual prints 80,000 x otherwise. */
function same(found: readonly (readonly (string | number)[])[], expected: readonly (readonly (string | number)[])[]): void {
  const short = (list: readonly (readonly (string | number)[])[]): string[] => list.map((row) => row.map((v) => (typeof v === 'string' && v.length > 40 ? `${v.slice(0, 30)}...${v.length}` : String(v))).join(' '));
  if (JSON.stringify(found) !== JSON.stringify(expected)) expect(short(found)).toEqual(short(expected));
}

describe('the engine against a naive model', () => {
  const first = process.env.OXBOW_SEED ? Number(process.env.OXBOW_SEED) : undefined;
  const runs = first === undefined ? Number(process.env.OXBOW_MODEL_RUNS ?? 5) : 1;
  const steps = Number(process.env.OXBOW_MODEL_STEPS ?? 1500);
  for (let i = 0; i < runs; i++) {
    const seed = first ?? 1000 + i;
    for (const store of KINDS)
      it(`agrees on ${store}, seed ${seed}`, async () => {
        const directory = mkdtempSync(join(tmpdir(), 'oxbow-model-'));
        const path = join(directory, 'state.mdb');
        const kv = store === 'memory' ? new MemoryKeyValueStore() : store === 'power cuts' ? new PowerCutKeyValueStore() : new LmdbKeyValueStore({ path });
        const run = new Run(seed, kv, store, path);
        try {
          await run.run(store === 'lmdb' ? steps / 3 : steps);
        } finally {
          await run.close();
          rmSync(directory, { recursive: true, force: true });
        }
      }, 600_000);
  }
});
