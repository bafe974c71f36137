/** Every script in this folder, on PostgreSQL 16 and on Oxbow: nothing a client can see may differ. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compareScript, connect, describeDifference } from '../harness/compare.js';
import { startOracle, type Oracle } from '../harness/oracle.js';
import { startTestServer, type TestServer } from '../harness/server.js';

const folder = fileURLToPath(new URL('./', import.meta.url)).replace('/dist/', '/');
let oracle: Oracle;
let server: TestServer;

beforeAll(async () => {
  [oracle, server] = await Promise.all([startOracle(), startTestServer()]);
});
afterAll(async () => {
  await server?.stop();
  await oracle?.stop();
});

/** A psql script without its meta-commands and database commands: the rest runs in any database. */
function plainScript(path: string): string {
  return readFileSync(path, 'utf8').replace(/^\\.*$/gm, '').replace(/^(DROP|CREATE) DATABASE.*;$/gm, '');
}

describe('chinook', () => {
  test('analytical queries give the same answers to the byte', async () => {
    const clients = [];
    for (const port of [oracle.port, server.port]) {
      const admin = await connect(port);
      await admin.query('CREATE DATABASE chinook');
      await admin.end();
      const client = await connect(port, 'chinook');
      await client.query(plainScript(join(folder, '../data/chinook.sql')));
      await client.query('ANALYZE');
      clients.push(client);
    }
    try {
      const differences = await compareScript(readFileSync(join(folder, 'chinook/queries.sql'), 'utf8'), clients[0], clients[1]);
      expect(differences.map(describeDifference)).toEqual([]);
    } finally {
      for (const client of clients) await client.end();
    }
  });
});

describe('differential', () => {
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.sql')).sort()) {
    test(file, async () => {
      const database = `d_${file.replace(/\W/g, '_')}`;
      for (const port of [oracle.port, server.port]) {
        const admin = await connect(port);
        await admin.query(`CREATE DATABASE ${database}`);
        await admin.end();
      }
      const [postgres, oxbow] = [await connect(oracle.port, database), await connect(server.port, database)];
      try {
        const differences = await compareScript(readFileSync(folder + file, 'utf8'), postgres, oxbow);
        expect(differences.map(describeDifference)).toEqual([]);
      } finally {
        await postgres.end();
        await oxbow.end();
      }
    });
  }
});
