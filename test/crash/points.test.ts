/**
 * The server killed, and its disk failing, at every named point of a commit's way (fault-points.ts), under
 * a load of transfers, DDL, index builds, large values, transactions beyond memory, VACUUM and
 * CHECKPOINT. Clients keep what was acknowledged; after each restart all of it must be there, nothing half,
 * and indexes must agree with their tables: `oxbow verify` looks at the directory before each restart. Some points are
 * armed while a certain statement runs (DDL, index builds, rewrites, transactions written ahead).
 *
 * CI plays a random selection; OXBOW_POINT_ROUNDS (5) makes it longer, OXBOW_SEED chooses another, OXBOW_POINT
 * ("EIO at log synced") plays one only.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { runOxbow } from '../backup/oxbow.js';
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

async function connect(port: number): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

const acknowledged = new Set<number>();
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
  const keeper = async (client: pg.Client, turn: number): Promise<void> => {
    await client.query(turn % 2 ? 'CHECKPOINT' : 'VACUUM');
    await new Promise((resolve) => setTimeout(resolve, 30));
  };
  const loops = [transfer, transfer, transfer, ddl, large, keeper].map(loop);
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

/** Statements that a point can be armed in: what is run before, and the one that is under fire. */
const STATEMENTS: Readonly<Record<string, readonly [string, string]>> = {
  'CREATE INDEX': ['DROP INDEX IF EXISTS wide_two', 'CREATE INDEX wide_two ON wide (v, id)'],
  'DROP INDEX': ['CREATE INDEX IF NOT EXISTS wide_two ON wide (v, id)', 'DROP INDEX wide_two'],
  'ALTER TABLE': ['SELECT 1', 'ALTER TABLE wide ALTER COLUMN v TYPE bigint; ALTER TABLE wide ALTER COLUMN v TYPE int'],
  'CREATE TABLE AS': ['DROP TABLE IF EXISTS made9', 'CREATE TABLE made9 AS SELECT * FROM wide'],
  'TRUNCATE': ['SELECT 1', 'TRUNCATE staged'],
  'INSERT of 30 MB': ['TRUNCATE staged', "INSERT INTO staged SELECT g, repeat('x', 1000) FROM generate_series(1, 30000) g"],
  'ROLLBACK of 30 MB': ['TRUNCATE staged', "BEGIN; INSERT INTO staged SELECT g, repeat('x', 1000) FROM generate_series(1, 30000) g; ROLLBACK"],
  'UPDATE of all': ['SELECT 1', 'UPDATE wide SET v = v + 1'],
  'VACUUM': ['UPDATE wide SET v = v + 1', 'VACUUM'],
  'CHECKPOINT': ['UPDATE wide SET v = v + 1', 'CHECKPOINT'],
};

/** Runs the statement again and again until the server is gone or two seconds are over; `started` is called when it first runs. */
async function fireAt(port: number, [before, statement]: readonly [string, string], started: () => Promise<void>): Promise<void> {
  try {
    const client = await connect(port);
    for (let turn = 0, until = Date.now() + 2000; Date.now() < until; turn++) {
      await client.query(before).catch((error: { code?: string }) => (/^[0-9A-Z]{5}$/.test(error.code ?? '') ? undefined : Promise.reject(error as Error)));
      const running = client.query(statement).catch((error: { code?: string }) => (/^[0-9A-Z]{5}$/.test(error.code ?? '') ? undefined : Promise.reject(error as Error)));
      if (turn === 0) await started();
      await running;
      await client.query('ROLLBACK');
    }
    await client.end();
  } catch {
    // that is what it is for
  }
}

async function verify(port: number): Promise<void> {
  const client = await connect(port);
  const rows = async (sql: string): Promise<unknown[][]> => (await client.query<unknown[]>({ text: sql, rowMode: 'array' })).rows;
  expect(await rows('SELECT count(*)::int, sum(n)::int FROM account')).toEqual([[ACCOUNTS, 0]]);
  const there = new Set((await rows('SELECT id FROM mark')).map(([id]) => id as number));
  expect([...acknowledged].filter((mark) => !there.has(mark))).toEqual([]);
  expect(await rows('SELECT count(*)::int FROM large WHERE id < 100 AND length(t) <> 2000000')).toEqual([[0]]);
  expect(await rows('SELECT count(DISTINCT v)::int, count(*)::int FROM wide')).toEqual([[1, 25000]]);
  expect((await rows('SELECT count(*)::int % 30000 FROM staged'))[0]).toEqual([0]);
  const tables = (await rows("SELECT relname FROM pg_class WHERE relname LIKE 'made_'")).map(([name]) => name as string);
  for (const [table, column] of [['mark', 'id'], ['account', 'n'], ['wide', 'v'], ...tables.flatMap((name) => [[name, 'id'], [name, 'v']])]) {
    const sums = `SELECT count(*)::int, coalesce(sum(${column}), 0)::int FROM ${table}`;
    await client.query('SET enable_seqscan = off');
    const byIndex = await rows(`${sums} WHERE ${column} > -2000000000`);
    await client.query('SET enable_seqscan = on');
    expect({ table, column, sums: byIndex }).toEqual({ table, column, sums: await rows(sums) });
  }
  await client.end();
}

const nameOf = ({ at, action, during }: { at: string; action: string; during?: string }): string => `${action} at ${at}${during === undefined ? '' : ` in ${during}`}`;

test(`killed or failing at named points (seed ${SEED})`, async () => {
  const start = (): Promise<TestServer> => startTestServer({ directory, faulty: true });
  let server = await start();
  let client = await connect(server.port);
  await client.query('CREATE TABLE account (id int PRIMARY KEY, n int); CREATE INDEX account_n ON account (n)');
  await client.query('CREATE TABLE mark (id int PRIMARY KEY, t text); CREATE TABLE large (id int PRIMARY KEY, t text); CREATE TABLE wide (id int PRIMARY KEY, v int); CREATE TABLE staged (id int PRIMARY KEY, t text)');
  await client.query(`INSERT INTO account SELECT g, 0 FROM generate_series(1, ${ACCOUNTS}) g; INSERT INTO wide SELECT g, 0 FROM generate_series(1, 25000) g; CREATE INDEX wide_v ON wide (v)`);
  await client.end();
  const plans: { at: FaultPoint; action: 'kill' | 'EIO' | 'ENOSPC'; during?: string }[] = [
    ...FAULT_POINTS.map((at) => ({ at, action: 'kill' as const })),
    ...FILE_POINTS.flatMap((at) => [{ at, action: 'EIO' as const }, { at, action: 'ENOSPC' as const }]),
    ...Object.keys(STATEMENTS).flatMap((during) => (['log written', 'log synced', 'applied'] as const).map((at) => ({ at, action: 'kill' as const, during }))),
  ];
  const only = process.env.OXBOW_POINT;
  if (only !== undefined) plans.splice(0, plans.length, ...plans.filter((plan) => only === nameOf(plan)));
  const outcomes: string[] = [];
  try {
    for (let round = 0; round < ROUNDS; round++) {
      const plan = ROUNDS >= plans.length ? plans[round % plans.length]! : plans[below(plans.length)]!;
      const rare = !['log write', 'log written', 'log sync', 'log synced', 'applied'].includes(plan.at);
      const exited = new Promise<string>((resolve) => server.process.once('exit', (code, signal) => resolve(signal ?? `code ${code}`)));
      const before = acknowledged.size;
      const stop = startLoad(server.port);
      await new Promise((resolve) => setTimeout(resolve, 50 + below(300)));
      const arm = (): Promise<void> => server.command({ at: plan.at, action: plan.action, count: rare ? 1 : 1 + below(plan.during === undefined ? 60 : 15) } satisfies FaultCommand);
      if (plan.during === undefined) await arm();
      else void fireAt(server.port, STATEMENTS[plan.during]!, arm);
      if (plan.at.startsWith('segment')) void fillSegments(server.port);
      let outcome = await Promise.race([exited, new Promise<string>((resolve) => setTimeout(() => resolve('lived'), plan.during === undefined ? 2000 : 3000))]);
      // A server that says it ends must end: once, its exit waited for the applier, and that for the lock it held itself.
      const stuck = await Promise.race([stop().then(() => false), new Promise<boolean>((resolve) => setTimeout(() => resolve(true), 30_000))]);
      // On a busy machine the point may be reached only while the load comes to its end.
      if (outcome === 'lived') outcome = await Promise.race([exited, new Promise<string>((resolve) => setTimeout(() => resolve('lived'), 50))]);
      expect({ ...plan, outcome, stuck }).toEqual({ ...plan, outcome, stuck: false });
      if (outcome === 'lived') {
        // Not reached, or something that the server survives: it must still serve.
        await server.command({ at: null });
        client = await connect(server.port);
        await client.query("UPDATE account SET n = n WHERE id = 1");
        await client.end();
        await server.kill();
      } else {
        expect(outcome).toBe(plan.action === 'kill' ? 'SIGKILL' : 'code 70');
        if (plan.action !== 'kill') expect(server.log()).toContain('the engine cannot go on');
      }
      const { code, stdout } = await runOxbow(['verify', '--data', directory]);
      expect({ ...plan, code, stdout: code === 0 ? '' : stdout }).toEqual({ ...plan, code: 0, stdout: '' });
      outcome += `, ${acknowledged.size - before} acknowledged`;
      if (process.env.OXBOW_POINT_ROUNDS) console.log(`${round + 1} of ${ROUNDS}: ${nameOf(plan)}: ${outcome}`);
      outcomes.push(`${nameOf(plan)}: ${outcome}`);
      server = await start();
      await verify(server.port);
    }
  } finally {
    await server.kill();
    console.log(`seed ${SEED}\n  ${outcomes.join('\n  ')}`);
  }
}, 60_000 + ROUNDS * 45_000);
