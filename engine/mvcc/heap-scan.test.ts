/** Long scans read the store's pages, and hand rows out where they lie: the rows are those that a look-up of each finds. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { RowId, StorageId } from '../ids.js';
import { openEngine } from '../open.js';
import { nodeRuntime } from '../runtime-node.js';
import type { RowBlock, RowVersion, Snapshot, Storage, Transaction } from '../storage.js';

const directory = mkdtempSync(join(tmpdir(), 'oxbow-heap-scan-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const ROWS = 6000;
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const text = (tuple: Uint8Array): string => Buffer.from(tuple).toString();

function lookedUp(tx: Transaction, table: StorageId, snapshot: Snapshot, last: number): string[] {
  const found: string[] = [];
  for (let rowId = 1; rowId <= last; rowId++) {
    const version = tx.get(table, rowId as RowId, snapshot) as RowVersion | undefined;
    if (version) found.push(`${rowId} ${version.xmin} ${text(version.tuple)}`);
  }
  return found;
}

function scanned(tx: Transaction, table: StorageId, snapshot: Snapshot, visits: boolean): { rows: string[]; visited: number } {
  const cursor = tx.scan(table, snapshot);
  const block: RowBlock = { length: 0, rowIds: [], tuples: [], xmins: [] };
  const rows: string[] = [];
  let visited = 0;
  for (;;) {
    const seen = visits ? cursor.visit(700, (rowId, xmin, bytes, view, start, end) => {
      expect(view.getUint8(start)).toBe(bytes[start]);
      rows.push(`${rowId} ${xmin} ${text(bytes.slice(start, end))}`);
    }) : undefined;
    if (seen === undefined) {
      const filled = cursor.fill(block, 700) as number;
      if (filled === 0) return { rows, visited };
      for (let i = 0; i < filled; i++) rows.push(`${block.rowIds[i]} ${block.xmins[i]} ${text(block.tuples[i]!)}`);
    } else if (seen === 0) return { rows, visited };
    else visited += seen;
  }
}

function compare(tx: Transaction, table: StorageId, last: number): number {
  const snapshot = tx.takeSnapshot();
  const expected = lookedUp(tx, table, snapshot, last);
  expect(scanned(tx, table, snapshot, false).rows).toEqual(expected);
  const { rows, visited } = scanned(tx, table, snapshot, true);
  expect(rows).toEqual(expected);
  snapshot.release();
  return visited;
}

async function change(engine: Storage, table: StorageId, last: number): Promise<void> {
  const tx = engine.begin();
  const snapshot = tx.takeSnapshot();
  for (let rowId = 3; rowId <= last; rowId += 7) {
    if (tx.lockRow(table, rowId as RowId, 'update', 'wait', snapshot) instanceof Promise) throw new Error('waits');
    if (rowId % 2 === 0) tx.delete(table, rowId as RowId);
    else tx.update(table, rowId as RowId, bytes(`changed ${rowId}`));
  }
  snapshot.release();
  await tx.commit();
}

it.each(['memory', 'threads'])('a scan of many rows over %s', async (kind) => {
  const engine = await openEngine(nodeRuntime(), { ...(kind === 'memory' ? { memory: true } : { directory: join(directory, 'data') }), collectEveryMs: 0 });
  const setup = engine.begin();
  const table = setup.createStorage();
  await setup.commit();
  const load = engine.begin();
  const loader = load.bulkLoader(table);
  for (let i = 0; i < ROWS; i++) {
    const row = bytes(`row ${i} ${'x'.repeat(i % 1000 === 0 ? 9000 : i % 60)}`);
    loader!.insert(table, row, row.length);
    const wait = loader!.pending();
    if (wait) await wait.until;
  }
  await loader!.finish();
  load.advanceCommand();
  // Its own rows, which nobody else sees.
  compare(load, table, ROWS);
  const other = engine.begin();
  expect(scanned(other, table, other.takeSnapshot(), true).rows).toEqual([]);
  await load.commit();
  const before = engine.begin();
  expect(compare(before, table, ROWS)).toBeGreaterThan(ROWS / 2);
  const held = before.takeSnapshot();
  const now = lookedUp(before, table, held, ROWS);
  await change(engine, table, ROWS);
  // Rows that changed since are read as they were, whether the state has the change or not.
  expect(scanned(before, table, held, true).rows).toEqual(now);
  await engine.checkpoint();
  expect(scanned(before, table, held, true).rows).toEqual(now);
  held.release();
  const after = engine.begin();
  compare(after, table, ROWS);
  await engine.close();
});
