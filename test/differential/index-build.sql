-- More rows than one run of an index build.
CREATE TABLE runs AS SELECT i AS id, (i * 7919) % 100003 AS scattered, 'key ' || (i % 1000) AS word, CASE WHEN i % 3 = 0 THEN NULL ELSE i END AS some FROM generate_series(1, 140000) i;
CREATE UNIQUE INDEX ON runs (id);
CREATE INDEX ON runs (scattered DESC);
CREATE INDEX ON runs (word, id);
CREATE UNIQUE INDEX ON runs (some);
CREATE UNIQUE INDEX ON runs ((id % 139999));
SELECT id FROM runs WHERE id IN (1, 65536, 65537, 131072, 140000) ORDER BY id;
SELECT count(*), min(id), max(id) FROM runs WHERE scattered BETWEEN 500 AND 700;
SELECT id FROM runs WHERE word = 'key 77' ORDER BY word, id LIMIT 5;
SELECT scattered FROM runs ORDER BY scattered DESC LIMIT 3;
SELECT count(*) FROM runs WHERE some IS NULL AND id > 100000;
DROP TABLE runs;
