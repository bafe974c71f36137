/**
 * COPY FROM STDIN in text format: rows of every usual type take a way from bytes to bytes (sql/copy/text-row-encoder.ts), unusual
 * ones the general one. Ordinary and odd lines, alone and among thousands, into PostgreSQL and Oxbow: the
 * error, or what stands in the table, must be the same. The seed is in the test's name.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand } from '../harness/command.js';
import { startOracle, type Oracle } from '../harness/oracle.js';
import { startTestServer, type TestServer } from '../harness/server.js';

let oracle: Oracle;
let server: TestServer;

beforeAll(async () => {
  [oracle, server] = await Promise.all([startOracle(), startTestServer()]);
});
afterAll(async () => {
  await server?.stop();
  await oracle?.stop();
});

const TABLES = `
  CREATE TABLE plain (s int2, i int4, b int8 NOT NULL, n numeric, d numeric(8,2), z numeric(5,-2), day date, t text, v varchar(5), c char(6), f float8, at timestamp, ok bool, u uuid);
  CREATE TABLE keyed (id int PRIMARY KEY, t text, n int CHECK (n <> 13), twice int GENERATED ALWAYS AS (n * 2) STORED); CREATE INDEX ON keyed (t); CREATE INDEX ON keyed (n) WHERE n > 5;
  CREATE TABLE partly (a int, b text DEFAULT 'given', c int NOT NULL DEFAULT 5, d text);
  CREATE TABLE keys (a int, b int, t text, PRIMARY KEY (a, b), UNIQUE (t, a), UNIQUE NULLS NOT DISTINCT (b, t, a)); CREATE INDEX ON keys (b DESC);
  CREATE TABLE numbered (n numeric(8,2) UNIQUE, c char(6), f float8, PRIMARY KEY (c, f));
  CREATE TABLE later (id int UNIQUE DEFERRABLE INITIALLY DEFERRED, n int UNIQUE);
  CREATE TABLE parents (id int PRIMARY KEY, up int REFERENCES parents);
  CREATE DOMAIN small AS int CHECK (VALUE < 10); CREATE TABLE bounded (s small, w varchar);`;

async function psql(port: number, sql: readonly string[], input = ''): Promise<string> {
  const { stdout, stderr } = await runCommand('psql', ['-X', '-q', '-At', '-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', ...sql.flatMap((text) => ['-c', text]), 'postgres'], { input, env: { PGCLIENTENCODING: 'UTF8' } });
  // PostgreSQL, which inserts buffered rows together, does not know the text of a line whose key is taken.
  return `${stdout}${stderr.replace(/(already exists\.\nCONTEXT: {2}COPY \w+, line \d+): ".*"$/gm, '$1')}`;
}

async function both(sql: readonly string[], input = ''): Promise<string> {
  const [expected, answered] = await Promise.all([psql(oracle.port, sql, input), psql(server.port, sql, input)]);
  expect(answered).toBe(expected);
  return answered;
}

const LINES = [
  '1\t2\t3\t4\t5\t600\t2024-02-29\ttext\tv\tc\t1.5\t2020-01-01 00:00:00\tt\t00000000-0000-0000-0000-000000000001',
  '-32768\t-2147483648\t-999999999999999\t-0.10\t-1.1\t-100\t0001-01-01\tä€𝄞\tä€𝄞ab\tä€\t-0\tinfinity\tf\t\\N',
  '\\N\t\\N\t0\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N\t\\N',
  '\t1\t1\t1\t1\t1\t2020-01-01\t\t\t\t1\t2020-01-01\tt\t\\N',
  '32768\t1\t1\t1\t1\t1\t2020-01-01\t\t\t\t1\t2020-01-01\tt\t\\N',
  '1\t2147483648\t1\t1\t1\t1\t2020-01-01\t\t\t\t1\t2020-01-01\tt\t\\N',
  '1\t1\t9223372036854775807\t123456789012345678901234567890.5\t1\t149\t2020-01-01\t\t\t\t1\t2020-01-01\tt\t\\N',
  '1\t1\t9223372036854775808\t1\t1\t1\t2020-01-01\t\t\t\t1\t2020-01-01\tt\t\\N',
  '1\t1\t\\N\t1\t1\t1\t2020-01-01\t\t\t\t1\t2020-01-01\tt\t\\N',
  ' 1 \t+1\t0x10\t1e3\t.5\t5.\t2020-1-1\t a \t b \t c \t1e400\t2020-01-01\tt\t\\N',
  '007\t-0\t-0\t-0\t-0.00\t0\tJan 5 2020\ta\\tb\\\\\\x41\\101\tab\\n\ta\\\tb\t1\t2020-1-2 3:4\ton\t\\N',
  '1\t1\t1\t00012.5000\t999999.99\t1\t10000-01-01\tt\tv\tc\tNaN\tepoch\tyes\t\\N',
  '1\t1\t1\t1\t1000000\t1\t2020-01-01\tt\tv\tc\t1\t2020-01-01\tt\t\\N',
  '1\t1\t1\t1\t1.005\t1\t2020-01-01\tt\tv\tc\t1\t2020-01-01\tt\t\\N',
  '1\t1\t1\t1\t1\t1\t2023-02-29\tt\tv\tc\t1\t2020-01-01\tt\t\\N',
  '1\t1\t1\t1\t1\t1\t2020-01-01\tt\tabcdef\tc\t1\t2020-01-01\tt\t\\N',
  '1\t1\t1\t1\t1\t1\t2020-01-01\tt\tabcde  \tabcdef   \t1\t2020-01-01\tt\t\\N',
  '1\t1\t1\t1\t1\t1\t2020-01-01\tt\tv\tabcdefg\t1\t2020-01-01\tt\t\\N',
  '1\t1\t1\t1',
  '1\t1\t1\t1\t1\t1\t2020-01-01\tt\tv\tc\t1\t2020-01-01\tt\t\\N\textra',
  'x\t1\t1\t1\t1\t1\t2020-01-01\tt\tv\tc\t1\t2020-01-01\tt\t\\N',
  '1\t1\t1\t1-1\t1\t1\t2020-01-01\tt\tv\tc\t1\t2020-01-01\tt\t\\N',
  '1\t1\t1\t1\t1\t1\t2020-01-01\tt\tv\tc\t1\t2020-01-01\tmaybe\t\\N',
  '1\t1\t1\t1\t1\t1\t2020-01-01\tt\tv\tc\t1\t2020-01-01\tt\t\\N\n1\t1\t1\t1\t1\t1\t2020-01-01\tcr\rhere\tv\tc\t1\t2020-01-01\tt\t\\N',
  '',
];

test('ordinary and odd lines, each alone', async () => {
  await both([TABLES]);
  for (const line of LINES) {
    await both(['TRUNCATE plain', 'COPY plain FROM STDIN', 'SELECT * FROM plain'], `${line}\n`);
  }
  for (const [options, text] of [
    ["NULL ''", '1\t\t3\t\t5\t\t\t\tv\t\t\t\t\t\n'], ["DELIMITER '|'", `${LINES[0]!.replaceAll('\t', '|')}\n`], ["NULL 'x', DELIMITER ','", '1,x,1,x,x,x,x,xx,x,x,x,x,x,x'],
    ['HEADER', `some header\n${LINES[0]!}\n`], ["DEFAULT 'd'", `${LINES[0]!}\n`],
  ] as const)
    await both(['TRUNCATE plain', `COPY plain FROM STDIN (${options})`, 'SELECT * FROM plain'], text);
  await both(['TRUNCATE plain', 'COPY plain FROM STDIN', 'SELECT * FROM plain'], `${LINES[0]!}\r\n${LINES[1]!}\r\n\\.\r\nbehind\n`);
  await both(['COPY partly (d, a) FROM STDIN', 'COPY partly (a, d) FROM STDIN', 'SELECT * FROM partly'], 'x\t1\n');
  await both(['COPY partly (a, b) FROM STDIN', 'SELECT * FROM partly'], '2\t\\N\n3\tb\n');
  await both(['COPY bounded FROM STDIN', 'SELECT * FROM bounded'], '2\tlong\n');
  await both(['COPY bounded FROM STDIN', 'SELECT * FROM bounded'], '20\tlong\n');
});

test.each([Math.floor(Math.random() * 1e6)])('thousands of lines, some of them odd (seed %i)', async (seed) => {
  let state = seed;
  const pick = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % below;
  };
  const good = [LINES[0]!, LINES[1]!, LINES[2]!, LINES[10]!, LINES[11]!, LINES[16]!];
  const many = Array.from({ length: 6000 }, () => good[pick(200) === 0 ? pick(good.length) : pick(2)]!);
  const summary = 'SELECT count(*), sum(s), sum(i), sum(b), sum(n), sum(d), sum(z), min(day), max(day), md5(string_agg(t || v || c || coalesce(f::text, \'\'), \',\' ORDER BY t, v, c, f)), count(ok), count(u) FROM plain';
  await both(['TRUNCATE plain', 'COPY plain FROM STDIN', summary], `${many.join('\n')}\n`);
  many[4000 + pick(2000)] = LINES[[5, 8, 15, 18, 20][pick(5)]!]!;
  await both(['BEGIN; SAVEPOINT s', 'COPY plain FROM STDIN', 'ROLLBACK TO s', 'COMMIT', summary], `${many.join('\n')}\n`);
  const keyed = Array.from({ length: 5000 }, (_, i) => `${i}\tt${pick(50)}\t${pick(12)}`);
  const check = ['SELECT count(*), sum(id), sum(n), sum(twice) FROM keyed', 'SET enable_seqscan = off', 'SELECT count(*), sum(id) FROM keyed WHERE t = \'t7\'', 'SELECT count(*) FROM keyed WHERE n > 5', 'SELECT * FROM keyed WHERE id = 4321'];
  await both(['COPY keyed (id, t, n) FROM STDIN', ...check], `${keyed.join('\n')}\n`);
  await both(['COPY keyed (id, t, n) FROM STDIN', ...check], '7000\ta\t1\n'.concat(...Array.from({ length: 3000 }, (_, i) => `${8000 + i}\tb\t7\n`), '4\tx\t1\n'));
  await both(['BEGIN', 'COPY keyed (id, t, n) FROM STDIN', 'UPDATE keyed SET n = n + 1, t = \'new\' WHERE id > 9000', 'DELETE FROM keyed WHERE id % 3 = 0', ...check, 'COMMIT', ...check], ''.concat(...Array.from({ length: 3000 }, (_, i) => `${8000 + i}\tb\t7\n`)));
});

test.each([Math.floor(Math.random() * 1e6)])('keys of thousands of rows: in order or not, repeated among themselves, before, and by those before (seed %i)', async (seed) => {
  let state = seed;
  const pick = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % below;
  };
  const shuffled = (lines: readonly string[]): string[] => lines.map((line) => ({ line, at: pick(1e9) })).sort((a, b) => a.at - b.at).map(({ line }) => line);
  const text = (lines: readonly string[]): string => `${lines.join('\n')}\n`;
  const rows = Array.from({ length: 4000 }, (_, i) => `${i >> 2}\t${i & 3}\t${pick(3) === 0 ? '\\N' : `t${i}`}`);
  const check = ['SELECT count(*), sum(a), sum(b), md5(string_agg(t, \',\' ORDER BY t)) FROM keys', 'SET enable_seqscan = off', 'SELECT * FROM keys WHERE a = 321 ORDER BY b', 'SELECT count(*) FROM keys WHERE b = 2', 'SELECT * FROM keys WHERE t = \'t2501\''];
  await both(['COPY keys FROM STDIN', ...check], text(rows));
  // Between those, in no order, and in a transaction that reads and changes them.
  const more = shuffled(Array.from({ length: 3000 }, (_, i) => `${i}\t${4 + (i & 3)}\tm${i}`));
  await both(['BEGIN', 'COPY keys FROM STDIN', ...check, 'UPDATE keys SET b = b + 10 WHERE a % 7 = 0', 'DELETE FROM keys WHERE a % 5 = 0', ...check, 'COMMIT', ...check], text(more));
  await both(['BEGIN', 'INSERT INTO keys VALUES (7000, 1, \'own\')', 'COPY keys FROM STDIN', 'ROLLBACK', ...check], text([...Array.from({ length: 3000 }, (_, i) => `${5000 + i}\t1\tx${i}`)]));
  // Whatever repeats, the first row that does is named: of a former load, among themselves, where another line is wrong behind it or before it.
  const fresh = Array.from({ length: 3500 }, (_, i) => `${20_000 + i}\t${pick(9)}\tz${i}`);
  for (const [at, line] of [[2800, '1\t1\tq'], [2500, fresh[2000]!], [2900, '20001\t8\tz1'], [1500, '40000\t1\t\\N\textra'], [2600, '\\N\t1\tq']] as const) {
    const lines = [...fresh];
    lines[at] = line;
    await both(['COPY keys FROM STDIN', ...check], text(lines));
    // PostgreSQL has looked at the keys of the first three thousand by then.
    lines[3300] = 'wrong\t1\t1';
    await both(['COPY keys FROM STDIN', ...check], text(lines));
    lines[1600] = fresh[1200]!;
    await both(['SET client_min_messages = error', 'COPY keys FROM STDIN', ...check], text(lines));
  }
  await both(['COPY keys FROM STDIN (HEADER, FORMAT csv)', ...check], `a,b,t\n${fresh.map((line) => line.replaceAll('\t', ',')).join('\n')}\n`);
  const numbered = shuffled(Array.from({ length: 3000 }, (_, i) => `${i}.${i % 10}\tc${i % 50}\t${i % 60}.5`));
  const numbers = ['SELECT count(*), sum(n), sum(f) FROM numbered', 'SET enable_seqscan = off', 'SELECT * FROM numbered WHERE n = 1234.40', 'SELECT * FROM numbered WHERE c = \'c7\' ORDER BY f, n LIMIT 3'];
  await both(['COPY numbered FROM STDIN', ...numbers], text(numbered.map((line, i) => (i === 2900 ? numbered[2800]! : line)).filter((line, i, all) => i > 2000 || all.indexOf(line) === i)));
  await both(['COPY numbered FROM STDIN', ...numbers], text([...new Map(numbered.map((line) => [line.slice(line.indexOf('\t')), line])).values()]));
  await both(['COPY later FROM STDIN', 'SELECT count(*), sum(id) FROM later'], text(Array.from({ length: 2000 }, (_, i) => `${i === 1900 ? 5 : i}\t${i}`)));
  await both(['COPY later FROM STDIN', 'SELECT count(*), sum(id) FROM later'], text(Array.from({ length: 2000 }, (_, i) => `${i}\t${i}`)));
  await both(['COPY parents FROM STDIN', 'SELECT count(*), sum(up) FROM parents'], text(Array.from({ length: 2500 }, (_, i) => `${i}\t${i === 0 ? '\\N' : 2499 - i}`)));
  await both(['COPY parents FROM STDIN', 'SELECT count(*), sum(up) FROM parents'], text(Array.from({ length: 2500 }, (_, i) => `${5000 + i}\t${i === 2400 ? 9999 : 1}`)));
});
