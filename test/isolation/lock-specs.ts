/** Locks, waits and what can be seen of them. */
import type { Spec } from './player.js';

const TABLE = ['DROP TABLE IF EXISTS lk', 'CREATE TABLE lk (id int PRIMARY KEY, v int)', 'INSERT INTO lk VALUES (1, 10), (2, 20), (3, 30)'];
const SOON = "SET deadlock_timeout = '10ms'";
const LATE = "SET deadlock_timeout = '100s'";
const MODES: readonly [string, string][] = [['', 'exclusive'], ['_shared', 'shared']];

export const LOCK_SPECS: readonly Spec[] = [
  {
    name: 'deadlock of two on rows', setup: TABLE,
    sessions: {
      a: { setup: [LATE, 'BEGIN'], steps: { a1: 'UPDATE lk SET v = 1 WHERE id = 1', a2: 'UPDATE lk SET v = 1 WHERE id = 2', ac: 'COMMIT' } },
      b: { setup: [SOON, 'BEGIN'], steps: { b1: 'UPDATE lk SET v = 2 WHERE id = 2', b2: 'UPDATE lk SET v = 2 WHERE id = 1', bc: 'COMMIT' } },
    },
    permutations: ['a1 b1 a2 b2! ac bc'],
  },
  {
    name: 'deadlock of three over tables and advisory locks', setup: [...TABLE, 'DROP TABLE IF EXISTS lk2', 'CREATE TABLE lk2 (i int)'],
    sessions: {
      a: { setup: [LATE, 'BEGIN'], steps: { a1: 'LOCK TABLE lk2 IN EXCLUSIVE MODE', a2: 'SELECT pg_advisory_xact_lock(5, 6)', ac: 'COMMIT' } },
      b: { setup: [LATE, 'BEGIN'], steps: { b1: 'SELECT pg_advisory_xact_lock(5, 6)', b2: 'SELECT * FROM lk WHERE id = 3 FOR UPDATE', bc: 'COMMIT' } },
      c: { setup: [SOON, 'BEGIN'], steps: { c1: 'DELETE FROM lk WHERE id = 3', c2: 'INSERT INTO lk2 VALUES (1)', cc: 'COMMIT' } },
    },
    permutations: ['a1 b1 c1 a2 b2 c2! cc bc ac'],
  },
  {
    name: 'deadlock by an upgrade of a shared lock', setup: TABLE,
    sessions: {
      a: { setup: [LATE, 'BEGIN'], steps: { a1: 'SELECT id FROM lk WHERE id = 1 FOR SHARE', a2: 'UPDATE lk SET v = 1 WHERE id = 1', ac: 'COMMIT' } },
      b: { setup: [SOON, 'BEGIN'], steps: { b1: 'SELECT id FROM lk WHERE id = 1 FOR SHARE', b2: 'UPDATE lk SET v = 2 WHERE id = 1', bc: 'COMMIT' } },
    },
    permutations: ['a1 b1 a2 b2! ac bc'],
  },
  {
    name: 'deadlock on unique keys', setup: TABLE,
    sessions: {
      a: { setup: [LATE, 'BEGIN'], steps: { a1: 'INSERT INTO lk VALUES (11, 1)', a2: 'INSERT INTO lk VALUES (12, 1)', ac: 'COMMIT' } },
      b: { setup: [SOON, 'BEGIN'], steps: { b1: 'INSERT INTO lk VALUES (12, 2)', b2: 'INSERT INTO lk VALUES (11, 2)', bc: 'COMMIT' } },
    },
    permutations: ['a1 b1 a2 b2! ac bc'],
  },
  ...MODES.map(([suffix, mode]): Spec => ({
    name: `advisory locks, ${mode}, of sessions and transactions`, setup: TABLE,
    sessions: {
      a: { steps: { a1: `SELECT pg_advisory_lock${suffix}(1)`, a2: `SELECT pg_advisory_lock${suffix}(1)`, au: `SELECT pg_advisory_unlock${suffix}(1)`, an: `SELECT pg_advisory_unlock${suffix}(99)`, ab: 'BEGIN', ax: `SELECT pg_advisory_xact_lock${suffix}(1, 2)`, ar: 'ROLLBACK', ac: 'COMMIT', all: 'SELECT pg_advisory_unlock_all()', as: 'SAVEPOINT s', at: 'ROLLBACK TO s', aw: 'SELECT pg_advisory_unlock(1)', am: 'SELECT pg_advisory_lock(-9223372036854775808), pg_advisory_lock(9223372036854775807), pg_advisory_lock(-1, -2)' } },
      b: { steps: { b1: 'SELECT pg_try_advisory_lock(1)', b2: 'SELECT pg_try_advisory_lock_shared(1)', b3: 'SELECT pg_try_advisory_xact_lock(1, 2)', b4: 'SELECT pg_try_advisory_xact_lock_shared(1, 2)', b5: 'SELECT pg_advisory_lock(1)', b6: 'SELECT pg_advisory_lock_shared(1)', b7: 'SELECT pg_try_advisory_lock(-1, -2), pg_try_advisory_lock(9223372036854775807), pg_try_advisory_lock(2)', bu: 'SELECT pg_advisory_unlock_all()',
        bl: "SELECT locktype, classid, objid, objsubid, mode, granted FROM pg_locks WHERE locktype = 'advisory' ORDER BY 2, 3, 4, 5" } },
    },
    permutations: ['a1 a2 bl b1 b2 bu au b1 bu au b1 bu all', 'ab ax bl b3 b4 ar b3 bu', 'ab as ax at b3 bu ac', 'a1 b5 au bu', 'a1 b6 au bu', 'a1 a1 an b1 bu all b1 bu', 'a1 aw all', 'ab a1 ar b1 bu all', 'am bl b7 bu all'],
  })),
  {
    name: 'lock_timeout, statement_timeout, cancel', setup: TABLE,
    sessions: {
      a: { setup: ['BEGIN'], steps: { a1: 'UPDATE lk SET v = 1 WHERE id = 1', al: 'LOCK TABLE lk IN ACCESS EXCLUSIVE MODE', aa: 'SELECT pg_advisory_lock(3)', ac: 'COMMIT', au: 'SELECT pg_advisory_unlock(3)' } },
      b: { steps: { bt: "SET lock_timeout = '30ms'", bs: "SET statement_timeout = '30ms'", b1: 'UPDATE lk SET v = 2 WHERE id = 1', b2: 'SELECT * FROM lk WHERE id = 1 FOR SHARE', b3: 'SELECT count(*) FROM lk', b4: 'SELECT pg_advisory_lock(3)', b5: 'INSERT INTO lk VALUES (1, 1)', b6: 'SELECT pg_sleep(5)', b7: 'LOCK TABLE lk IN ROW EXCLUSIVE MODE NOWAIT', br: 'RESET lock_timeout', bq: 'RESET statement_timeout', bb: 'BEGIN', be: 'ROLLBACK' } },
      c: { steps: { cc: "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()", cn: 'SELECT pg_cancel_backend(999999)', ct: 'SELECT pg_terminate_backend(999999)' } },
    },
    permutations: ['a1 bt b1! b2! b4 br ac', 'a1 bs b1! b2! b6! bq ac', 'al bt b3! br bs b3! bq bb b7 be ac', 'aa bt b4! br bs b4! bq ac au', 'a1 b1 cc ac', 'aa b4 cc ac au', 'al b3 cc ac', 'cn ct'],
  },
  {
    name: 'what pg_locks, pg_stat_activity and pg_blocking_pids show of a wait', setup: TABLE,
    sessions: {
      a: { setup: ['BEGIN', "SET application_name = 'first'"], steps: { a1: 'UPDATE lk SET v = 1 WHERE id = 1', al: 'LOCK TABLE lk IN SHARE MODE', aa: 'SELECT pg_advisory_xact_lock(8)', ac: 'COMMIT' } },
      b: { setup: ['BEGIN', "SET application_name = 'second'"], steps: { b1: 'UPDATE lk SET v = 2 WHERE id = 1', b2: 'LOCK TABLE lk IN ROW EXCLUSIVE MODE', b3: 'SELECT pg_advisory_xact_lock_shared(8)', bc: 'COMMIT' } },
      c: { steps: {
        cw: "SELECT application_name, state, wait_event_type, wait_event, query, backend_xid IS NOT NULL AS has_xid, xact_start IS NOT NULL FROM pg_stat_activity WHERE application_name IN ('first', 'second') ORDER BY 1",
        cb: "SELECT w.application_name, b.application_name FROM pg_stat_activity w, pg_stat_activity b WHERE b.pid = ANY (pg_blocking_pids(w.pid)) AND w.application_name = 'second'",
        cl: "SELECT a.application_name, l.locktype, l.mode, l.granted, l.fastpath IS NOT NULL, l.waitstart IS NOT NULL FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'second' AND NOT l.granted",
        cr: "SELECT a.application_name, l.relation::regclass, l.mode, l.granted FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'relation' AND l.relation = 'lk'::regclass ORDER BY 1, 3",
        cx: "SELECT a.application_name, l.locktype, l.mode, l.granted, l.transactionid = a.backend_xid AS own FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.application_name IN ('first', 'second') AND l.locktype IN ('transactionid', 'virtualxid') ORDER BY 1, 2, 3, 5" } },
    },
    permutations: ['a1 b1 cw cb cl cr cx ac bc', 'al b2 cw cb cl cr ac bc', 'aa b3 cw cb cl ac bc', 'a1 cw cr cx ac'],
  },
  {
    name: 'reads of SERIALIZABLE transactions in pg_locks', setup: TABLE,
    sessions: {
      a: { setup: ['SET enable_seqscan = off', 'SET enable_bitmapscan = off', 'BEGIN ISOLATION LEVEL SERIALIZABLE'], steps: { a1: 'SELECT v FROM lk WHERE id = 1', a2: 'SELECT count(*) FROM lk WHERE v + 0 > 1', ac: 'COMMIT' } },
      b: { setup: ['BEGIN ISOLATION LEVEL SERIALIZABLE'], steps: { b0: 'SELECT 1 FROM lk LIMIT 0', bc: 'COMMIT' } },
      c: { steps: { cs: "SELECT locktype, relation::regclass, mode, granted FROM pg_locks WHERE mode = 'SIReadLock' ORDER BY 1, 2" } },
    },
    permutations: ['a1 cs a2 cs ac cs'],
  },
  {
    name: 'NOWAIT and SKIP LOCKED over several rows and tables', setup: [...TABLE, 'DROP TABLE IF EXISTS lk3', 'CREATE TABLE lk3 (id int PRIMARY KEY)', 'INSERT INTO lk3 VALUES (1), (2), (3)'],
    sessions: {
      a: { setup: ['BEGIN'], steps: { a1: 'SELECT * FROM lk WHERE id = 2 FOR UPDATE', a2: 'SELECT * FROM lk3 WHERE id = 1 FOR SHARE', ac: 'COMMIT' } },
      b: { setup: ['BEGIN'], steps: { b1: 'SELECT * FROM lk ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 2', b2: 'SELECT * FROM lk JOIN lk3 USING (id) ORDER BY id FOR UPDATE SKIP LOCKED', b3: 'SELECT * FROM lk JOIN lk3 USING (id) ORDER BY id FOR UPDATE OF lk3 NOWAIT', b4: 'SELECT * FROM lk JOIN lk3 USING (id) ORDER BY id FOR SHARE OF lk3 SKIP LOCKED FOR UPDATE OF lk NOWAIT', b5: 'DELETE FROM lk WHERE id = (SELECT id FROM lk ORDER BY id FOR UPDATE SKIP LOCKED LIMIT 1) RETURNING *', bc: 'COMMIT' } },
    },
    permutations: ['a1 b1 bc ac', 'a1 a2 b2 bc ac', 'a1 a2 b3 bc ac', 'a1 a2 b4 bc ac', 'a2 b4 bc ac', 'a1 b5 b5 bc ac'],
  },
  {
    name: 'xids, snapshots and system columns', setup: TABLE,
    sessions: {
      a: { steps: {
        ab: 'BEGIN', a0: 'SELECT pg_current_xact_id_if_assigned() IS NULL, txid_current_if_assigned() IS NULL', a1: 'INSERT INTO lk VALUES (4, 40) RETURNING xmin::text = pg_current_xact_id()::text, xmax, cmin, cmax, tableoid::regclass, ctid IS NOT NULL', a2: 'SELECT pg_current_xact_id_if_assigned() = pg_current_xact_id(), txid_current() = pg_current_xact_id()::text::bigint',
        a3: 'SELECT id, xmin::text = pg_current_xact_id()::text AS own, xmax, cmin, cmax FROM lk ORDER BY id', a4: 'UPDATE lk SET v = 41 WHERE id = 4',
        a6: 'SELECT pg_visible_in_snapshot(pg_current_xact_id(), pg_current_snapshot()), pg_xact_status(pg_current_xact_id()), txid_status(txid_current())', a7: 'SELECT pg_snapshot_xmin(s) <= pg_current_xact_id(), pg_snapshot_xmax(s) >= pg_current_xact_id(), pg_current_xact_id()::text IN (SELECT x::text FROM pg_snapshot_xip(s) x) FROM pg_current_snapshot() s', ac: 'COMMIT', a8: 'SELECT count(*) FROM lk WHERE xmin = 3', a9: "SELECT tableoid = 'lk'::regclass FROM lk LIMIT 1", ad: 'DELETE FROM lk WHERE id = 1 RETURNING xmax::text = pg_current_xact_id()::text, xmin IS NOT NULL', at: "SELECT id FROM lk WHERE ctid = (SELECT ctid FROM lk WHERE id = 2)" } },
      b: { setup: ["SELECT set_config('x.seen', '', false)"], steps: { b1: "SELECT pg_xact_status(max(l.transactionid::text)::xid8) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE locktype = 'transactionid' AND a.pid <> pg_backend_pid()", b2: 'SELECT txid_status(9000000000)', b3: 'SELECT xmax = 0 FROM lk WHERE id = 1', b4: 'SELECT age(xmin) >= 0 FROM lk WHERE id = 1', b5: "SELECT '10:20:10,14,15'::pg_snapshot, '10:20:10,14,15'::txid_snapshot, pg_visible_in_snapshot('14', '10:20:10,14,15'), pg_visible_in_snapshot('13', '10:20:10,14,15'), pg_visible_in_snapshot('21', '10:20:10,14,15')" } },
    },
    permutations: ['ab a0 a1 a2 a3 a4 a6 a7 b1 ac a8 a9 at', 'b2 b4 b5 ad', 'b3'],
  },
  ...(['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] as const).map((level): Spec => ({
    name: `pg_current_snapshot over a transaction at ${level}`, setup: TABLE,
    sessions: {
      a: { setup: [`BEGIN ISOLATION LEVEL ${level}`], steps: {
        a1: "SELECT set_config('x.snapshot', pg_current_snapshot()::text, true) IS NOT NULL", a2: "SELECT current_setting('x.snapshot') = pg_current_snapshot()::text", a3: 'INSERT INTO lk VALUES (5, 50)',
        a4: 'SELECT pg_visible_in_snapshot(pg_current_xact_id(), pg_current_snapshot())', ad: 'DELETE FROM lk WHERE id = 1 RETURNING xmin::text <> pg_current_xact_id()::text, xmin::text::int > 2', ac: 'COMMIT' } },
      b: { steps: { b1: 'UPDATE lk SET v = v + 1 WHERE id = 2', b2: 'UPDATE lk SET v = v + 1 WHERE id = 3' } },
    },
    permutations: ['a1 a2 b1 a2 b2 a2 ac', 'a1 a3 a4 ad ac'],
  })),
];
