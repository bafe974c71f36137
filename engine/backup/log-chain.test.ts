/** The archived log as a chain: two writers, gaps, damage, branches, and where a history is cut. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Lsn, Xid } from '../ids.js';
import { BatchBuilder, FIRST_LSN, RecordKind, RecordReader, batchFirstLsn, batchHash, readBatchHeader } from '../log/batch.js';
import { NO_HASH } from '../log/log-store.js';
import { RESTORE_POINT } from '../mvcc/maintenance.js';
import { nodeRuntime } from '../runtime-node.js';
import { DirectoryTarget } from './directory-target.js';
import { formatLsn, lineageName, parseLsn, pieceName } from './layout.js';
import type { Lineage } from './lineage.js';
import { LogChain, listLineages } from './log-chain.js';
import type { ChainEnd } from './log-chain.js';
import { Fenced, LogWriter } from './log-writer.js';
import { TargetFinder } from './recovery-target.js';
import type { RecoveryTarget } from './recovery-target.js';
import { sealSync } from './sealed.js';
import type { Target } from './target.js';
import { truncateBatch } from './truncate-batch.js';

const runtime = nodeRuntime();
const sealing = { random: runtime.random, key: undefined };
const lineage: Lineage = { id: '00000000000000aa', parent: null, createdMicros: 1 };
let directory: string;
let target: DirectoryTarget;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'oxbow-chain-'));
  target = new DirectoryTarget(runtime, directory);
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Batches of commits, xids 1000 and on, at times 1, 2, ... seconds, `perBatch` in each. */
function batches(count: number, perBatch = 1, from: Lsn = FIRST_LSN, hash: Uint8Array = NO_HASH, firstXid = 1000): Uint8Array[] {
  const out: Uint8Array[] = [];
  let lsn = from;
  let previous = hash;
  for (let b = 0, n = 0; b < count; b++) {
    const builder = new BatchBuilder(lsn);
    for (let i = 0; i < perBatch; i++, n++) {
      builder.beginRecord(RecordKind.commit, 0, (firstXid + n) as Xid);
      builder.time((n + 1) * 1e6);
      builder.endRecord();
    }
    const batch = builder.finish(1, lsn, previous, b);
    out.push(batch);
    previous = batchHash(batch);
    lsn = (lsn + batch.length) as Lsn;
  }
  return out;
}

const end = (batch: Uint8Array): Lsn => (batchFirstLsn(batch) + batch.length) as Lsn;
const write = (writer: LogWriter, ...pieces: Uint8Array[]): Promise<number> => writer.write(batchFirstLsn(pieces[0]!), end(pieces.at(-1)!), new Uint8Array(Buffer.concat(pieces)));

async function read(id = lineage.id, from: Lsn = FIRST_LSN): Promise<{ lsns: number[]; end: ChainEnd }> {
  const chain = await LogChain.open(target, await listLineages(target), id, undefined);
  const lsns: number[] = [];
  let ended: ChainEnd | undefined;
  for await (const { firstLsn } of chain.read(from, (found) => (ended = found))) lsns.push(firstLsn);
  return { lsns, end: ended! };
}

async function writer(who = 'one', of: Lineage = lineage): Promise<LogWriter> {
  const made = new LogWriter(target, of, sealing, who);
  await made.begin();
  return made;
}

describe('two writers', () => {
  test('the later one takes over, the earlier one is fenced; what it stored meanwhile does not count', async () => {
    const [a, b, c] = batches(3);
    const first = await writer('first');
    await write(first, a!);
    const second = await writer('second');
    expect(second.end).toBe(end(a!));
    await expect(write(first, b!)).rejects.toBeInstanceOf(Fenced);
    // A piece of the first one that was on its way: other contents, lower epoch.
    const strayed = batches(1, 2, end(a!), batchHash(a!), 5000)[0]!;
    const name = pieceName(lineage.id, end(a!), end(strayed), 1);
    await target.putIfAbsent(name, sealSync(name, strayed, sealing));
    await write(second, b!, c!);
    expect((await read()).lsns).toEqual([a, b, c].map((batch) => batchFirstLsn(batch!)));
  });

  test('a server whose log is another one than the archive has is refused', async () => {
    const [a, b] = batches(2);
    await write(await writer(), a!, b!);
    const late = await writer('restored from a copy');
    const [, other] = batches(2, 1, FIRST_LSN, NO_HASH, 7000);
    await expect(write(late, other!)).rejects.toBeInstanceOf(Fenced);
    const branched = batches(1, 1, end(b!), new Uint8Array(16).fill(9))[0]!;
    await expect(write(late, branched)).rejects.toThrow('another history');
  });

  test('the same piece again, after an answer that was lost, is no conflict; other bytes are', async () => {
    const [a] = batches(1);
    let lost = true;
    const unsure: Target = {
      description: target.description, get: (name) => target.get(name), list: (prefix) => target.list(prefix), delete: (name) => target.delete(name),
      async putIfAbsent(name, bytes) {
        const outcome = await target.putIfAbsent(name, bytes);
        if (!/-00000001$/.test(name) || !lost) return outcome;
        lost = false;
        throw new Error('connection reset');
      },
    };
    const one = new LogWriter(unsure, lineage, sealing, 'one');
    await one.begin();
    await expect(write(one, a!)).rejects.toThrow('connection reset');
    await write(one, a!);
    expect((await read()).lsns).toEqual([FIRST_LSN]);
    const other = new LogWriter(unsure, { ...lineage, id: '00000000000000cc' }, sealing, 'other');
    await other.begin();
    const name = pieceName('00000000000000cc', FIRST_LSN, end(a!), 1);
    await target.putIfAbsent(name, sealSync(name, batches(1, 1, FIRST_LSN, NO_HASH, 4000)[0]!, sealing));
    await expect(write(other, a!)).rejects.toThrow('was written by another server');
  });
});

describe('reading', () => {
  test('a gap and a damaged piece end the chain and are named; a whole piece beside a damaged one is taken', async () => {
    const [a, b, c, d] = batches(4);
    const one = await writer();
    await write(one, a!);
    await write(one, b!);
    await write(one, d!);
    const gap = await read();
    expect(gap.lsns).toHaveLength(2);
    expect(gap.end.lsn).toBe(end(b!));
    expect(gap.end.problem?.message).toBe(`the archived log has a gap from ${formatLsn(end(b!))} to ${formatLsn(end(c!))}`);
    const damaged = pieceName(lineage.id, batchFirstLsn(b!), end(b!), 1);
    const object = (await target.get(damaged))!;
    object[70]! ^= 4;
    await target.delete(damaged);
    await target.putIfAbsent(damaged, object);
    expect((await read()).end.problem?.message).toBe(`object "${damaged}" is damaged: its SHA-256 does not match`);
    const spare = pieceName(lineage.id, batchFirstLsn(b!), end(c!), 0);
    await target.putIfAbsent(spare, sealSync(spare, new Uint8Array(Buffer.concat([b!, c!])), sealing));
    const whole = await read();
    expect(whole.lsns).toHaveLength(4);
    expect(whole.end.problem).toBeUndefined();
  });

  test('a branch follows its parent up to where it began, in the middle of a batch too', async () => {
    const [a, b, c] = batches(3, 3);
    await write(await writer(), a!, b!, c!);
    const middle = new RecordReader().open(b!);
    middle.nextRecord();
    const cut = truncateBatch(b!, middle.nextOffset)!;
    const at = (batchFirstLsn(b!) + cut.length) as Lsn;
    const branch: Lineage = { id: '00000000000000bb', parent: { id: lineage.id, lsn: at }, createdMicros: 2 };
    const [own] = batches(1, 1, at, batchHash(cut), 9000);
    await write(await writer('branch', branch), own!);
    const chain = await LogChain.open(target, await listLineages(target), branch.id, undefined);
    const seen: [number, number][] = [];
    for await (const { firstLsn, until } of chain.read(FIRST_LSN)) seen.push([firstLsn, until]);
    expect(seen).toEqual([[batchFirstLsn(a!), at], [batchFirstLsn(b!), at], [at, Infinity]]);
    expect(chain.holds(lineage.id, (at - 1) as Lsn)).toBe(true);
    expect(chain.holds(lineage.id, at)).toBe(false);
    expect(await target.get(lineageName(branch.id))).toBeDefined();
  });
});

describe('recovery targets', () => {
  const [batch] = batches(1, 4);
  const offsets: number[] = [];
  const lsns: Lsn[] = [];
  for (const reader = new RecordReader().open(batch!); ; ) {
    offsets.push(reader.nextOffset);
    if (!reader.nextRecord()) break;
    lsns.push(reader.lsn);
  }
  const kept = (to: RecoveryTarget, exclusive = false): number => {
    const cut = new TargetFinder(to, exclusive).cut(batch!);
    return cut === undefined ? 4 : offsets.indexOf(cut);
  };

  test('take in what is at or before them, or only what is before them', () => {
    expect(kept({ kind: 'latest' })).toBe(4);
    expect(kept({ kind: 'time', micros: 2e6 })).toBe(2);
    expect(kept({ kind: 'time', micros: 2e6 }, true)).toBe(1);
    expect(kept({ kind: 'time', micros: 2e6 - 1 })).toBe(1);
    expect(kept({ kind: 'time', micros: 0 })).toBe(0);
    expect(kept({ kind: 'lsn', lsn: lsns[2]! })).toBe(3);
    expect(kept({ kind: 'lsn', lsn: lsns[2]! }, true)).toBe(2);
    expect(kept({ kind: 'lsn', lsn: (lsns[2]! + 1) as Lsn })).toBe(3);
    expect(kept({ kind: 'xid', xid: 1001 as Xid })).toBe(2);
    expect(kept({ kind: 'xid', xid: 1001 as Xid }, true)).toBe(1);
    expect(kept({ kind: 'xid', xid: 5 as Xid })).toBe(4);
  });

  test('a restore point is found by its whole name', () => {
    const builder = new BatchBuilder(FIRST_LSN);
    for (const name of ['one', 'one more']) {
      builder.beginRecord(RecordKind.system, 0, 0 as Xid);
      builder.time(5e6);
      builder.message(RESTORE_POINT, Buffer.from(name));
      builder.endRecord();
    }
    const points = builder.finish(1, FIRST_LSN, NO_HASH, 0);
    expect(new TargetFinder({ kind: 'name', name: 'one more' }, false).cut(points)).toBe(points.length);
    expect(new TargetFinder({ kind: 'name', name: 'on' }, false).cut(points)).toBeUndefined();
  });

  test('a cut batch is a whole batch with fewer records', () => {
    const cut = truncateBatch(batch!, offsets[2]!)!;
    expect(readBatchHeader(cut)).toMatchObject({ records: 2, byteLength: offsets[2], firstLsn: FIRST_LSN });
    expect(truncateBatch(batch!, offsets[0]!)).toBeUndefined();
    expect(truncateBatch(batch!, batch!.length)).toBe(batch);
    expect(readBatchHeader(batch!)).toMatchObject({ records: 4 });
  });

  test('LSNs are read as they are printed', () => {
    expect(formatLsn(parseLsn('2/1A'))).toBe('2/1A');
    expect(parseLsn('16777216')).toBe(0x1000000);
    expect(() => parseLsn('1/x')).toThrow('is not an LSN');
  });
});
