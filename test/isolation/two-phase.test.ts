/** PREPARE TRANSACTION and its ends, beside PostgreSQL; over a restart, locks included. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { connect, run } from '../harness/compare.js';
import { startTestServer } from '../harness/server.js';
import { bothServers, testSpecs } from './compare-servers.js';
import type { Spec } from './player.js';

const SETUP = ['DROP TABLE IF EXISTS two', 'CREATE TABLE two (id int PRIMARY KEY, v int)', 'INSERT INTO two VALUES (1, 10), (2, 20)'];
const SEE = 'SELECT * FROM two ORDER BY id';

export const TWO_PHASE_SPECS: readonly Spec[] = [
  {
    name: 'a prepared transaction is invisible, holds its rows, and commits from another session', setup: SETUP,
    sessions: {
      a: { setup: ['BEGIN'], steps: { w: 'UPDATE two SET v = 11 WHERE id = 1', p: "PREPARE TRANSACTION 'g1'", s: SEE, x: 'SELECT gid, owner, database FROM pg_prepared_xacts' } },
      b: { steps: { bs: SEE, bw: 'UPDATE two SET v = v + 1 WHERE id = 1', bs2: SEE } },
      c: { steps: { c: "COMMIT PREPARED 'g1'", r: "ROLLBACK PREPARED 'g1'" } },
    },
    permutations: ['w p s x bs bw c bs2', 'w p s bw r bs2 x', 'w p c c r x bs'],
  },
  {
    name: 'unique keys and ON CONFLICT wait for a prepared rival', setup: SETUP,
    sessions: {
      a: { setup: ['BEGIN'], steps: { w: 'INSERT INTO two VALUES (3, 30)', p: "PREPARE TRANSACTION 'g2'" } },
      b: { steps: { bi: 'INSERT INTO two VALUES (3, 31)', bo: 'INSERT INTO two VALUES (3, 32) ON CONFLICT (id) DO UPDATE SET v = 33', bs: SEE } },
      c: { steps: { c: "COMMIT PREPARED 'g2'", r: "ROLLBACK PREPARED 'g2'" } },
    },
    permutations: ['w p bi c bs', 'w p bi r bs', 'w p bo c bs', 'w p bo r bs'],
  },
  {
    name: 'what is refused', setup: SETUP,
    sessions: {
      a: { steps: { out: "PREPARE TRANSACTION 'none'", b1: 'BEGIN', l: 'LISTEN x', pl: "PREPARE TRANSACTION 'listen'", b2: 'BEGIN', t: 'CREATE TEMP TABLE tmp2 (i int)', pt: "PREPARE TRANSACTION 'temp'", b3: 'BEGIN', e: 'SELECT 1/0', pe: "PREPARE TRANSACTION 'failed'", b4: 'BEGIN', w: 'UPDATE two SET v = 0', p: "PREPARE TRANSACTION 'same'", b5: 'BEGIN', w5: 'INSERT INTO two VALUES (7, 7)', p5: "PREPARE TRANSACTION 'same'", b6: 'BEGIN', c6: "COMMIT PREPARED 'same'", r6: 'ROLLBACK', u: "COMMIT PREPARED 'unknown'", ru: "ROLLBACK PREPARED 'unknown'", long: `BEGIN`, plong: `PREPARE TRANSACTION '${'x'.repeat(200)}'`, end: "ROLLBACK PREPARED 'same'", s: SEE } },
    },
    permutations: ['out b1 l pl b3 e pe b4 w p b5 w5 p5 b6 c6 r6 u ru long plong end s'],
  },
  {
    name: 'changes of the catalog', setup: [...SETUP, 'DROP TABLE IF EXISTS made', 'DROP TABLE IF EXISTS gone', 'CREATE TABLE gone (id int)', 'DROP TYPE IF EXISTS mood'],
    sessions: {
      a: {
        setup: ['BEGIN'],
        steps: {
          w: 'CREATE TABLE made (id int PRIMARY KEY, v text DEFAULT \'x\')', i: 'INSERT INTO made VALUES (1), (2)', al: 'ALTER TABLE two ADD COLUMN w int DEFAULT 5', d: 'DROP TABLE gone',
          ty: "CREATE TYPE mood AS ENUM ('sad', 'glad')", p: "PREPARE TRANSACTION 'ddl'", as: 'SELECT * FROM made ORDER BY id',
        },
      },
      b: { steps: { bs: 'SELECT * FROM made ORDER BY id', bt: SEE, bg: 'SELECT * FROM gone', bi: 'INSERT INTO made VALUES (3)', bm: "SELECT 'glad'::mood" } },
      c: { steps: { c: "COMMIT PREPARED 'ddl'", r: "ROLLBACK PREPARED 'ddl'" } },
    },
    permutations: ['w i al d ty p as bs c bs bt bg bi bm as', 'w i al d ty p as r bs bt bg bm', 'w i p bs c bi bs', 'al p bt c bt', 'd p bg c bg'],
  },
  {
    name: 'SERIALIZABLE: a prepared pivot cannot be the one that fails', setup: SETUP,
    sessions: {
      a: { setup: ['BEGIN ISOLATION LEVEL SERIALIZABLE'], steps: { ar: 'SELECT sum(v) FROM two', aw: 'UPDATE two SET v = 12 WHERE id = 1', ap: "PREPARE TRANSACTION 'g3'" } },
      b: { setup: ['BEGIN ISOLATION LEVEL SERIALIZABLE'], steps: { br: 'SELECT sum(v) FROM two', bw: 'UPDATE two SET v = 22 WHERE id = 2', bc: 'COMMIT' } },
      c: { steps: { cp: "COMMIT PREPARED 'g3'" } },
    },
    permutations: ['ar br aw bw ap bc cp', 'ar aw ap br bw bc cp', 'ar br aw ap bw bc cp', 'ar aw ap cp br bw bc'],
  },
];

const servers = bothServers({ max_prepared_transactions: '10' });
testSpecs(TWO_PHASE_SPECS, servers);

describe('PREPARE TRANSACTION', () => {
  test('is off by default, as in PostgreSQL', async () => {
    const server = await startTestServer();
    const client = await connect(server.port);
    await client.query('BEGIN');
    expect((await run(client, "PREPARE TRANSACTION 'x'")).error).toMatchObject({ code: '55000', message: 'prepared transactions are disabled', hint: 'Set max_prepared_transactions to a nonzero value.' });
    await client.end();
    await server.stop();
  });

  test('survives kill -9 with its locks, and ends afterwards either way', { timeout: 30_000 }, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'oxbow-two-phase-'));
    const options = { directory, args: ['--set', 'max_prepared_transactions=10'] };
    try {
      let server = await startTestServer(options);
      let client = await connect(server.port);
      for (const sql of SETUP) await client.query(sql);
      for (const [gid, sql] of [['keep', 'UPDATE two SET v = 111 WHERE id = 1'], ['drop', 'INSERT INTO two VALUES (3, 3)']]) {
        await client.query('BEGIN');
        await client.query(sql!);
        await client.query(`PREPARE TRANSACTION '${gid}'`);
      }
      await server.kill();
      server = await startTestServer(options);
      client = await connect(server.port);
      expect((await run(client, 'SELECT gid FROM pg_prepared_xacts ORDER BY gid')).rows).toEqual([['drop'], ['keep']]);
      expect((await run(client, SEE)).rows).toEqual([['1', '10'], ['2', '20']]);
      await client.query("SET lock_timeout = '100ms'");
      expect((await run(client, 'UPDATE two SET v = 0 WHERE id = 1')).error?.code).toBe('55P03');
      expect((await run(client, 'INSERT INTO two VALUES (3, 4)')).error?.code).toBe('55P03');
      expect((await run(client, 'ALTER TABLE two ADD COLUMN w int')).error?.code).toBe('55P03');
      expect((await run(client, "COMMIT PREPARED 'keep'")).tag).toContain('COMMIT');
      await server.kill();
      server = await startTestServer(options);
      client = await connect(server.port);
      expect((await run(client, 'SELECT gid FROM pg_prepared_xacts')).rows).toEqual([['drop']]);
      expect((await run(client, "ROLLBACK PREPARED 'drop'")).error).toBeNull();
      expect((await run(client, 'INSERT INTO two VALUES (3, 4)')).error).toBeNull();
      expect((await run(client, SEE)).rows).toEqual([['1', '111'], ['2', '20'], ['3', '4']]);
      await client.end();
      await server.stop();
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test('changes of the catalog survive kill -9, and are there for everybody once committed', { timeout: 60_000 }, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'oxbow-two-phase-'));
    const options = { directory, args: ['--set', 'max_prepared_transactions=10'] };
    try {
      for (const end of ['COMMIT', 'ROLLBACK']) {
        let server = await startTestServer(options);
        let client = await connect(server.port);
        for (const sql of SETUP) await client.query(sql);
        for (const sql of ['BEGIN', "CREATE TYPE mood AS ENUM ('sad', 'glad')", "CREATE TABLE made (id int PRIMARY KEY, m mood DEFAULT 'glad')", 'INSERT INTO made VALUES (1)', 'CREATE INDEX ON made (m)', 'ALTER TABLE two DROP COLUMN v', "PREPARE TRANSACTION 'ddl'"])
          await client.query(sql);
        await server.kill();
        server = await startTestServer(options);
        client = await connect(server.port);
        expect((await run(client, 'SELECT * FROM made')).error?.code).toBe('42P01');
        await client.query("SET lock_timeout = '100ms'");
        expect((await run(client, SEE)).error?.code).toBe('55P03');
        const kept = await connect(server.port);
        expect((await run(client, `${end} PREPARED 'ddl'`)).error).toBeNull();
        for (const session of [client, kept]) {
          const made = await run(session, 'SELECT id, m FROM made');
          if (end === 'COMMIT') expect(made.rows).toEqual([['1', 'glad']]);
          else expect(made.error?.code).toBe('42P01');
          expect((await run(session, SEE)).rows).toEqual(end === 'COMMIT' ? [['1'], ['2']] : [['1', '10'], ['2', '20']]);
        }
        if (end === 'COMMIT') {
          expect((await run(client, "INSERT INTO made VALUES (1, 'sad')")).error?.code).toBe('23505');
          expect((await run(client, "INSERT INTO made VALUES (2, 'sad')")).error).toBeNull();
        }
        await kept.end();
        await client.end();
        await server.stop();
        server = await startTestServer(options);
        client = await connect(server.port);
        if (end === 'COMMIT') expect((await run(client, "SELECT id FROM made WHERE m = 'sad'")).rows).toEqual([['2']]);
        else expect((await run(client, 'SELECT * FROM made')).error?.code).toBe('42P01');
        await client.query('DROP TABLE IF EXISTS made, two; DROP TYPE IF EXISTS mood');
        await client.end();
        await server.stop();
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  test('SERIALIZABLE: a prepared transaction is still in conflict after a restart', { timeout: 60_000 }, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'oxbow-two-phase-'));
    const options = { directory, args: ['--set', 'max_prepared_transactions=10'] };
    // How the first reads: the whole table, a row by its key, and a range of the index.
    const READS = ['SELECT sum(v) FROM two', 'SELECT v FROM two WHERE id = 2', 'SELECT v FROM two WHERE id BETWEEN 2 AND 5 ORDER BY id'];
    try {
      for (const read of READS) {
        let server = await startTestServer(options);
        let client = await connect(server.port);
        for (const sql of [...SETUP, 'CREATE TABLE IF NOT EXISTS apart (id int PRIMARY KEY, v int)', 'SET enable_seqscan = off']) await client.query(sql);
        for (const sql of ['BEGIN ISOLATION LEVEL SERIALIZABLE', read, 'UPDATE two SET v = v + 100 WHERE id = 1', "PREPARE TRANSACTION 'skew'"]) await client.query(sql);
        await server.kill();
        server = await startTestServer(options);
        client = await connect(server.port);
        const rival = ['BEGIN ISOLATION LEVEL SERIALIZABLE', 'SELECT v FROM two WHERE id = 1', 'UPDATE two SET v = v + 100 WHERE id = 2', 'COMMIT'];
        const errors = [];
        for (const sql of rival) errors.push((await run(client, sql)).error?.code);
        expect(errors, read).toContain('40001');
        await client.query('ROLLBACK');
        // Who has nothing to do with it is not disturbed.
        for (const sql of ['BEGIN ISOLATION LEVEL SERIALIZABLE', 'SELECT * FROM apart', `INSERT INTO apart VALUES (${READS.indexOf(read)}, 1)`, 'COMMIT']) expect((await run(client, sql)).error).toBeNull();
        expect((await run(client, "COMMIT PREPARED 'skew'")).error).toBeNull();
        expect((await run(client, SEE)).rows).toEqual([['1', '110'], ['2', '20']]);
        // Afterwards it is an ordinary commit of the past.
        for (const sql of rival) expect((await run(client, sql)).error).toBeNull();
        await client.end();
        await server.stop();
      }
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
