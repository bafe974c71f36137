/** The local log on a disk that tears, rots, fills up and fails. */
import { describe, expect, it } from 'vitest';
import type { Lsn, RowId, Xid } from '../../engine/ids.js';
import { BATCH_HEADER, BatchBuilder, RecordKind, RecordReader, batchHash } from '../../engine/log/batch.js';
import { crc32, crc32Portable } from '../../engine/log/checksum.js';
import { FileLogStore } from '../../engine/log/file-store.js';
import type { AppendResult, Lead } from '../../engine/log/log-store.js';
import { MemoryKeyValueStore } from '../../engine/kv/memory.js';
import { openParts } from '../../engine/open.js';
import { FaultyFiles } from './faulty-files.js';
import { seededRandom, simulatedRuntime } from './simulated-runtime.js';

const SEGMENT = 2.5 * 2 ** 20;

/** Appends batches as a leader does. */
class Writer {
  private hash: Uint8Array;
  lsn: Lsn;
  private id = 1;

  constructor(readonly store: FileLogStore, private readonly lead: Lead) {
    this.lsn = lead.tail;
    this.hash = lead.tailHash;
  }

  async append(size: number): Promise<AppendResult> {
    const builder = new BatchBuilder(this.lsn);
    builder.beginRecord(RecordKind.system, 0, 0 as Xid);
    builder.bytes(new Uint8Array(size));
    builder.endRecord();
    const batch = builder.finish(this.lead.term, this.lsn, this.hash, this.id++);
    const result = await this.store.append(this.lead.term, this.lsn, batch, this.id, false);
    this.hash = batchHash(batch);
    this.lsn = builder.endLsn;
    return result;
  }
}

async function openLog(files: FaultyFiles): Promise<Writer> {
  const store = new FileLogStore({ ...simulatedRuntime(1), files }, { directory: 'log', segmentBytes: SEGMENT });
  return new Writer(store, await store.lead());
}

async function read(writer: Writer, from: Lsn): Promise<number> {
  const tail = await writer.store.tail(from);
  if (tail.kind !== 'batches') return -1;
  let count = 0;
  for await (const batch of tail.batches) count += batch.length > 0 ? 1 : 0;
  return count;
}

/** Overwrites bytes of the newest segment, as a bad disk would: synced. */
function damage(files: FaultyFiles, at: number, bytes: Uint8Array): void {
  const name = files.list('log').filter((entry) => entry.endsWith('.log')).sort().at(-1)!;
  const file = files.open(`log/${name}`, 'readwrite');
  file.writeSync(bytes, at);
  file.dataSyncSync();
}

describe('the local log', () => {
  it('secures what a process wrote and did not sync before the next one relies on it', async () => {
    const files = new FaultyFiles();
    const first = await openLog(files);
    await first.append(1000);
    files.failNextSync = true;
    await expect(first.append(2000)).rejects.toThrow('EIO');
    // The next process finds it in the kernel's cache, and says that it is durable ...
    const second = await openLog(files);
    expect(second.lsn).toBeGreaterThan(first.lsn);
    // ... so the power must not take it away.
    files.powerCut(seededRandom(7));
    expect((await openLog(files)).lsn).toBe(second.lsn);
  });

  it('has one CRC in both implementations', () => {
    const random = seededRandom(3);
    for (const length of [0, 1, 100, 5000]) {
      const data = Uint8Array.from({ length }, () => random() * 256);
      expect(crc32(data)).toBe(crc32Portable(data));
    }
  });

  it('goes on over segments, recycles them, and reads from any position', async () => {
    const files = new FaultyFiles();
    let writer = await openLog(files);
    const positions: Lsn[] = [];
    for (let i = 0; i < 60; i++) {
      positions.push(writer.lsn);
      expect((await writer.append(300_000)).kind).toBe('appended');
    }
    expect(await read(writer, positions[0]!)).toBe(60);
    expect(await read(writer, positions[45]!)).toBe(15);
    await writer.store.trim(1, positions[40]!);
    expect(await read(writer, positions[0]!)).toBe(-1);
    expect(await read(writer, positions[40]!)).toBe(20);
    for (let i = 0; i < 30; i++) await writer.append(200_000);
    const end = writer.lsn;
    writer = await openLog(files);
    expect(writer.lsn).toBe(end);
    expect(await read(writer, positions[40]!)).toBe(50);
    expect((await writer.append(10)).kind).toBe('appended');
  });

  it('leaves no hole where a segment could not be let go, nor where the power goes meanwhile', async () => {
    const files = new FaultyFiles();
    let writer = await openLog(files);
    const positions: Lsn[] = [];
    for (let i = 0; i < 60; i++) {
      positions.push(writer.lsn);
      await writer.append(300_000);
    }
    files.failNextRemoval = true;
    await expect(writer.store.trim(1, positions[20]!)).rejects.toThrow('EIO');
    await writer.store.trim(1, positions[40]!);
    expect(await read(writer, positions[40]!)).toBe(20);
    writer = await openLog(files);
    expect(await read(writer, positions[40]!)).toBe(20);
    files.powerCut(seededRandom(7));
    expect(await read(await openLog(files), positions[40]!)).toBe(20);
  });

  it('cuts a torn tail and overwrites it', async () => {
    for (let seed = 1; seed <= 15; seed++) {
      const random = seededRandom(seed);
      const files = new FaultyFiles();
      let writer = await openLog(files);
      for (let i = 0; i < 5; i++) await writer.append(Math.floor(random() * 20_000));
      const durable = writer.lsn;
      // The last one reaches the disk in part.
      const never = files as unknown as { failNextSync: boolean };
      never.failNextSync = true;
      await expect(writer.append(50_000)).rejects.toThrow('EIO');
      files.powerCut(random);
      writer = await openLog(files);
      expect([durable, durable + BATCH_HEADER + 12 + 50_000]).toContain(writer.lsn);
      await writer.append(100);
      const end = writer.lsn;
      expect((await openLog(files)).lsn).toBe(end);
    }
  });

  it('tells damage from a torn tail', async () => {
    const files = new FaultyFiles();
    const writer = await openLog(files);
    for (let i = 0; i < 5; i++) await writer.append(1000);
    // In the middle: a later batch is whole.
    damage(files, 4096 + 2 * 1076 + 500, Uint8Array.of(1));
    await expect(openLog(files)).rejects.toMatchObject({ sqlstate: 'XX001', detail: expect.stringContaining('is damaged, but a later one') as string });
  });

  it('refuses a log with a missing segment', async () => {
    const files = new FaultyFiles();
    const writer = await openLog(files);
    for (let i = 0; i < 20; i++) await writer.append(500_000);
    files.remove('log/000000000002.log');
    await expect(openLog(files)).rejects.toMatchObject({ detail: expect.stringContaining('000000000002.log is missing') as string });
  });

  it('fences an older leader', async () => {
    const files = new FaultyFiles();
    const old = await openLog(files);
    await old.append(10);
    const store = old.store;
    await store.lead();
    expect((await old.append(10)).kind).toBe('fenced');
  });

  it('answers 53100 on a full disk, goes on reading, and recovers when there is room', async () => {
    const runtime = simulatedRuntime(4);
    const files = new FaultyFiles();
    const engine = await openParts({ ...runtime, files }, { kv: new MemoryKeyValueStore(), log: new FileLogStore({ ...runtime, files }, { directory: 'log', segmentBytes: SEGMENT }) }, { collectEveryMs: 0, trimEveryBytes: 1e9 });
    const table = engine.allocateStorageId();
    let acknowledged = 0;
    const commit = async (): Promise<void> => {
      const tx = engine.begin();
      for (let i = 0; i < 10; i++) tx.insert(table, new Uint8Array(10_000));
      await runtime.clock.drive(tx.commit());
      acknowledged += 10;
    };
    await commit();
    files.free = 0;
    let refused: unknown;
    for (let i = 0; i < 200 && !refused; i++) await commit().catch((error: unknown) => (refused = error));
    expect(refused).toMatchObject({ sqlstate: '53100' });
    const reader = engine.begin();
    expect(reader.get(table, 1 as RowId, reader.takeSnapshot())).toBeDefined();
    reader.rollback();
    files.free = 1e9;
    await commit();
    await runtime.clock.settle();
    expect(engine.rowCount(table)).toBe(acknowledged);
  });

  it('ends the engine when a sync fails', async () => {
    const runtime = simulatedRuntime(5);
    const files = new FaultyFiles();
    const engine = await openParts({ ...runtime, files }, { kv: new MemoryKeyValueStore(), log: new FileLogStore({ ...runtime, files }, { directory: 'log', segmentBytes: SEGMENT }) });
    await runtime.clock.settle(1);
    let fatal: unknown;
    engine.onFatal((error) => (fatal = error));
    files.failNextSync = true;
    const tx = engine.begin();
    tx.insert(engine.allocateStorageId(), new Uint8Array(10));
    await expect(runtime.clock.drive(tx.commit())).rejects.toMatchObject({ sqlstate: '58030', severity: 'PANIC' });
    expect(fatal).toBeDefined();
    await expect(engine.begin().commit()).resolves.toBeDefined();
    const late = engine.begin();
    late.insert(engine.allocateStorageId(), new Uint8Array(10));
    await expect(late.commit()).rejects.toMatchObject({ sqlstate: '58030' });
  });
});

describe('records', () => {
  it('come back as written', () => {
    const builder = new BatchBuilder(0x1000000 as Lsn);
    const lsn = builder.beginRecord(RecordKind.commit, 0, 77 as Xid);
    builder.time(123456789);
    builder.message('prefix', Uint8Array.of(1, 2, 3));
    builder.endRecord();
    const batch = builder.finish(1, 0 as Lsn, new Uint8Array(16), 9);
    const reader = new RecordReader().open(batch);
    expect(reader.nextRecord()).toBe(true);
    expect([reader.lsn, reader.xid, reader.kind]).toEqual([lsn, 77, RecordKind.commit]);
    reader.nextSection();
    expect(reader.time()).toBe(123456789);
    reader.nextSection();
    expect(reader.message()).toEqual({ prefix: 'prefix', content: Uint8Array.of(1, 2, 3) });
    expect(reader.nextSection()).toBe(false);
    expect(reader.nextRecord()).toBe(false);
  });
});
