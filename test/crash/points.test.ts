/**
 * The server killed, and its disk failing, at every named point of a commit's way (fault-points.ts), under
 * a load of transfers, DDL, index builds, large values, transactions beyond memory, VACUUM and
 * CHECKPOINT. Clients keep what was acknowledged; after each restart all of it must be there, nothing half,
 * and indexes must agree with their tables.
 *
 * CI plays a random selection; OXBOW_POINT_ROUNDS (5) makes it longer, OXBOW_SEED chooses another, OXBOW_POINT
 * ("EIO at log synced") plays one only.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../harness/server.js';
import { FAULT_POINTS, FILE_POINTS, type FaultCommand, type FaultPoint } from './fault-points.js';

const ROUNDS = Number(process.env.OXBOW_POINT_ROUNDS ?? 5);
const SEED = Number(process.env.OXBOW_SEED ?? Math.floor(Math.random() * 1e6));
const ACCOUNTS = 20;
const directory = mkdtempSync(join(tmpdir(), 'oxbow-points-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let state = SEED + 1;
const random = (): number => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};
const below = (n: number): number => Math.floor(random() * n);

/** COPY FROM STDIN through pg, which knows its messages but has no call for them. */
function copy(client: pg.Client, text: string, data: string): Promise<void> {
  interface Wire { query(text: string): void; sendCopyFromChunk(chunk: Buffer): void; endCopyFrom(): void }
  return new Promise((resolve, reject) => {
    const none = (): void => undefined;
    const statement = {
      submit: (wire: Wire) => wire.query(text),
      handleCopyInResponse(wire: Wire) {
        wire.sendCopyFromChunk(Buffer.from(data));
        wire.endCopyFrom();
      },
      handleCommandComplete: none, handleRowDescription: none, handleDataRow: none, handleEmptyQuery: none, handlePortalSuspended: none,
      handleError: reject,
      handleReadyForQuery: () => resolve(),
    };
    client.query(statement as unknown as pg.Submittable);
  });
}

async function connect(port: number): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

const acknowledged = new Set<number>();
/** Rows of one load: enough to go past the write set. */
const LOAD_ROWS = 3000;
const loads = new Set<number>();
let nextMark = 1;

/** Clients that work until the server is gone or `stop` is called. */
function startLoad(port: number): () => Promise<void> {
  let running = true;
  const loop = async (work: (client: pg.Client, turn: number) => Promise<void>): Promise<void> => {
    let client: pg.Client | undefined;
    for (let turn = 0; running; turn++) {
      try {
        client ??= await connect(port);
        await work(client, turn);
      } catch (error) {
        if (!('code' in (error as object)) || String((error as { code?: string }).code).startsWith('E')) return;
        await client?.query('ROLLBACK').catch(() => undefined);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    await client?.end().catch(() => undefined);
  };
  const transfer = async (client: pg.Client): Promise<void> => {
    const [from, to, amount, mark] = [1 + below(ACCOUNTS), 1 + below(ACCOUNTS), below(100), nextMark++];
    const [first, second] = from < to ? [from, to] : [to, from];
    await client.query('BEGIN');
    await client.query('UPDATE account SET n = n + $2 WHERE id = $1', [first, first === from ? -amount : amount]);
    if (first !== second) await client.query('UPDATE account SET n = n + $2 WHERE id = $1', [second, second === from ? -amount : amount]);
    else await client.query('UPDATE account SET n = n + $2 WHERE id = $1', [first, amount]);
    await client.query('INSERT INTO mark VALUES ($1, $2)', [mark, String(mark)]);
    await client.query('COMMIT');
    acknowledged.add(mark);
  };
  const ddl = async (client: pg.Client, turn: number): Promise<void> => {
    await client.query(`CREATE TABLE IF NOT EXISTS made${turn % 5} (id int PRIMARY KEY, v int)`);
    await client.query(`INSERT INTO made${turn % 5} SELECT g, g % 7 FROM generate_series(1, 500) g ON CONFLICT DO NOTHING`);
    await client.query(`CREATE INDEX IF NOT EXISTS made${turn % 5}_v ON made${turn % 5} (v)`);
    if (turn % 3 === 2) await client.query(`DROP TABLE made${(turn + 1) % 5}`);
  };
  const large = async (client: pg.Client, turn: number): Promise<void> => {
    await client.query("INSERT INTO large VALUES ($1, repeat('0123456789', 200000)) ON CONFLICT (id) DO UPDATE SET t = excluded.t", [turn % 4]);
    if (turn % 5 === 4) {
      await client.query('BEGIN');
      await client.query("UPDATE wide SET v = v + 1");
      await client.query(turn % 2 ? 'COMMIT' : 'ROLLBACK');
    }
  };
  /** COPY into a table with indexes, and into one made in the same transaction together with an index. */
  const load = async (client: pg.Client, turn: number): Promise<void> => {
    const batch = nextMark++;
    const lines = Array.from({ length: LOAD_ROWS }, (_, n) => `${batch}\t${n}\tsome text of row ${n}\n`).join('');
    await client.query('BEGIN');
    await copy(client, 'COPY loaded FROM STDIN', lines);
    if (turn % 2 === 1) {
      await client.query('DROP TABLE IF EXISTS fresh');
      await client.query('CREATE TABLE fresh (batch int, n int, t text)');
      await copy(client, 'COPY fresh FROM STDIN', lines);
      await client.query('CREATE UNIQUE INDEX fresh_n ON fresh (n)');
    }
    await client.query(turn % 3 === 2 ? 'ROLLBACK' : 'COMMIT');
    if (turn % 3 !== 2) loads.add(batch);
  };
  const keeper = async (client: pg.Client, turn: number): Promise<void> => {
    await client.query(turn % 2 ? 'CHECKPOINT' : 'VACUUM');
    await new Promise((resolve) => setTimeout(resolve, 30));
  };
  const loops = [transfer, transfer, transfer, ddl, large, load, keeper].map(loop);
  return async () => {
    running = false;
    await Promise.all(loops);
  };
}

/** Enough log for the next segments. */
async function fillSegments(port: number): Promise<void> {
  try {
    const client = await connect(port);
    for (let i = 0; i < 12; i++) await client.query("INSERT INTO large VALUES ($1, repeat('0123456789', 400000)) ON CONFLICT (id) DO UPDATE SET t = excluded.t", [100 + (i % 3)]);
    await client.end();
  } catch {
    // that is what it is for
  }
}

/** False when the server cannot be reached, or goes while it answers. */
async function stillServes(port: number): Promise<boolean> {
  try {
    const client = await connect(port);
    await client.query('UPDATE account SET n = n WHERE id = 1');
    await client.end();
    return true;
  } catch (error) {
    const code = String((error as { code?: string }).code);
    // an SQLSTATE of a failing log is the server's end, too
    if (code === 'undefined' || code.startsWith('E') || code === '58030' || code === '53100') return false;
    throw error;
  }
}

async function verify(port: number): Promise<void> {
  const client = await connect(port);
  const rows = async (sql: string): Promise<unknown[][]> => (await client.query<unknown[]>({ text: sql, rowMode: 'array' })).rows;
  expect(await rows('SELECT count(*)::int, sum(n)::int FROM account')).toEqual([[ACCOUNTS, 0]]);
  const there = new Set((await rows('SELECT id FROM mark')).map(([id]) => id as number));
  expect([...acknowledged].filter((mark) => !there.has(mark))).toEqual([]);
  expect(await rows('SELECT count(*)::int FROM large WHERE id < 100 AND length(t) <> 2000000')).toEqual([[0]]);
  expect(await rows('SELECT count(DISTINCT v)::int FROM wide')).toEqual([[1]]);
  expect(await rows(`SELECT batch, count(*)::int FROM loaded GROUP BY batch HAVING count(*) <> ${LOAD_ROWS} OR sum(n) <> ${(LOAD_ROWS * (LOAD_ROWS - 1)) / 2}`)).toEqual([]);
  const loaded = new Set((await rows('SELECT DISTINCT batch FROM loaded')).map(([batch]) => batch as number));
  expect([...loads].filter((batch) => !loaded.has(batch))).toEqual([]);
  const fresh = (await rows("SELECT relname FROM pg_class WHERE relname = 'fresh'")).length > 0;
  if (fresh) expect(await rows('SELECT count(*)::int, count(DISTINCT n)::int, count(DISTINCT batch)::int FROM fresh')).toEqual([[LOAD_ROWS, LOAD_ROWS, 1]]);
  const tables = (await rows("SELECT relname FROM pg_class WHERE relname LIKE 'made_'")).map(([name]) => name as string);
  for (const [table, column] of [['mark', 'id'], ['account', 'n'], ['wide', 'v'], ['loaded', 'batch'], ...(fresh ? [['fresh', 'n']] : []), ...tables.flatMap((name) => [[name, 'id'], [name, 'v']])]) {
    const sums = `SELECT count(*)::int, coalesce(sum(${column}), 0)::int FROM ${table}`;
    await client.query('SET enable_seqscan = off');
    const byIndex = await rows(`${sums} WHERE ${column} > -2000000000`);
    await client.query('SET enable_seqscan = on');
    expect({ table, column, sums: byIndex }).toEqual({ table, column, sums: await rows(sums) });
  }
  await client.end();
}

test(`killed or failing at named points (seed ${SEED})`, async () => {
  const start = (): Promise<TestServer> => startTestServer({ directory, faulty: true });
  let server = await start();
  const client = await connect(server.port);
  await client.query('CREATE TABLE account (id int PRIMARY KEY, n int); CREATE INDEX account_n ON account (n)');
  await client.query('CREATE TABLE mark (id int PRIMARY KEY, t text); CREATE TABLE large (id int PRIMARY KEY, t text); CREATE TABLE wide (id int PRIMARY KEY, v int)');
  await client.query('CREATE TABLE loaded (batch int, n int, t text); CREATE INDEX loaded_batch ON loaded (batch)');
  await client.query(`INSERT INTO account SELECT g, 0 FROM generate_series(1, ${ACCOUNTS}) g; INSERT INTO wide SELECT g, 0 FROM generate_series(1, 25000) g; CREATE INDEX wide_v ON wide (v)`);
  await client.end();
  const plans: { at: FaultPoint; action: 'kill' | 'EIO' | 'ENOSPC' }[] = [
    ...FAULT_POINTS.map((at) => ({ at, action: 'kill' as const })),
    ...FILE_POINTS.flatMap((at) => [{ at, action: 'EIO' as const }, { at, action: 'ENOSPC' as const }]),
  ];
  const only = process.env.OXBOW_POINT;
  if (only !== undefined) plans.splice(0, plans.length, ...plans.filter(({ at, action }) => only === `${action} at ${at}`));
  const outcomes: string[] = [];
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const plan = ROUNDS >= plans.length ? plans[round % plans.length]! : plans[below(plans.length)]!;
      const rare = !['log write', 'log written', 'log sync', 'log synced', 'applied'].includes(plan.at);
      const exited = new Promise<string>((resolve) => server.process.once('exit', (code, signal) => resolve(signal ?? `code ${code}`)));
      const before = acknowledged.size;
      const stop = startLoad(server.port);
      await new Promise((resolve) => setTimeout(resolve, 50 + below(300)));
      await server.command({ ...plan, count: rare ? 1 : 1 + below(60) } satisfies FaultCommand);
      if (plan.at.startsWith('segment')) void fillSegments(server.port);
      let outcome = await Promise.race([exited, new Promise<string>((resolve) => setTimeout(() => resolve('lived'), 2000))]);
      // A server that says it ends must end: once, its exit waited for the applier, and that for the lock it held itself.
      const stuck = await Promise.race([stop().then(() => false), new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 30_000))]);
      // On a busy machine the point may be reached only while the load comes to its end.
      if (outcome === 'lived') outcome = await Promise.race([exited, new Promise<string>((resolve) => setTimeout(() => resolve('lived'), 50))]);
      expect({ ...plan, outcome, stuck }).toEqual({ ...plan, outcome, stuck: false });
      if (outcome === 'lived') {
        // Not reached, or something that the server survives: it must still serve, unless the point was reached just now.
        await server.command({ at: null });
        const served = await stillServes(server.port);
        if (!served) outcome = await Promise.race([exited, new Promise<string>((resolve) => setTimeout(() => resolve('neither serves nor ends'), 30_000))]);
      }
      if (outcome === 'lived') await server.kill();
      else {
        const expected = plan.action === 'kill' ? 'SIGKILL' : 'code 70';
        expect({ ...plan, outcome, log: outcome === expected ? '' : server.log().slice(-4000) }).toEqual({ ...plan, outcome: expected, log: '' });
        if (plan.action !== 'kill') expect(server.log()).toContain('the engine cannot go on');
      }
      outcome += `, ${acknowledged.size - before} acknowledged`;
      if (process.env.OXBOW_POINT_ROUNDS) console.log(`${plan.action} at ${plan.at}: ${outcome}`);
      outcomes.push(`${plan.action} at ${plan.at}: ${outcome}`);
      server = await start();
      await verify(server.port);
    }
  } finally {
    await server.kill();
    console.log(`seed ${SEED}\n  ${outcomes.join('\n  ')}`);
  }
}, 60_000 + ROUNDS * 45_000);
