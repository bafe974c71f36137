/** SERIALIZABLE: classic anomalies under snapshots, every interleaving unless listed. */
import type { Spec } from './player.js';

/** PostgreSQL takes small tables that were never analyzed for larger than Oxbow does: both shall read through the keys. */
const KEYS = 'SET enable_seqscan = off';
const BEGIN = 'BEGIN ISOLATION LEVEL SERIALIZABLE';
const READ_ONLY = 'BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY';

export const SERIALIZABLE_SPECS: readonly Spec[] = [
  {
    name: 'write skew on one table by sequential scans',
    setup: ['DROP TABLE IF EXISTS colours', 'CREATE TABLE colours (id int PRIMARY KEY, c text)', "INSERT INTO colours SELECT g, CASE WHEN g % 2 = 0 THEN 'black' ELSE 'white' END FROM generate_series(1, 10) g"],
    sessions: {
      a: { setup: [BEGIN], steps: { aw: "UPDATE colours SET c = 'black' WHERE c = 'white'", ac: 'COMMIT' } },
      b: { setup: [BEGIN], steps: { bw: "UPDATE colours SET c = 'white' WHERE c = 'black'", bc: 'COMMIT' } },
    },
  },
  {
    name: 'write skew by reads of rows through a key (G2-item)',
    setup: ['DROP TABLE IF EXISTS ducks', 'CREATE TABLE ducks (id int PRIMARY KEY, v int)', 'INSERT INTO ducks SELECT g, 10 FROM generate_series(1, 1000) g', 'ANALYZE ducks'],
    sessions: {
      a: { setup: [BEGIN, 'SET LOCAL enable_seqscan = off'], steps: { ar: 'SELECT v FROM ducks WHERE id = 100', aw: 'UPDATE ducks SET v = 11 WHERE id = 900', ac: 'COMMIT' } },
      b: { setup: [BEGIN, 'SET LOCAL enable_seqscan = off'], steps: { br: 'SELECT v FROM ducks WHERE id = 900', bw: 'UPDATE ducks SET v = 12 WHERE id = 100', bc: 'COMMIT' } },
    },
  },
  {
    name: 'disjoint rows through a key do not conflict',
    setup: ['DROP TABLE IF EXISTS apart', 'CREATE TABLE apart (id int PRIMARY KEY, v int)', 'INSERT INTO apart SELECT g, 10 FROM generate_series(1, 5000) g', 'ANALYZE apart'],
    sessions: {
      a: { setup: [BEGIN, 'SET LOCAL enable_seqscan = off'], steps: { ar: 'SELECT v FROM apart WHERE id = 100', aw: 'UPDATE apart SET v = 11 WHERE id = 100', ac: 'COMMIT' } },
      b: { setup: [BEGIN, 'SET LOCAL enable_seqscan = off'], steps: { br: 'SELECT v FROM apart WHERE id = 4900', bw: 'UPDATE apart SET v = 12 WHERE id = 4900', bc: 'COMMIT' } },
    },
  },
  {
    name: 'phantoms through an index range (G2)',
    setup: ['DROP TABLE IF EXISTS meeting', 'CREATE TABLE meeting (id serial PRIMARY KEY, room int, at int)', 'CREATE INDEX ON meeting (at)', 'INSERT INTO meeting (room, at) SELECT 1, g * 10 FROM generate_series(1, 2000) g', 'ANALYZE meeting'],
    sessions: {
      a: { setup: [BEGIN, 'SET LOCAL enable_seqscan = off', 'SET LOCAL enable_bitmapscan = off'], steps: { ar: 'SELECT count(*) FROM meeting WHERE at > 5001 AND at < 5009', aw: 'INSERT INTO meeting (room, at) VALUES (1, 5005)', ac: 'COMMIT' } },
      b: { setup: [BEGIN, 'SET LOCAL enable_seqscan = off', 'SET LOCAL enable_bitmapscan = off'], steps: { br: 'SELECT count(*) FROM meeting WHERE at > 5002 AND at < 5008', bw: 'INSERT INTO meeting (room, at) VALUES (1, 5006)', bc: 'COMMIT' } },
    },
  },
  {
    name: 'classroom scheduling: an overlap of ranges',
    setup: ['DROP TABLE IF EXISTS reservation', 'CREATE TABLE reservation (room text, start_time timestamp, end_time timestamp, description text, PRIMARY KEY (room, start_time))', "INSERT INTO reservation VALUES ('101', '2010-04-01 10:00', '2010-04-01 11:00', 'Bob')"],
    sessions: {
      a: { setup: [BEGIN], steps: { ar: "SELECT count(*) FROM reservation WHERE room = '101' AND start_time < '2010-04-01 14:00' AND end_time > '2010-04-01 13:00'", aw: "INSERT INTO reservation VALUES ('101', '2010-04-01 13:00', '2010-04-01 14:00', 'Carol')", ac: 'COMMIT' } },
      b: { setup: [BEGIN], steps: { br: "SELECT count(*) FROM reservation WHERE room = '101' AND start_time < '2010-04-01 14:30' AND end_time > '2010-04-01 13:30'", bw: "UPDATE reservation SET start_time = '2010-04-01 13:30', end_time = '2010-04-01 14:30' WHERE room = '101' AND start_time = '2010-04-01 10:00'", bc: 'COMMIT' } },
    },
  },
  {
    name: 'total cash: each takes what the sum of both allows',
    setup: ['DROP TABLE IF EXISTS cash', 'CREATE TABLE cash (id int PRIMARY KEY, b numeric)', 'INSERT INTO cash VALUES (1, 200), (2, 200)'],
    sessions: {
      a: { setup: [KEYS, BEGIN], steps: { aw: 'UPDATE cash SET b = b - 200 WHERE id = 1', ar: 'SELECT sum(b) FROM cash', ac: 'COMMIT' } },
      b: { setup: [KEYS, BEGIN], steps: { bw: 'UPDATE cash SET b = b - 200 WHERE id = 2', br: 'SELECT sum(b) FROM cash', bc: 'COMMIT' } },
    },
  },
  {
    name: 'receipt and report: a read-only third sees what no order explains',
    setup: ['DROP TABLE IF EXISTS ctl, receipt', 'CREATE TABLE ctl (k text PRIMARY KEY, d date)', "INSERT INTO ctl VALUES ('d', '2008-12-22')", 'CREATE TABLE receipt (no int PRIMARY KEY, d date, amount numeric)', "INSERT INTO receipt VALUES (1, (SELECT d FROM ctl), 1), (2, (SELECT d FROM ctl), 2)"],
    sessions: {
      a: { setup: [KEYS, BEGIN], steps: { aw: "INSERT INTO receipt VALUES (3, (SELECT d FROM ctl WHERE k = 'd'), 4)", ac: 'COMMIT' } },
      b: { setup: [KEYS, BEGIN], steps: { bw: "UPDATE ctl SET d = '2008-12-23' WHERE k = 'd'", bc: 'COMMIT' } },
      c: { setup: [KEYS, READ_ONLY], steps: { cr1: "SELECT d FROM ctl WHERE k = 'd'", cr2: "SELECT count(*) FROM receipt WHERE d = '2008-12-22'", cc: 'COMMIT' } },
    },
  },
  {
    name: 'read-only anomaly (Fekete): writer, batch, reader',
    setup: ['DROP TABLE IF EXISTS bank', 'CREATE TABLE bank (id text PRIMARY KEY, b int)', "INSERT INTO bank VALUES ('X', 0), ('Y', 0)"],
    sessions: {
      a: { setup: [KEYS, BEGIN], steps: { ary: "SELECT b FROM bank WHERE id = 'Y'", awy: "UPDATE bank SET b = 20 WHERE id = 'Y'", ac: 'COMMIT' } },
      b: { setup: [KEYS, BEGIN], steps: { brx: "SELECT b FROM bank WHERE id = 'X'", bry: "SELECT b FROM bank WHERE id = 'Y'", bwx: "UPDATE bank SET b = -11 WHERE id = 'X'", bc: 'COMMIT' } },
      c: { setup: [KEYS, READ_ONLY], steps: { cr: 'SELECT id, b FROM bank ORDER BY id', cc: 'COMMIT' } },
    },
    permutations: ['brx bry ary awy ac cr bwx bc cc', 'brx bry ary awy ac cr cc bwx bc', 'brx bry ary awy ac bwx cr cc bc', 'ary awy brx bry bwx ac cr cc bc', 'cr brx bry ary awy ac bwx bc cc'],
  },
  {
    name: 'READ ONLY DEFERRABLE waits for a safe snapshot',
    setup: ['DROP TABLE IF EXISTS bank', 'CREATE TABLE bank (id text PRIMARY KEY, b int)', "INSERT INTO bank VALUES ('X', 0), ('Y', 0)"],
    sessions: {
      a: { setup: [KEYS, BEGIN], steps: { ary: "SELECT b FROM bank WHERE id = 'Y'", awy: "UPDATE bank SET b = 20 WHERE id = 'Y'", ac: 'COMMIT' } },
      b: { setup: [KEYS, BEGIN], steps: { brx: "SELECT b FROM bank WHERE id = 'X'", bry: "SELECT b FROM bank WHERE id = 'Y'", bwx: "UPDATE bank SET b = -11 WHERE id = 'X'", bc: 'COMMIT', br: 'ROLLBACK' } },
      c: { setup: [KEYS, 'BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE'], steps: { cr: 'SELECT id, b FROM bank ORDER BY id', cc: 'COMMIT' } },
    },
    permutations: ['brx bry ary awy ac cr bwx bc cc', 'cr cc brx bry bwx bc ary awy ac', 'brx bry cr bwx br cc', 'brx bry ary awy cr ac bwx bc cc'],
  },
  {
    name: 'two ids: a chain over three transactions and a unique table',
    setup: ['DROP TABLE IF EXISTS d1, d2', 'CREATE TABLE d1 (id int PRIMARY KEY)', 'CREATE TABLE d2 (id int PRIMARY KEY)', 'INSERT INTO d1 VALUES (1)', 'INSERT INTO d2 VALUES (1)'],
    sessions: {
      a: { setup: [KEYS, BEGIN], steps: { aw: 'UPDATE d1 SET id = 2 WHERE id = 1', ac: 'COMMIT' } },
      b: { setup: [KEYS, BEGIN], steps: { br: 'SELECT id FROM d1', bw: 'UPDATE d2 SET id = id + 1', bc: 'COMMIT' } },
      c: { setup: [KEYS, BEGIN], steps: { cr: 'SELECT id FROM d2', cc: 'COMMIT' } },
    },
  },
  {
    name: 'project manager: a deleted parent and a new child without a foreign key',
    setup: ['DROP TABLE IF EXISTS person, project', 'CREATE TABLE person (id int PRIMARY KEY, pm bool)', 'INSERT INTO person VALUES (1, true)', 'CREATE TABLE project (no int PRIMARY KEY, manager int)'],
    sessions: {
      a: { setup: [KEYS, BEGIN], steps: { ar: 'SELECT count(*) FROM person WHERE id = 1 AND pm', aw: 'INSERT INTO project VALUES (101, 1)', ac: 'COMMIT' } },
      b: { setup: [KEYS, BEGIN], steps: { br: 'SELECT count(*) FROM project WHERE manager = 1', bw: 'UPDATE person SET pm = false WHERE id = 1', bc: 'COMMIT' } },
    },
  },
  {
    name: 'check then insert a unique key: 40001 rather than 23505',
    setup: ['DROP TABLE IF EXISTS uniq', 'CREATE TABLE uniq (i int PRIMARY KEY)'],
    sessions: {
      a: { setup: [KEYS, BEGIN], steps: { ar: 'SELECT * FROM uniq WHERE i = 42', aw: 'INSERT INTO uniq VALUES (42)', ac: 'COMMIT' } },
      b: { setup: [KEYS, BEGIN], steps: { br: 'SELECT * FROM uniq WHERE i = 42', bw: 'INSERT INTO uniq VALUES (42)', bc: 'COMMIT' } },
    },
  },
  {
    name: 'check then insert without a check on one side',
    setup: ['DROP TABLE IF EXISTS uniq', 'CREATE TABLE uniq (i int PRIMARY KEY)'],
    sessions: {
      a: { setup: [KEYS, BEGIN], steps: { ar: 'SELECT * FROM uniq WHERE i = 42', aw: 'INSERT INTO uniq VALUES (42)', ac: 'COMMIT' } },
      b: { setup: [KEYS, BEGIN], steps: { bw: 'INSERT INTO uniq VALUES (42)', bc: 'COMMIT' } },
    },
  },
  {
    name: 'ON CONFLICT DO NOTHING and a read of the key',
    setup: ['DROP TABLE IF EXISTS uniq', 'CREATE TABLE uniq (i int PRIMARY KEY, v int)'],
    sessions: {
      a: { setup: [KEYS, BEGIN], steps: { ar: 'SELECT * FROM uniq WHERE i = 42', aw: 'INSERT INTO uniq VALUES (42, 1) ON CONFLICT DO NOTHING', ac: 'COMMIT' } },
      b: { setup: [KEYS, BEGIN], steps: { br: 'SELECT * FROM uniq WHERE i = 42', bw: 'INSERT INTO uniq VALUES (42, 2) ON CONFLICT DO NOTHING', bc: 'COMMIT' } },
    },
  },
  {
    name: 'referential integrity by hand: parent deleted, child inserted',
    setup: ['DROP TABLE IF EXISTS rp, rc', 'CREATE TABLE rp (i int PRIMARY KEY)', 'CREATE TABLE rc (i int)', 'INSERT INTO rp VALUES (1)'],
    sessions: {
      a: { setup: [KEYS, BEGIN], steps: { ar: 'SELECT i FROM rp WHERE i = 1', aw: 'INSERT INTO rc VALUES (1)', ac: 'COMMIT' } },
      b: { setup: [KEYS, BEGIN], steps: { br1: 'SELECT i FROM rp WHERE i = 1', br2: 'SELECT i FROM rc WHERE i = 1', bw: 'DELETE FROM rp WHERE i = 1', bc: 'COMMIT' } },
    },
  },
  {
    name: 'three transactions on versions of one row',
    setup: ['DROP TABLE IF EXISTS tv', 'CREATE TABLE tv (id int PRIMARY KEY, txt text)', "INSERT INTO tv SELECT g, 'a' FROM generate_series(1, 2000) g", 'ANALYZE tv'],
    sessions: {
      a: { setup: [KEYS, BEGIN], steps: { rx1: 'SELECT * FROM tv WHERE id = 1000', wz: "UPDATE tv SET txt = 'a' WHERE id = 1", c1: 'COMMIT' } },
      b: { setup: [KEYS, BEGIN], steps: { wx2: "UPDATE tv SET txt = 'b' WHERE id = 1000", c2: 'COMMIT' } },
      c: { setup: [KEYS, BEGIN], steps: { wx3: "UPDATE tv SET txt = 'c' WHERE id = 1000", ry3: 'SELECT * FROM tv WHERE id = 500', c3: 'COMMIT' } },
      d: { setup: [KEYS, BEGIN], steps: { wy4: "UPDATE tv SET txt = 'd' WHERE id = 500", rz4: 'SELECT * FROM tv WHERE id = 1', c4: 'COMMIT' } },
    },
    permutations: ['rx1 wx2 c2 wx3 ry3 wy4 rz4 c4 c3 wz c1', 'rx1 wx2 c2 c1', 'wx2 rx1 c2 wz c1'],
  },
  {
    name: 'a partial index: rows that move in and out of it',
    setup: ['DROP TABLE IF EXISTS pt', 'CREATE TABLE pt (id int, val text)', 'CREATE INDEX pt_idx ON pt (val) WHERE id IS NOT NULL', "INSERT INTO pt SELECT NULL::int, 'v' FROM generate_series(1, 20)", "INSERT INTO pt VALUES (1, 'match')"],
    sessions: {
      a: { setup: [BEGIN], steps: { ar: "SELECT count(*) FROM pt WHERE val = 'match' AND id IS NOT NULL", aw: "UPDATE pt SET val = 'other' WHERE val = 'match' AND id IS NOT NULL", ac: 'COMMIT' } },
      b: { setup: [BEGIN], steps: { br: "SELECT count(*) FROM pt WHERE val = 'other' AND id IS NOT NULL", bw: "INSERT INTO pt VALUES (2, 'match')", bc: 'COMMIT' } },
    },
  },
  {
    name: 'a write that is rolled back to a savepoint',
    setup: ['DROP TABLE IF EXISTS sv', 'CREATE TABLE sv (id int PRIMARY KEY, v int)', 'INSERT INTO sv SELECT g, 0 FROM generate_series(1, 10) g'],
    sessions: {
      a: { setup: [KEYS, BEGIN], steps: { ar: 'SELECT sum(v) FROM sv', as: 'SAVEPOINT s', aw: 'UPDATE sv SET v = 1 WHERE id = 1', ab: 'ROLLBACK TO s', ac: 'COMMIT' } },
      b: { setup: [KEYS, BEGIN], steps: { br: 'SELECT sum(v) FROM sv', bw: 'UPDATE sv SET v = 1 WHERE id = 2', bc: 'COMMIT' } },
    },
    permutations: ['ar br as aw ab bw bc ac', 'ar as aw ab br bw bc ac', 'ar as aw br ab bw ac bc'],
  },
  {
    name: 'TRUNCATE after a read',
    setup: ['DROP TABLE IF EXISTS tr1, tr2', 'CREATE TABLE tr1 (v int)', 'CREATE TABLE tr2 (v int)', 'INSERT INTO tr1 VALUES (1)', 'INSERT INTO tr2 VALUES (1)'],
    sessions: {
      a: { setup: [BEGIN], steps: { ar: 'SELECT count(*) FROM tr1', aw: 'INSERT INTO tr2 VALUES (2)', ac: 'COMMIT' } },
      b: { setup: [BEGIN], steps: { br: 'SELECT count(*) FROM tr2', bw: 'TRUNCATE tr1', bc: 'COMMIT' } },
    },
  },
  {
    name: 'what was read through an index outlives the index, and a rewrite of the table', setup: ['DROP TABLE IF EXISTS ix, aside', 'CREATE TABLE ix (id int PRIMARY KEY, v int)', 'CREATE INDEX ix_v ON ix (v)', 'INSERT INTO ix SELECT g, g FROM generate_series(1, 10) g', 'CREATE TABLE aside (id int PRIMARY KEY, v int)', 'INSERT INTO aside VALUES (1, 1)'],
    sessions: {
      a: { setup: [KEYS, BEGIN], steps: { ar: 'SELECT * FROM ix WHERE v = 50', aw: 'UPDATE aside SET v = 2 WHERE id = 1', ac: 'COMMIT' } },
      b: { setup: [KEYS, BEGIN], steps: { b0: 'SELECT * FROM aside WHERE id = 1', bw: 'INSERT INTO ix VALUES (50, 50)', bc: 'COMMIT' } },
      c: { steps: { cd: 'DROP INDEX ix_v', ci: 'REINDEX INDEX ix_v', ct: 'ALTER TABLE ix ALTER COLUMN v TYPE bigint' } },
    },
    permutations: ['ar aw b0 ac bw bc', 'ar aw b0 ac cd bw bc', 'ar aw b0 ac ci bw bc', 'ar aw b0 ac ct bw bc'],
  },
  {
    name: 'lower levels take no part',
    setup: ['DROP TABLE IF EXISTS mix', 'CREATE TABLE mix (id int PRIMARY KEY, v int)', 'INSERT INTO mix VALUES (1, 1), (2, 1)'],
    sessions: {
      a: { setup: [BEGIN], steps: { ar: 'SELECT sum(v) FROM mix', aw: 'UPDATE mix SET v = 0 WHERE id = 1', ac: 'COMMIT' } },
      b: { setup: ['BEGIN ISOLATION LEVEL REPEATABLE READ'], steps: { br: 'SELECT sum(v) FROM mix', bw: 'UPDATE mix SET v = 0 WHERE id = 2', bc: 'COMMIT' } },
    },
  },
];
