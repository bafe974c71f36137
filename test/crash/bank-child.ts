/**
 * The process that the crash tests kill: concurrent transfers between accounts over the engine on a
 * data directory.
 *
 *     node bank-child.js run DIR CLIENTS      prints "ready", then "A n" for every acknowledged transfer n
 *     node bank-child.js verify DIR ACKS      recovers and checks: every transfer in the file ACKS is
 *                                             there, none half, sums and index agree; prints "ok ..."
 *
 * Transfer n: two balances change, a history row "n from to amount" and its index entry appear.
 */
import { readFileSync } from 'node:fs';
import type { RowId, StorageId } from '../../engine/ids.js';
import { KeyReader, KeyWriter } from '../../engine/keycode.js';
import { openEngine } from '../../engine/open.js';
import { Pending } from '../../engine/pending.js';
import { nodeRuntime } from '../../engine/runtime-node.js';
import type { IndexBlock, RowBlock, Storage, Transaction } from '../../engine/storage.js';

const ACCOUNTS = 50;
// Ids that a fresh directory hands out first.
const accounts = (1 << 16) as StorageId;
const history = ((1 << 16) + 1) as StorageId;
const byNumber = ((1 << 16) + 2) as StorageId;
const OPTIONS = { segmentBytes: 3 << 20, trimEveryBytes: 1 << 20, collectEveryMs: 50 };

const text = (tuple: Uint8Array): string => Buffer.from(tuple).toString();
const key = (n: number): Uint8Array => new KeyWriter().int64(n).copy();
const EMPTY = new Uint8Array(0);

function* rows(tx: Transaction, storage: StorageId): Generator<[number, string]> {
  const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
  const cursor = tx.scan(storage, tx.takeSnapshot());
  while ((cursor.fill(block, 500) as number) > 0) for (let i = 0; i < block.length; i++) yield [block.rowIds[i]!, text(block.tuples[i]!)];
}

async function setUp(engine: Storage): Promise<number> {
  const tx = engine.begin();
  const known = [...rows(tx, accounts)];
  let last = 0;
  for (const [, line] of rows(tx, history)) last = Math.max(last, Number(line.split(' ')[0]));
  if (known.length === 0) {
    for (const expected of [accounts, history, byNumber]) if (engine.allocateStorageId() !== expected) throw new Error('not a fresh directory');
    for (let i = 0; i < ACCOUNTS; i++) tx.insert(accounts, Buffer.from('0'));
  }
  await tx.commit();
  return last;
}

async function changeBalance(tx: Transaction, rowId: RowId, amount: number): Promise<void> {
  for (;;) {
    const snapshot = tx.takeSnapshot();
    const locked = tx.lockRow(accounts, rowId, 'no key update', 'wait', snapshot);
    if (locked instanceof Pending) {
      snapshot.release();
      await locked.until;
      continue;
    }
    let balance: number;
    if (locked.kind === 'updated') balance = Number(text(locked.version.tuple));
    else balance = Number(text((tx.get(accounts, rowId, snapshot) as { tuple: Uint8Array }).tuple));
    tx.update(accounts, rowId, Buffer.from(String(balance + amount)));
    snapshot.release();
    return;
  }
}

async function run(directory: string, clients: number): Promise<void> {
  const engine = await openEngine(nodeRuntime(), { directory, ...OPTIONS });
  engine.onFatal((error) => {
    console.error(error);
    process.exit(1);
  });
  let next = await setUp(engine);
  process.stdout.write('ready\n');
  const client = async (): Promise<never> => {
    for (;;) {
      const n = ++next;
      const from = (1 + Math.floor(Math.random() * ACCOUNTS)) as RowId;
      const to = (1 + Math.floor(Math.random() * ACCOUNTS)) as RowId;
      const amount = Math.floor(Math.random() * 1000);
      const tx = engine.begin();
      if (from !== to) {
        // In one order, so that nobody deadlocks.
        const legs: [RowId, number][] = from < to ? [[from, -amount], [to, amount]] : [[to, amount], [from, -amount]];
        for (const [rowId, change] of legs) await changeBalance(tx, rowId, change);
      }
      const padding = Math.random() < 0.05 ? 'x'.repeat(Math.floor(Math.random() * 300_000)) : '';
      const rowId = tx.insert(history, Buffer.from(`${n} ${from} ${to} ${amount} ${padding}`));
      tx.putIndexEntry(byNumber, key(n), rowId, EMPTY);
      if (Math.random() < 0.1) {
        tx.rollback();
        continue;
      }
      await tx.commit();
      process.stdout.write(`A ${n}\n`);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
}

async function verify(directory: string, acksFile: string): Promise<void> {
  const start = performance.now();
  const engine = await openEngine(nodeRuntime(), { directory, ...OPTIONS });
  const openMs = performance.now() - start;
  const tx = engine.begin();
  const balances = new Map<number, number>();
  for (const [rowId, line] of rows(tx, accounts)) balances.set(rowId, Number(line));
  const expected = new Map<number, number>([...balances.keys()].map((rowId) => [rowId, 0]));
  const found = new Map<number, number>();
  for (const [rowId, line] of rows(tx, history)) {
    const [n, from, to, amount] = line.split(' ').map(Number) as [number, number, number, number];
    if (found.has(n)) throw new Error(`transfer ${n} is there twice`);
    found.set(n, rowId);
    expected.set(from, expected.get(from)! - amount);
    expected.set(to, expected.get(to)! + amount);
  }
  for (const [rowId, balance] of balances) if (expected.get(rowId) !== balance) throw new Error(`account ${rowId} has ${balance}, its transfers say ${expected.get(rowId)}`);
  const block: IndexBlock = { length: 0, keys: [], rowIds: [], payloads: [] };
  const cursor = tx.scanIndex(byNumber, tx.takeSnapshot(), {});
  let entries = 0;
  while ((cursor.fill(block, 500) as number) > 0)
    for (let i = 0; i < block.length; i++) {
      const n = new KeyReader(block.keys[i]!).int64Number();
      if (found.get(n) !== block.rowIds[i]) throw new Error(`index entry ${n} points to row ${block.rowIds[i]}, the heap says ${found.get(n)}`);
      entries++;
    }
  if (entries !== found.size) throw new Error(`${entries} index entries for ${found.size} rows`);
  const acks = readFileSync(acksFile, 'utf8').split('\n').filter(Boolean).map(Number);
  const lost = acks.filter((n) => !found.has(n));
  if (lost.length > 0) throw new Error(`${lost.length} acknowledged transfers are lost: ${lost.slice(0, 5).join(', ')}`);
  await tx.commit();
  await engine.checkpoint();
  if (engine.rowCount(history) !== found.size) throw new Error(`row count ${engine.rowCount(history)} for ${found.size} rows`);
  await engine.close();
  console.log(`ok transfers=${found.size} acknowledged=${acks.length} recovery=${openMs.toFixed(0)}ms`);
}

const [mode, directory, argument] = process.argv.slice(2) as [string, string, string];
if (mode === 'run') await run(directory, Number(argument));
else await verify(directory, argument);
process.exit(0);
