/**
 * Concurrent transactions over the wire that leave a history behind. Two shapes:
 *
 *     lists      append a unique number to a key's list; a read of the list shows the whole order
 *     registers  set a key to a unique number and learn what it was before
 *
 * Reads go through the primary key, another index, or a scan of the whole table, so that each way of
 * reading is put to the proof. Which transactions run follows from the seed; how they interleave does not.
 */
import pg from 'pg';
import type { History, Transaction } from './checker.js';

export interface WorkloadOptions {
  readonly shape: 'lists' | 'registers';
  readonly level: string;
  readonly clients: number;
  readonly transactionsPerClient: number;
  readonly keys: number;
  readonly seed: number;
  /** The server's port, which may change with a restart. */
  readonly port: () => number | Promise<number>;
}

/** mulberry32 */
export function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

async function connected(options: WorkloadOptions): Promise<pg.Client> {
  for (let attempt = 0; ; attempt++) {
    const client = new pg.Client({ host: '127.0.0.1', port: await options.port(), user: 'postgres', database: 'postgres', connectionTimeoutMillis: 10_000 });
    client.on('error', () => undefined);
    try {
      await client.connect();
      await client.query("SET deadlock_timeout = '20ms'");
      return client;
    } catch (error) {
      if (attempt > 1200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

export async function prepareWorkload(options: WorkloadOptions): Promise<void> {
  const client = await connected(options);
  await client.query('DROP TABLE IF EXISTS lists; DROP TABLE IF EXISTS registers');
  await client.query('CREATE TABLE lists (k int PRIMARY KEY, k2 int, v text); CREATE INDEX ON lists (k2)');
  await client.query(`CREATE TABLE registers (k int PRIMARY KEY, k2 int, v int); CREATE INDEX ON registers (k2); INSERT INTO registers (k, k2) SELECT g, g FROM generate_series(0, ${options.keys - 1}) g`);
  await client.end();
}

const WHERE = ['k = $1', 'k2 = $1', 'k2 BETWEEN $1 AND $1 + 0', 'k + 0 = $1'];
const LIST_VERSION = (text: string | null | undefined): number[] => (text ? text.split(',').map(Number) : []);

/** Runs the workload and answers its history. */
export async function runWorkload(options: WorkloadOptions): Promise<History> {
  const transactions: Transaction[] = [];
  const before = new Map<number, number | null>();
  /** Longest list seen per key: what a crash must not take back. */
  let unique = 0;
  const next = (): number => ++unique;

  const worker = async (number: number): Promise<void> => {
    const pick = random(options.seed * 1000 + number);
    let client = await connected(options);
    for (let i = 0; i < options.transactionsPerClient; i++) {
      const transaction: Transaction = { id: transactions.length + 1, outcome: 'unknown', reads: [], writes: [] };
      transactions.push(transaction);
      let committing = false;
      try {
        await client.query(`BEGIN ISOLATION LEVEL ${options.level}`);
        for (let op = 1 + pick(4); op > 0; op--) {
          const key = pick(options.keys);
          if (pick(2) === 0) await read(client, transaction, key, WHERE[pick(WHERE.length)]!);
          else await write(client, transaction, key);
        }
        committing = true;
        await client.query('COMMIT');
        transaction.outcome = 'committed';
      } catch (error) {
        const { code } = error as { code?: string };
        // An error from the server means that it is undone; a lost connection only says so before COMMIT was sent.
        if (code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !/^(08|57P|E)/.test(code)) transaction.outcome = 'aborted';
        else if (!committing) transaction.outcome = 'aborted';
        if (!/^(40001|40P01|23505)$/.test(code ?? '')) {
          await client.end().catch(() => undefined);
          client = await connected(options);
        } else await client.query('ROLLBACK').catch(() => undefined);
      }
    }
    await client.end().catch(() => undefined);
  };

  const wrote = (transaction: Transaction, key: number): boolean => transaction.writes.some((write) => write.key === key);

  const read = async (client: pg.Client, transaction: Transaction, key: number, where: string): Promise<void> => {
    const { rows } = await client.query(`SELECT v FROM ${options.shape} WHERE ${where}`, [key]);
    if (wrote(transaction, key)) return;
    const v = (rows[0] as { v: string | number | null } | undefined)?.v ?? null;
    transaction.reads.push({ key, value: options.shape === 'lists' ? (LIST_VERSION(v as string | null).at(-1) ?? null) : (v as number | null) });
  };

  const write = async (client: pg.Client, transaction: Transaction, key: number): Promise<void> => {
    const value = next();
    if (options.shape === 'lists') {
      transaction.writes.push({ key, value });
      await client.query("INSERT INTO lists VALUES ($1, $1, $2) ON CONFLICT (k) DO UPDATE SET v = lists.v || ',' || excluded.v", [key, String(value)]);
      return;
    }
    const { rows } = await client.query('UPDATE registers r SET v = $2 FROM (SELECT k, v FROM registers WHERE k = $1 FOR UPDATE) o WHERE r.k = o.k RETURNING o.v', [key, value]);
    const old = (rows[0] as { v: number | null }).v;
    transaction.writes.push({ key, value });
    before.set(value, old);
  };

  await Promise.all(Array.from({ length: options.clients }, (_, i) => worker(i)));
  const versions = await finalVersions(options, before, transactions);
  return { transactions, versions };
}

async function finalVersions(options: WorkloadOptions, before: ReadonlyMap<number, number | null>, transactions: readonly Transaction[]): Promise<Map<number, number[]>> {
  const client = await connected(options);
  const { rows } = await client.query(`SELECT k, v FROM ${options.shape} ORDER BY k`);
  await client.end();
  const versions = new Map<number, number[]>();
  for (const { k, v } of rows as { k: number; v: string | number | null }[]) {
    if (options.shape === 'lists') {
      versions.set(k, LIST_VERSION(v as string | null));
      continue;
    }
    const chain: number[] = [];
    for (let value = v as number | null; value !== null && chain.length <= transactions.length * 4; value = before.get(value) ?? null) chain.unshift(value);
    versions.set(k, chain);
  }
  return versions;
}
