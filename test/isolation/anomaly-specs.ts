/**
 * The named anomalies of Adya and Hermitage at every level, and the traps in which engines with
 * versions fall: re-evaluation after a wait, keys that change under old snapshots, DDL under old
 * snapshots, waits on uncommitted keys, portals and savepoints.
 */
import type { Spec } from './player.js';

const TABLE = ['DROP TABLE IF EXISTS test CASCADE', 'CREATE TABLE test (id int PRIMARY KEY, v int)', 'INSERT INTO test VALUES (1, 10), (2, 20)'];
const ALL = 'SELECT * FROM test ORDER BY id';
const KEYS = 'SET enable_seqscan = off';
const LEVELS = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] as const;

/** Hermitage's tests, once per level. */
function hermitage(level: (typeof LEVELS)[number]): Spec[] {
  const setup = [KEYS, `BEGIN ISOLATION LEVEL ${level}`];
  const at = (name: string, sessions: Record<string, Record<string, string>>, permutations: string[]): Spec => ({
    name: `${name} at ${level}`, setup: TABLE, permutations,
    sessions: Object.fromEntries(Object.entries(sessions).map(([session, steps]) => [session, { setup, steps }])),
  });
  return [
    at('G0: dirty writes', { a: { a1: 'UPDATE test SET v = 11 WHERE id = 1', a2: 'UPDATE test SET v = 21 WHERE id = 2', ac: 'COMMIT', as: ALL }, b: { b1: 'UPDATE test SET v = 12 WHERE id = 1', b2: 'UPDATE test SET v = 22 WHERE id = 2', bc: 'COMMIT', bs: ALL } },
      ['a1 b1 a2 ac as b2 bc bs']),
    at('G1a: aborted reads', { a: { a1: 'UPDATE test SET v = 101 WHERE id = 1', ar: 'ROLLBACK' }, b: { bs1: ALL, bs2: ALL, bc: 'COMMIT' } },
      ['a1 bs1 ar bs2 bc']),
    at('G1b: intermediate reads', { a: { a1: 'UPDATE test SET v = 101 WHERE id = 1', a2: 'UPDATE test SET v = 11 WHERE id = 1', ac: 'COMMIT' }, b: { bs1: ALL, bs2: ALL, bc: 'COMMIT' } },
      ['a1 bs1 a2 ac bs2 bc']),
    at('G1c: circular information flow', { a: { a1: 'UPDATE test SET v = 11 WHERE id = 1', as: 'SELECT * FROM test WHERE id = 2', ac: 'COMMIT' }, b: { b1: 'UPDATE test SET v = 22 WHERE id = 2', bs: 'SELECT * FROM test WHERE id = 1', bc: 'COMMIT' } },
      ['a1 b1 as bs ac bc', 'a1 b1 bs as bc ac']),
    at('OTV: observed transaction vanishes', { a: { a1: 'UPDATE test SET v = 11 WHERE id = 1', a2: 'UPDATE test SET v = 19 WHERE id = 2', ac: 'COMMIT' }, b: { b1: 'UPDATE test SET v = 12 WHERE id = 1', b2: 'UPDATE test SET v = 18 WHERE id = 2', bc: 'COMMIT' }, c: { c1: 'SELECT * FROM test WHERE id = 1', c2: 'SELECT * FROM test WHERE id = 2', c3: 'SELECT * FROM test WHERE id = 1', c4: 'SELECT * FROM test WHERE id = 2', cc: 'COMMIT' } },
      ['a1 a2 b1 ac c1 b2 c2 bc c3 c4 cc']),
    at('PMP: predicate-many-preceders', { a: { as1: 'SELECT * FROM test WHERE v = 30', as2: 'SELECT * FROM test WHERE v % 3 = 0', ac: 'COMMIT' }, b: { b1: 'INSERT INTO test VALUES (3, 30)', bc: 'COMMIT' } },
      ['as1 b1 bc as2 ac']),
    at('PMP with a write', { a: { a1: 'UPDATE test SET v = v + 10', ac: 'COMMIT' }, b: { bs: ALL, bd: 'DELETE FROM test WHERE v = 20', bs2: ALL, bc: 'COMMIT' } },
      ['a1 bs bd ac bs2 bc']),
    at('P4: lost update', { a: { as: 'SELECT * FROM test WHERE id = 1', a1: 'UPDATE test SET v = 11 WHERE id = 1', ac: 'COMMIT' }, b: { bs: 'SELECT * FROM test WHERE id = 1', b1: 'UPDATE test SET v = 12 WHERE id = 1', bc: 'COMMIT' } },
      ['as bs a1 b1 ac bc', 'as bs a1 ac b1 bc']),
    at('G-single: read skew', { a: { as: 'SELECT * FROM test WHERE id = 1', as2: 'SELECT * FROM test WHERE id = 2', ac: 'COMMIT' }, b: { b0: ALL, b1: 'UPDATE test SET v = 12 WHERE id = 1', b2: 'UPDATE test SET v = 18 WHERE id = 2', bc: 'COMMIT' } },
      ['as b0 b1 b2 bc as2 ac']),
    at('G-single through a predicate', { a: { as: 'SELECT * FROM test WHERE v % 5 = 0', as2: 'SELECT * FROM test WHERE v % 3 = 0', ac: 'COMMIT' }, b: { b1: 'UPDATE test SET v = 12 WHERE v = 10', bc: 'COMMIT' } },
      ['as b1 bc as2 ac']),
    at('G-single with a write through a predicate', { a: { as: 'SELECT * FROM test WHERE id = 1', ad: 'DELETE FROM test WHERE v = 20', ac: 'COMMIT' }, b: { b0: ALL, b1: 'UPDATE test SET v = 12 WHERE id = 1', b2: 'UPDATE test SET v = 18 WHERE id = 2', bc: 'COMMIT' } },
      ['as b0 b1 b2 bc ad ac', 'as b0 b1 b2 ad bc ac']),
    at('G2-item: write skew', { a: { as: 'SELECT * FROM test WHERE id IN (1, 2) ORDER BY id', a1: 'UPDATE test SET v = 11 WHERE id = 1', ac: 'COMMIT' }, b: { bs: 'SELECT * FROM test WHERE id IN (1, 2) ORDER BY id', b1: 'UPDATE test SET v = 21 WHERE id = 2', bc: 'COMMIT' } },
      ['as bs a1 b1 ac bc', 'as bs a1 ac b1 bc']),
    at('G2: anti-dependency cycle through a predicate', { a: { as: 'SELECT * FROM test WHERE v % 3 = 0', a1: 'INSERT INTO test VALUES (3, 30)', ac: 'COMMIT', as2: 'SELECT * FROM test WHERE v % 3 = 0 ORDER BY id' }, b: { bs: 'SELECT * FROM test WHERE v % 3 = 0', b1: 'INSERT INTO test VALUES (4, 42)', bc: 'COMMIT' } },
      ['as bs a1 b1 ac bc as2']),
    at('G2 with two edges: the reader comes last', { a: { as: ALL, ac: 'COMMIT', aw: 'UPDATE test SET v = 0 WHERE id = 1', ac2: 'COMMIT' }, b: { b1: 'UPDATE test SET v = v + 5 WHERE id = 2', bc: 'COMMIT' }, c: { cs: ALL, cc: 'COMMIT' } },
      ['as b1 bc cs cc aw ac2']),
  ];
}

export const ANOMALY_SPECS: readonly Spec[] = LEVELS.flatMap(hermitage);

const JOIN = [...TABLE, 'DROP TABLE IF EXISTS ref', 'CREATE TABLE ref (id int PRIMARY KEY, lim int)', 'INSERT INTO ref VALUES (1, 15), (2, 25)'];

export const TRAP_SPECS: readonly Spec[] = [
  {
    name: 're-evaluation in a join: the locked row is new, the joined one as it was', setup: JOIN,
    sessions: {
      a: { setup: ['BEGIN'], steps: { a1: 'UPDATE test SET v = 14 WHERE id = 1', a1b: 'UPDATE test SET v = 16 WHERE id = 1', a2: 'UPDATE ref SET lim = 5 WHERE id = 1', a3: 'DELETE FROM test WHERE id = 1', ac: 'COMMIT' } },
      b: { setup: ['BEGIN'], steps: {
        bu: 'UPDATE test SET v = test.v + ref.lim FROM ref WHERE ref.id = test.id AND test.v < ref.lim RETURNING test.*, ref.*',
        bd: 'DELETE FROM test USING ref WHERE ref.id = test.id AND test.v < ref.lim RETURNING test.*, ref.*',
        bl: 'SELECT * FROM test JOIN ref USING (id) WHERE test.v < ref.lim ORDER BY id FOR UPDATE OF test',
        bl2: 'SELECT * FROM test JOIN ref USING (id) WHERE test.v < ref.lim ORDER BY id FOR UPDATE',
        bl3: 'SELECT * FROM test LEFT JOIN ref ON ref.id = test.id AND ref.lim > test.v ORDER BY test.id FOR UPDATE OF test', bc: 'COMMIT', bs: ALL } },
    },
    permutations: ['a1 bu ac bc bs', 'a1b bu ac bc bs', 'a1 a2 bu ac bc bs', 'a3 bu ac bc bs', 'a1 bd ac bc bs', 'a1b bd ac bc bs', 'a1 bl ac bc', 'a1b bl ac bc', 'a1b a2 bl2 ac bc', 'a2 bl2 ac bc', 'a1b bl3 ac bc', 'a3 bl3 ac bc'],
  },
  {
    name: 're-evaluation through sub-selects, CTEs and limits', setup: JOIN,
    sessions: {
      a: { setup: ['BEGIN'], steps: { a1: 'UPDATE test SET v = 24 WHERE id = 1', a2: 'UPDATE test SET id = 5 WHERE id = 1', ac: 'COMMIT' } },
      b: { setup: ['BEGIN'], steps: {
        bs1: 'UPDATE test SET v = 0 WHERE id = (SELECT min(id) FROM test WHERE v < 20)', bs2: 'UPDATE test SET v = 0 WHERE v IN (SELECT lim - 5 FROM ref)',
        bs3: 'SELECT * FROM test WHERE v < 20 ORDER BY v LIMIT 1 FOR UPDATE', bs4: 'UPDATE test SET v = v + 1 WHERE EXISTS (SELECT 1 FROM ref WHERE ref.id = test.id AND ref.lim > test.v)',
        bs5: 'WITH x AS (SELECT id FROM test WHERE v < 20 FOR UPDATE) UPDATE test SET v = 7 FROM x WHERE x.id = test.id', bs6: 'UPDATE test SET v = 99 WHERE id = 1', bs7: 'SELECT v, count(*) OVER () FROM (SELECT * FROM test WHERE v < 22 FOR UPDATE) s', bc: 'COMMIT', bl: ALL } },
    },
    permutations: ['a1 bs1 ac bc bl', 'a1 bs2 ac bc bl', 'a1 bs3 ac bc bl', 'a1 bs4 ac bc bl', 'a1 bs5 ac bc bl', 'a2 bs6 ac bc bl', 'a1 bs7 ac bc bl', 'a2 bs3 ac bc bl'],
  },
  {
    name: 'a key changed A to B to A under an old snapshot', setup: [...TABLE, 'CREATE INDEX ON test (v)'],
    sessions: {
      a: { setup: ['SET enable_seqscan = off', 'SET enable_bitmapscan = off', 'BEGIN ISOLATION LEVEL REPEATABLE READ'], steps: { a1: ALL, a2: 'SELECT * FROM test WHERE v = 10', a3: 'SELECT * FROM test WHERE v = 11', a4: 'SELECT count(*) FROM test WHERE v BETWEEN 5 AND 15', a5: 'SELECT id FROM test WHERE id = 1', a6: 'UPDATE test SET v = 12 WHERE v = 10', ac: 'COMMIT' } },
      b: { steps: { b1: 'UPDATE test SET v = 11 WHERE id = 1', b2: 'UPDATE test SET v = 10 WHERE id = 1', b3: 'UPDATE test SET id = 9 WHERE id = 1', b4: 'UPDATE test SET id = 1 WHERE id = 9', b5: 'DELETE FROM test WHERE id = 1', b6: 'INSERT INTO test VALUES (1, 10)' } },
    },
    permutations: ['a1 b1 a2 a3 b2 a2 a3 a4 b3 a5 b4 a5 a2 a4 ac', 'a1 b5 b6 a2 a3 a4 a5 ac', 'a1 b1 b2 a6 ac', 'a1 b1 b2 b1 b2 b5 a4 a5 a2 b6 a4 a5 a2 ac', 'a1 b3 b4 b3 a5 a2 a4 b4 a5 a2 ac'],
  },
  {
    name: 'old snapshots and TRUNCATE, ADD COLUMN, rewrites', setup: [...TABLE, 'DROP TABLE IF EXISTS pin', 'CREATE TABLE pin (i int)'],
    sessions: {
      a: { setup: ['BEGIN ISOLATION LEVEL REPEATABLE READ'], steps: { a0: 'SELECT * FROM pin', a1: ALL, a2: 'SELECT count(*) FROM test WHERE id > 0', ai: 'INSERT INTO test (id) VALUES (50)', ac: 'COMMIT' } },
      b: { steps: { b1: 'TRUNCATE test', b2: 'ALTER TABLE test ADD COLUMN w int DEFAULT 7', b3: 'ALTER TABLE test ALTER COLUMN v TYPE bigint', b4: 'ALTER TABLE test DROP COLUMN v', b5: 'ALTER TABLE test ADD COLUMN r text DEFAULT random()::text || clock_timestamp()::text', b6: 'UPDATE test SET v = v + 1', bs: 'SELECT count(*) FROM test' } },
    },
    permutations: ['a0 b2 a1 ac', 'a0 b6 b2 a1 ac', 'a0 b4 a1 ac', 'a0 b1 a1 a2 ac bs', 'a0 b3 a2 ac bs', 'a1 b2 ac', 'a1 b1 ac bs', 'a1 b3 ai ac bs', 'a0 b1 ai ac bs'],
  },
  {
    name: 'unique keys and an uncommitted rival that commits or aborts', setup: [...TABLE, 'ALTER TABLE test ADD UNIQUE (v)'],
    sessions: {
      a: { setup: ['BEGIN'], steps: { a1: 'INSERT INTO test VALUES (3, 30)', a2: 'DELETE FROM test WHERE id = 1', a3: 'UPDATE test SET v = 30 WHERE id = 1', ac: 'COMMIT', ar: 'ROLLBACK' } },
      b: { setup: ['BEGIN'], steps: { b1: 'INSERT INTO test VALUES (3, 31)', b2: 'INSERT INTO test VALUES (4, 30)', b3: 'INSERT INTO test VALUES (1, 11)', b4: 'INSERT INTO test VALUES (5, 10)', b5: 'UPDATE test SET v = 30 WHERE id = 2', bc: 'COMMIT', bs: ALL } },
    },
    permutations: ['a1 b1 ac bc bs', 'a1 b1 ar bc bs', 'a1 b2 ac bc bs', 'a1 b2 ar bc bs', 'a2 b3 ac bc bs', 'a2 b3 ar bc bs', 'a3 b4 ac bc bs', 'a3 b4 ar bc bs', 'a3 b5 ac bc bs', 'a3 b5 ar bc bs'],
  },
  ...LEVELS.map((level): Spec => ({
    name: `ON CONFLICT and an uncommitted rival at ${level}`, setup: TABLE,
    sessions: {
      a: { setup: ['BEGIN'], steps: { a1: 'INSERT INTO test VALUES (3, 30)', a2: 'DELETE FROM test WHERE id = 1', a3: 'UPDATE test SET v = 99 WHERE id = 1', a4: 'UPDATE test SET id = 8 WHERE id = 1', ac: 'COMMIT', ar: 'ROLLBACK' } },
      b: { setup: [`BEGIN ISOLATION LEVEL ${level}`], steps: { b0: 'SELECT 1 FROM test LIMIT 1', b1: 'INSERT INTO test VALUES (3, 31) ON CONFLICT DO NOTHING RETURNING *', b2: 'INSERT INTO test VALUES (3, 32) ON CONFLICT (id) DO UPDATE SET v = test.v + excluded.v RETURNING *', b3: 'INSERT INTO test VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET v = test.v + excluded.v RETURNING *', b4: 'INSERT INTO test VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET v = 0 WHERE test.v = 10 RETURNING *', bc: 'COMMIT', bs: ALL } },
    },
    permutations: ['a1 b1 ac bc bs', 'a1 b1 ar bc bs', 'a1 b2 ac bc bs', 'a1 b2 ar bc bs', 'b0 a1 b1 ac bc bs', 'b0 a1 b2 ac bc bs', 'a2 b3 ac bc bs', 'a2 b3 ar bc bs', 'a3 b3 ac bc bs', 'a3 b3 ar bc bs', 'b0 a3 b3 ac bc bs', 'a3 b4 ac bc bs', 'a4 b3 ac bc bs', 'a2 b1 ac bc bs', 'b0 a1 ac b1 bc bs', 'b0 a2 b3 ac bc bs'],
  })),
  {
    name: 'foreign keys: parents that go, children that come', setup: ['DROP TABLE IF EXISTS child, parent', 'CREATE TABLE parent (id int PRIMARY KEY, v int)', 'CREATE TABLE child (id int PRIMARY KEY, p int REFERENCES parent)', 'INSERT INTO parent VALUES (1, 1), (2, 2)', 'INSERT INTO child VALUES (20, 2)'],
    sessions: {
      a: { setup: ['BEGIN'], steps: { a1: 'INSERT INTO child VALUES (10, 1)', a2: 'DELETE FROM parent WHERE id = 1', a3: 'UPDATE parent SET v = 9 WHERE id = 1', a4: 'UPDATE parent SET id = 3 WHERE id = 1', a5: 'INSERT INTO parent VALUES (4, 4)', ac: 'COMMIT', ar: 'ROLLBACK' } },
      b: { setup: ['BEGIN'], steps: { b1: 'INSERT INTO child VALUES (11, 1)', b2: 'DELETE FROM parent WHERE id = 1', b3: 'UPDATE parent SET v = 8 WHERE id = 1', b4: 'INSERT INTO child VALUES (12, 4)', b5: 'UPDATE child SET p = 1 WHERE id = 20', b6: 'SELECT * FROM parent WHERE id = 1 FOR KEY SHARE', b7: 'SELECT * FROM parent WHERE id = 1 FOR UPDATE', bc: 'COMMIT', bs: 'SELECT * FROM child ORDER BY id' } },
    },
    permutations: ['a1 b2 ac bc bs', 'a1 b2 ar bc bs', 'a2 b1 ac bc bs', 'a2 b1 ar bc bs', 'a3 b1 ac bc bs', 'a1 b3 ac bc', 'a4 b1 ac bc bs', 'a4 b1 ar bc bs', 'a5 b4 ac bc bs', 'a2 b5 ac bc bs', 'a2 b5 ar bc bs', 'a1 b6 b7 ac bc', 'a3 b6 b7 ac bc', 'a1 b1 ac bc bs'],
  },
  {
    name: 'foreign keys with actions, deferred checks', setup: ['DROP TABLE IF EXISTS kid, mother', 'CREATE TABLE mother (id int PRIMARY KEY)', 'CREATE TABLE kid (id int PRIMARY KEY, m int REFERENCES mother ON DELETE CASCADE ON UPDATE CASCADE DEFERRABLE)', 'INSERT INTO mother VALUES (1), (2)', 'INSERT INTO kid VALUES (10, 1)'],
    sessions: {
      a: { setup: ['BEGIN'], steps: { a1: 'DELETE FROM mother WHERE id = 1', a2: 'UPDATE mother SET id = 7 WHERE id = 1', a3: 'SET CONSTRAINTS ALL DEFERRED', a4: 'INSERT INTO kid VALUES (11, 3)', ac: 'COMMIT' } },
      b: { setup: ['BEGIN'], steps: { b1: 'UPDATE kid SET m = 2 WHERE id = 10', b2: 'INSERT INTO kid VALUES (12, 1)', b3: 'INSERT INTO mother VALUES (3)', bc: 'COMMIT', bs: 'SELECT * FROM kid ORDER BY id' } },
    },
    permutations: ['a1 b1 ac bc bs', 'b1 a1 bc ac bs', 'a2 b2 ac bc bs', 'b2 a1 bc ac bs', 'b2 a2 bc ac bs', 'a3 a4 b3 bc ac bs', 'a3 a4 b3 ac bc bs'],
  },
  {
    name: 'foreign keys at REPEATABLE READ and SERIALIZABLE', setup: ['DROP TABLE IF EXISTS kid2, kid, mother', 'CREATE TABLE mother (id int PRIMARY KEY)', 'CREATE TABLE kid (id int PRIMARY KEY, m int REFERENCES mother ON DELETE CASCADE ON UPDATE CASCADE)', 'CREATE TABLE kid2 (id int PRIMARY KEY, m int REFERENCES mother)', 'INSERT INTO mother VALUES (1), (2), (3)', 'INSERT INTO kid VALUES (10, 1)', 'INSERT INTO kid2 VALUES (30, 3)'],
    sessions: {
      a: { steps: { ab: 'BEGIN ISOLATION LEVEL REPEATABLE READ', az: 'BEGIN ISOLATION LEVEL SERIALIZABLE', a0: 'SELECT count(*) FROM mother', a1: 'DELETE FROM mother WHERE id = 1', a2: 'UPDATE mother SET id = 7 WHERE id = 1', a3: 'DELETE FROM mother WHERE id = 3', a4: 'INSERT INTO kid2 VALUES (31, 2)', ac: 'COMMIT' } },
      b: { setup: ['BEGIN'], steps: { b1: 'UPDATE kid SET m = 2 WHERE id = 10', b2: 'INSERT INTO kid VALUES (12, 1)', b3: 'DELETE FROM kid2 WHERE id = 30', b4: 'DELETE FROM mother WHERE id = 2', b5: 'UPDATE kid SET id = 11 WHERE id = 10', bc: 'COMMIT', br: 'ROLLBACK', bs: 'SELECT * FROM kid ORDER BY id' } },
    },
    permutations: ['ab a0 b1 a1 bc ac bs', 'ab a0 b1 bc a1 ac bs', 'ab a0 b2 bc a1 ac bs', 'ab a0 b2 bc a2 ac bs', 'ab a0 b3 a3 bc ac', 'ab a0 b3 a3 br ac', 'ab a0 b4 bc a4 ac', 'ab a0 b5 bc a1 ac bs', 'ab a0 b5 bc a2 ac bs', 'az a0 b1 bc a1 ac bs', 'az a0 b3 bc a3 ac', 'az a0 b4 bc a4 ac'],
  },
  {
    name: 'a reference that is being taken away while its parent goes', setup: ['DROP TABLE IF EXISTS kid2, mother CASCADE', 'CREATE TABLE mother (id int PRIMARY KEY)', 'CREATE TABLE kid2 (id int PRIMARY KEY, m int REFERENCES mother)', 'INSERT INTO mother VALUES (1), (2)', 'INSERT INTO kid2 VALUES (10, 1)'],
    sessions: {
      a: { setup: ['BEGIN'], steps: { a1: 'DELETE FROM kid2', a2: 'UPDATE kid2 SET m = 2', ac: 'COMMIT', ar: 'ROLLBACK' } },
      b: { setup: ['BEGIN'], steps: { b1: 'DELETE FROM mother WHERE id = 1', b2: 'UPDATE mother SET id = 5 WHERE id = 1', bc: 'COMMIT' } },
    },
    permutations: ['a1 b1 ac bc', 'a1 b1 ar bc', 'a2 b1 ac bc', 'a2 b1 ar bc', 'a1 b2 ac bc', 'a2 b2 ar bc'],
  },
  {
    name: 'a portal does not see its own transaction\'s later writes', setup: [...TABLE, 'INSERT INTO test SELECT g, g FROM generate_series(3, 40) g'],
    sessions: {
      a: { steps: { ab: 'BEGIN', ad: 'DECLARE c CURSOR FOR SELECT * FROM test ORDER BY id', ad2: 'DECLARE c CURSOR FOR SELECT * FROM test', af: 'FETCH 2 FROM c', au: 'UPDATE test SET v = -v', ax: 'DELETE FROM test WHERE id > 5', ai: "INSERT INTO test VALUES (100, 100)", ag: 'FETCH 4 FROM c', aa: 'FETCH ALL FROM c', as: 'SAVEPOINT s', ar: 'ROLLBACK TO s', ac: 'COMMIT', s: 'SELECT count(*), sum(v) FROM test' } },
      b: { steps: { b1: 'UPDATE test SET v = 1000 WHERE id > 30', b2: 'DELETE FROM test WHERE id = 4' } },
    },
    permutations: ['ab ad af au ag ax ai aa s ac', 'ab ad2 af au ag ax ai aa s ac', 'ab ad af b1 b2 aa s ac', 'ab ad2 b1 b2 aa s ac', 'ab ad af as au ag ar aa s ac', 'ab as ad af au ar s'],
  },
  {
    name: 'rollback to a savepoint under a held lock', setup: TABLE,
    sessions: {
      a: { setup: ['BEGIN'], steps: { a0: 'SELECT * FROM test WHERE id = 1 FOR SHARE', as: 'SAVEPOINT s', a1: 'UPDATE test SET v = 11 WHERE id = 1', a2: 'SELECT * FROM test WHERE id = 1 FOR UPDATE', ar: 'ROLLBACK TO s', at: 'LOCK TABLE test IN ACCESS EXCLUSIVE MODE', av: 'SELECT pg_advisory_xact_lock(77)', ac: 'COMMIT' } },
      b: { setup: ['BEGIN'], steps: { b1: 'SELECT * FROM test WHERE id = 1 FOR SHARE', b2: 'UPDATE test SET v = 12 WHERE id = 1', b3: 'SELECT * FROM test WHERE id = 1 FOR UPDATE NOWAIT', b4: 'SELECT count(*) FROM test', b5: 'SELECT pg_advisory_xact_lock(77)', bc: 'COMMIT' } },
    },
    permutations: ['as a1 b2 ar ac bc', 'a0 as a1 b1 ar ac bc', 'a0 as a1 b2 ar ac bc', 'as a2 b3 ar bc ac', 'a0 as a2 ar b3 bc ac', 'as at b4 ar bc ac', 'as av b5 ar bc ac', 'a1 as a2 ar b2 ac bc'],
  },
  {
    name: 'row locks in four strengths', setup: TABLE,
    sessions: {
      a: { setup: ['BEGIN'], steps: { ku: 'SELECT id FROM test WHERE id = 1 FOR KEY SHARE', su: 'SELECT id FROM test WHERE id = 1 FOR SHARE', nu: 'SELECT id FROM test WHERE id = 1 FOR NO KEY UPDATE', uu: 'SELECT id FROM test WHERE id = 1 FOR UPDATE', w: 'UPDATE test SET v = v + 1 WHERE id = 1', wk: 'UPDATE test SET id = 7 WHERE id = 1', ac: 'COMMIT' } },
      b: { setup: ['BEGIN'], steps: { kn: 'SELECT id FROM test WHERE id = 1 FOR KEY SHARE', sn: 'SELECT id FROM test WHERE id = 1 FOR SHARE', nn: 'SELECT id FROM test WHERE id = 1 FOR NO KEY UPDATE', un: 'SELECT id FROM test WHERE id = 1 FOR UPDATE', sk: 'SELECT id FROM test ORDER BY id FOR UPDATE SKIP LOCKED', ss: 'SELECT id FROM test ORDER BY id FOR KEY SHARE SKIP LOCKED', no: 'SELECT id FROM test ORDER BY id FOR SHARE NOWAIT', bc: 'COMMIT' } },
    },
    permutations: ['ku', 'su', 'nu', 'uu', 'w', 'wk'].flatMap((held) => [...['kn', 'sn', 'nn', 'un'].map((asked) => `${held} ${asked} ac bc`), `${held} sk bc ac`, `${held} ss bc ac`, `${held} no bc ac`]),
  },
  {
    name: 'locking a row that was changed or deleted since the snapshot', setup: TABLE,
    sessions: {
      a: { setup: ['BEGIN'], steps: { a1: 'UPDATE test SET v = 11 WHERE id = 1', a2: 'DELETE FROM test WHERE id = 1', a3: 'UPDATE test SET id = 7 WHERE id = 1', a4: 'SELECT * FROM test WHERE id = 1 FOR UPDATE', ac: 'COMMIT' } },
      b: { setup: ['BEGIN ISOLATION LEVEL REPEATABLE READ'], steps: { b0: ALL, b1: 'SELECT * FROM test WHERE id = 1 FOR UPDATE', b2: 'SELECT * FROM test WHERE id = 1 FOR KEY SHARE', b3: 'UPDATE test SET v = 0 WHERE id = 1', b4: 'DELETE FROM test WHERE id = 1', b5: 'SELECT * FROM test ORDER BY id FOR UPDATE SKIP LOCKED', bc: 'COMMIT' } },
    },
    permutations: ['a1', 'a2', 'a3', 'a4'].flatMap((change) => ['b1', 'b2', 'b3', 'b4', 'b5'].flatMap((then) => [`b0 ${change} ${then} ac bc`, `b0 ${change} ac ${then} bc`])),
  },
  {
    name: 'LOCK TABLE in eight modes', setup: TABLE,
    sessions: {
      a: { setup: ['BEGIN'], steps: Object.fromEntries([...lockSteps('a'), ['ac', 'COMMIT']]) },
      b: { setup: ['BEGIN'], steps: Object.fromEntries([...lockSteps('b', ' NOWAIT'), ['bs', 'SELECT count(*) FROM test'], ['bw', 'UPDATE test SET v = 1'], ['bc', 'COMMIT']]) },
    },
    permutations: MODES().flatMap((_, i) => [...MODES().map((__, j) => `a${i} b${j} ac bc`), `a${i} bs ac bc`, `a${i} bw ac bc`]),
  },
];

function MODES(): string[] {
  return ['ACCESS SHARE', 'ROW SHARE', 'ROW EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE', 'SHARE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE'];
}

function lockSteps(prefix: string, suffix = ''): [string, string][] {
  return MODES().map((mode, i) => [`${prefix}${i}`, `LOCK TABLE test IN ${mode} MODE${suffix}`]);
}
