/** psql against Oxbow and against PostgreSQL 16: the same commands print the same. */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCommand, type CommandResult } from '../harness/command.js';
import { startOracle, type Oracle } from '../harness/oracle.js';
import { startTestServer, type TestServer } from '../harness/server.js';

const chinook = fileURLToPath(new URL('../data/chinook.sql', import.meta.url));
let oracle: Oracle;
let server: TestServer;

function psql(port: number, args: readonly string[], input = '', database = 'postgres'): Promise<CommandResult> {
  return runCommand('psql', ['-X', '-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-d', database, ...args], { input, env: { PGOPTIONS: '-c timezone=UTC', PAGER: '' } });
}

beforeAll(async () => {
  [oracle, server] = await Promise.all([startOracle(), startTestServer()]);
});
afterAll(async () => {
  await server?.stop();
  await oracle?.stop();
});

const SCHEMA = `
CREATE TABLE parent (id int PRIMARY KEY, name varchar(20) NOT NULL DEFAULT 'x', amount numeric(10,2) CHECK (amount > 0));
CREATE TABLE child (id serial PRIMARY KEY, parent_id int REFERENCES parent ON DELETE CASCADE, note text, made timestamptz DEFAULT now(), UNIQUE (parent_id, note));
CREATE INDEX child_note ON child (lower(note), made DESC) WHERE note IS NOT NULL;
CREATE VIEW joined AS SELECT p.id, p.name, c.note FROM parent p LEFT JOIN child c ON c.parent_id = p.id WHERE p.amount > 1;
CREATE SEQUENCE counter START 10 INCREMENT 5;
CREATE SCHEMA extra;
CREATE TABLE extra.thing (a int GENERATED ALWAYS AS IDENTITY, b int GENERATED ALWAYS AS (a * 2) STORED);
COMMENT ON TABLE parent IS 'the parents';
COMMENT ON COLUMN parent.name IS 'what they are called';
`;

const COMMANDS = [
  '\\dt', '\\di', '\\dv', '\\ds', '\\dn', '\\du', '\\d', '\\d parent', '\\d child', '\\d joined', '\\d counter', '\\d child_note', '\\d extra.thing', '\\d+ parent',
  '\\d+ joined', '\\sv joined', '\\dT', '\\df lower', '\\dt extra.*', '\\dS pg_class', '\\dC', '\\l template*', '\\dd parent', '\\do =', '\\da sum', '\\db', '\\dp parent',
];

describe('psql', () => {
  test('chinook.sql runs unmodified', async () => {
    const result = await psql(server.port, ['-q', '-v', 'ON_ERROR_STOP=1', '-f', chinook]);
    expect(result.stderr.replace(/^.*NOTICE:.*\n/gm, '')).toBe('');
    expect(result.code).toBe(0);
    const count = await psql(server.port, ['-At', '-c', 'SELECT count(*) FROM track'], '', 'chinook');
    expect(count.stdout.trim()).toBe('3503');
  });

  test('the backslash commands print what they print against PostgreSQL', async () => {
    for (const port of [oracle.port, server.port]) {
      await psql(port, ['-c', 'CREATE DATABASE described']);
      const made = await psql(port, ['-q', '-v', 'ON_ERROR_STOP=1'], SCHEMA, 'described');
      expect(made.stderr).toBe('');
    }
    const differing: string[] = [];
    for (const command of COMMANDS) {
      const [left, right] = await Promise.all([psql(oracle.port, ['-c', command], '', 'described'), psql(server.port, ['-c', command], '', 'described')]);
      if (left.stdout !== right.stdout || left.stderr !== right.stderr) differing.push(`${command}\n--- PostgreSQL\n${left.stdout}${left.stderr}\n--- Oxbow\n${right.stdout}${right.stderr}`);
    }
    expect(differing).toEqual([]);
  });

  test('\\copy there and back', async () => {
    const script = `CREATE TABLE moved (a int, b text, c numeric);
\\copy moved FROM PSTDIN WITH (FORMAT csv)
1,"a ""quoted"" one",1.50
2,,
3,"two
lines",-7
\\.
\\copy moved TO STDOUT
SELECT count(*), sum(c) FROM moved;
`;
    const [left, right] = await Promise.all([psql(oracle.port, [], script), psql(server.port, [], script)]);
    expect(right).toEqual(left);
  });
});
