/**
 * TPC-B over pgbench's tables with an acknowledgement log kept by the client: each transaction leaves a mark in
 * pgbench_history.filler, and the mark is noted when its COMMIT was answered. After a crash every noted mark must be there.
 */
import pg from 'pg';
import { expect } from 'vitest';
import { runCommand } from './command.js';
import type { TestServer } from './server.js';

export function pgbench(port: number, args: readonly string[]): ReturnType<typeof runCommand> {
  return runCommand('pgbench', ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', ...args, 'postgres'], { timeoutMs: 240_000 });
}

/** The first column of every row. */
export async function firstColumn(port: number, sql: string): Promise<string[]> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  await client.connect();
  try {
    return (await client.query<unknown[]>({ text: sql, rowMode: 'array' })).rows.map((row) => String(row[0]));
  } finally {
    await client.end();
  }
}

export async function scalar(port: number, sql: string): Promise<string> {
  return (await firstColumn(port, sql))[0]!;
}

/** Accounts, tellers, branches and history agree. */
export async function expectSumsAgree(port: number): Promise<void> {
  const accounts = await scalar(port, 'SELECT coalesce(sum(abalance), 0) FROM pgbench_accounts');
  expect(await scalar(port, 'SELECT coalesce(sum(tbalance), 0) FROM pgbench_tellers')).toBe(accounts);
  expect(await scalar(port, 'SELECT coalesce(sum(bbalance), 0) FROM pgbench_branches')).toBe(accounts);
  expect(await scalar(port, 'SELECT coalesce(sum(delta), 0) FROM pgbench_history')).toBe(accounts);
}

/** What the server logged about its recovery. */
export function describeReplay(server: TestServer): string {
  const match = /"replayedBytes":(\d+),"replayMs":(\d+)/.exec(server.log());
  return match ? `${(Number(match[1]) / 2 ** 20).toFixed(4)} MB of log replayed in ${match[2]} ms` : 'replay not logged';
}

/** What the clients were promised. After `close()` nothing more is noted: a dying machine's promises do not count. */
export class Acknowledgements {
  readonly marks: string[] = [];
  private open = true;

  note(mark: string): void {
    if (this.open) this.marks.push(mark);
  }

  close(): void {
    this.open = false;
  }

  reopen(): void {
    this.open = true;
  }

  /** Every mark noted so far is in pgbench_history, once. */
  async expectPresent(port: number): Promise<void> {
    const found = (await firstColumn(port, 'SELECT filler FROM pgbench_history')).map((text) => text.trim());
    const present = new Set(found);
    expect(this.marks.filter((mark) => !present.has(mark))).toEqual([]);
    expect(found.length).toBe(present.size);
  }
}

/** `count` clients that run TPC-B until the connection breaks; resolves when all have ended. */
export async function runWriters(port: number, count: number, round: number, scale: number, acknowledged: Acknowledgements): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, i) => writer(port, `${round}-${i}`, scale, acknowledged)));
}

async function writer(port: number, name: string, scale: number, acknowledged: Acknowledgements): Promise<void> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  client.on('error', () => undefined);
  const upTo = (limit: number): number => 1 + Math.floor(Math.random() * limit);
  try {
    await client.connect();
    for (let n = 0; ; n++) {
      const mark = `${name}-${n}`.slice(0, 22);
      const delta = upTo(10_000) - 5000;
      const [account, teller, branch] = [upTo(100_000 * scale), upTo(10 * scale), upTo(scale)];
      await client.query('BEGIN');
      await client.query('UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2', [delta, account]);
      await client.query('UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2', [delta, teller]);
      await client.query('UPDATE pgbench_branches SET bbalance = bbalance + $1 WHERE bid = $2', [delta, branch]);
      await client.query('INSERT INTO pgbench_history (tid, bid, aid, delta, mtime, filler) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP, $5)', [teller, branch, account, delta, mark]);
      await client.query('COMMIT');
      acknowledged.note(mark);
    }
  } catch {
    // the server was killed
  } finally {
    await client.end().catch(() => undefined);
  }
}
