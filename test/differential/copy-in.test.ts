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
