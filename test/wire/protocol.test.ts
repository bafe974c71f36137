/** Protocol transcripts: which messages answer which, in what order, and what bad input costs. */
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { names, RawClient, serialize } from '../harness/raw-client.js';
import { startTestServer, type TestServer } from '../harness/server.js';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  expect(await server.stop()).toBe(0);
});

describe('simple protocol', () => {
  test('a query answers description, rows, tag, ready', async () => {
    const client = await RawClient.start(server.port);
    expect(names(await client.query('SELECT 1 AS one'))).toEqual(['rowDescription', 'dataRow', 'commandComplete SELECT 1', 'readyForQuery I']);
    client.end();
  });

  test('several statements share one implicit transaction: an error undoes all of them', async () => {
    const client = await RawClient.start(server.port);
    expect(names(await client.query('CREATE TABLE multi (x int); INSERT INTO multi VALUES (0); SELECT 1 / x FROM multi'))).toEqual(['commandComplete CREATE TABLE', 'commandComplete INSERT 0 1', 'rowDescription', 'error 22012', 'readyForQuery I']);
    expect(names(await client.query('SELECT * FROM multi'))).toEqual(['error 42P01', 'readyForQuery I']);
    client.end();
  });

  test('an empty query answers EmptyQueryResponse', async () => {
    const client = await RawClient.start(server.port);
    expect(names(await client.query(' ; '))).toEqual(['emptyQuery', 'readyForQuery I']);
    client.end();
  });

  test('a failed block refuses everything until ROLLBACK', async () => {
    const client = await RawClient.start(server.port);
    expect(names(await client.query('BEGIN'))).toEqual(['commandComplete BEGIN', 'readyForQuery T']);
    expect(names(await client.query('SELCT'))).toEqual(['error 42601', 'readyForQuery E']);
    expect(names(await client.query('SELECT 1'))).toEqual(['error 25P02', 'readyForQuery E']);
    expect(names(await client.query('COMMIT'))).toEqual(['commandComplete ROLLBACK', 'readyForQuery I']);
    client.end();
  });
});

describe('extended protocol', () => {
  test('parse, bind, describe, execute, sync', async () => {
    const client = await RawClient.start(server.port);
    client.send(serialize.parse({ name: '', text: 'SELECT $1::int + 1 AS next', types: [] }), serialize.describe({ type: 'S', name: '' }), serialize.bind({ values: ['41'] }), serialize.describe({ type: 'P', name: '' }), serialize.execute(), serialize.sync());
    const messages = await client.until('readyForQuery');
    expect(names(messages)).toEqual(['parseComplete', 'parameterDescription', 'rowDescription', 'bindComplete', 'rowDescription', 'dataRow', 'commandComplete SELECT 1', 'readyForQuery I']);
    expect((messages[5].fields as string[])[0]).toBe('42');
    client.end();
  });

  test('an unnamed statement that comes again is the same one, and a new one after DDL, in other search paths and for other roles', async () => {
    const client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres' });
    await client.connect();
    await client.query('CREATE TABLE again (id int PRIMARY KEY, t text); INSERT INTO again VALUES (1, \'a\'); CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.again (id text); INSERT INTO elsewhere.again VALUES (\'1\'); CREATE ROLE nobody_here');
    const read = async (): Promise<unknown> => (await client.query('SELECT * FROM again WHERE id = $1', [1])).rows;
    for (let i = 0; i < 4; i++) expect(await read()).toEqual([{ id: 1, t: 'a' }]);
    await client.query('ALTER TABLE again ADD COLUMN z int DEFAULT 5');
    for (let i = 0; i < 3; i++) expect(await read()).toEqual([{ id: 1, t: 'a', z: 5 }]);
    await client.query('SET search_path = elsewhere');
    for (let i = 0; i < 3; i++) expect(await read()).toEqual([{ id: '1' }]);
    await client.query('RESET search_path');
    for (let i = 0; i < 3; i++) expect(await read()).toEqual([{ id: 1, t: 'a', z: 5 }]);
    await client.query('SET ROLE nobody_here');
    await expect(read()).rejects.toMatchObject({ code: '42501' });
    await client.query('RESET ROLE');
    await client.query('BEGIN');
    await expect(client.query('SELECT 1 / $1::int', [0])).rejects.toMatchObject({ code: '22012' });
    await expect(read()).rejects.toMatchObject({ code: '25P02' });
    await client.query('ROLLBACK');
    expect(await read()).toEqual([{ id: 1, t: 'a', z: 5 }]);
    await client.query('DROP TABLE again, elsewhere.again');
    await expect(read()).rejects.toMatchObject({ code: '42P01' });
    await client.end();
  });

  test('a row limit suspends the portal; executing again goes on', async () => {
    const client = await RawClient.start(server.port);
    client.send(serialize.parse({ text: 'SELECT g FROM generate_series(1, 5) g' }), serialize.bind({ portal: 'p' }), serialize.execute({ portal: 'p', rows: 2 }), serialize.execute({ portal: 'p', rows: 2 }), serialize.execute({ portal: 'p', rows: 2 }), serialize.sync());
    expect(names(await client.until('readyForQuery'))).toEqual(['parseComplete', 'bindComplete', 'dataRow', 'dataRow', 'portalSuspended', 'dataRow', 'dataRow', 'portalSuspended', 'dataRow', 'commandComplete SELECT 1', 'readyForQuery I']);
    client.end();
  });

  test('after an error everything up to Sync is skipped', async () => {
    const client = await RawClient.start(server.port);
    client.send(serialize.parse({ text: 'SELECT nonexistent' }), serialize.bind({}), serialize.execute(), serialize.sync(), serialize.parse({ text: 'SELECT 2' }), serialize.bind({}), serialize.execute(), serialize.sync());
    expect(names(await client.until('readyForQuery'))).toEqual(['error 42703', 'readyForQuery I']);
    expect(names(await client.until('readyForQuery'))).toEqual(['parseComplete', 'bindComplete', 'dataRow', 'commandComplete SELECT 1', 'readyForQuery I']);
    client.end();
  });

  test('unknown statements and portals have their SQLSTATEs', async () => {
    const client = await RawClient.start(server.port);
    client.send(serialize.bind({ statement: 'nope' }), serialize.sync());
    expect(names(await client.until('readyForQuery'))).toEqual(['error 26000', 'readyForQuery I']);
    client.send(serialize.execute({ portal: 'nope' }), serialize.sync());
    expect(names(await client.until('readyForQuery'))).toEqual(['error 34000', 'readyForQuery I']);
    client.end();
  });
});

describe('bad input', () => {
  test('a message with a wrong code ends its own connection only', async () => {
    const other = await RawClient.start(server.port);
    const client = await RawClient.start(server.port);
    client.send(Buffer.from([0x7e, 0, 0, 0, 4]));
    expect(names(await client.until('error'))).toEqual(['error 08P01']);
    expect(names(await other.query('SELECT 1'))).toContain('commandComplete SELECT 1');
    other.end();
  });

  test('a length beyond all reason ends the connection', async () => {
    const client = await RawClient.start(server.port);
    client.send(Buffer.from([0x51, 0x7f, 0xff, 0xff, 0xff]));
    expect(names(await client.until('error'))).toEqual(['error 08P01']);
  });

  test('a truncated Bind costs one error', async () => {
    const client = await RawClient.start(server.port);
    const bind = Buffer.from([0x42, 0, 0, 0, 8, 0, 0, 0, 5]);
    client.send(bind, serialize.sync());
    expect(names(await client.until('readyForQuery'))).toEqual(['error 08P01', 'readyForQuery I']);
    expect(names(await client.query('SELECT 1'))).toContain('commandComplete SELECT 1');
    client.end();
  });

  test('invalid UTF-8 and NUL bytes in a query', async () => {
    const client = await RawClient.start(server.port);
    const body = Buffer.concat([Buffer.from("SELECT '"), Buffer.from([0xff]), Buffer.from("'\0")]);
    const head = Buffer.alloc(5);
    head[0] = 0x51;
    head.writeInt32BE(body.length + 4, 1);
    client.send(head, body);
    expect(names(await client.until('readyForQuery'))).toEqual(['error 22021', 'readyForQuery I']);
    client.end();
  });

  test('garbage instead of a startup packet', async () => {
    const client = await RawClient.open(server.port);
    client.send(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await expect(client.until('readyForQuery')).rejects.toThrow(/closed/);
  });
});

describe('connections', () => {
  test('unknown database and role', async () => {
    for (const [parameters, code] of [[{ user: 'postgres', database: 'nope' }, '3D000'], [{ user: 'nobody_here', database: 'postgres' }, '28000']] as const) {
      const client = await RawClient.open(server.port);
      client.send(serialize.startup(parameters));
      expect(names(await client.until('error'))).toContain(`error ${code}`);
    }
  });

  test('startup options are settings', async () => {
    const client = await RawClient.start(server.port, { user: 'postgres', database: 'postgres', options: '-c work_mem=7MB', application_name: 'tester' });
    const answer = await client.query('SHOW work_mem');
    expect((answer.find((m) => m.name === 'dataRow')!.fields as string[])[0]).toBe('7MB');
    client.end();
  });

  test('cancel ends a running statement', async () => {
    const client = await RawClient.open(server.port);
    client.send(serialize.startup({ user: 'postgres', database: 'postgres' }));
    const start = await client.until('readyForQuery');
    const key = start.find((m) => m.name === 'backendKeyData')! as unknown as { processID: number; secretKey: number };
    client.send(serialize.query('SELECT pg_sleep(30)'));
    await new Promise((resolve) => setTimeout(resolve, 200));
    const canceller = await RawClient.open(server.port);
    canceller.send(serialize.cancel(key.processID, key.secretKey));
    expect(names(await client.until('readyForQuery', 5000))).toContain('error 57014');
    client.end();
  });
});

describe('authentication', () => {
  test('SCRAM-SHA-256 takes the right password only', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'oxbow-auth-'));
    const passwordFile = join(directory, 'password');
    writeFileSync(passwordFile, 'sesame\n');
    const secured = await startTestServer({ args: ['--auth', 'scram-sha-256', '--password-file', passwordFile] });
    try {
      const good = new pg.Client({ host: '127.0.0.1', port: secured.port, user: 'postgres', password: 'sesame', database: 'postgres' });
      await good.connect();
      expect((await good.query('SHOW server_version_num')).rows[0].server_version_num).toMatch(/^16/);
      await good.end();
      const bad = new pg.Client({ host: '127.0.0.1', port: secured.port, user: 'postgres', password: 'wrong', database: 'postgres' });
      await expect(bad.connect()).rejects.toMatchObject({ code: '28P01' });
      expect(secured.log()).not.toContain('sesame');
    } finally {
      await secured.stop();
    }
  });
});

describe('TLS', () => {
  const tlsFile = (name: string): string => fileURLToPath(new URL(`../data/tls/${name}`, import.meta.url));

  test('by SSLRequest, and direct with ALPN', async () => {
    const secured = await startTestServer({ args: ['--tls-cert', tlsFile('server.crt'), '--tls-key', tlsFile('server.key')] });
    try {
      const ca = readFileSync(tlsFile('server.crt'), 'utf8');
      const client = new pg.Client({ host: 'localhost', port: secured.port, user: 'postgres', database: 'postgres', ssl: { ca } });
      await client.connect();
      expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
      await client.end();
      const direct = connectTls({ host: '127.0.0.1', port: secured.port, ca, servername: 'localhost', ALPNProtocols: ['postgresql'] });
      await new Promise((resolve, reject) => direct.once('secureConnect', resolve).once('error', reject));
      direct.write(serialize.startup({ user: 'postgres', database: 'postgres' }));
      const first = await new Promise<Buffer>((resolve) => direct.once('data', resolve));
      expect(String.fromCharCode(first[0])).toBe('R');
      direct.destroy();
      const plain = await RawClient.start(secured.port);
      expect(names(await plain.query('SELECT 1'))).toContain('commandComplete SELECT 1');
      plain.end();
    } finally {
      await secured.stop();
    }
  });

  test('a server without a certificate answers N and goes on in the clear', async () => {
    const client = new pg.Client({ host: '127.0.0.1', port: server.port, user: 'postgres', database: 'postgres', ssl: true });
    await expect(client.connect()).rejects.toThrow(/does not support SSL/);
  });
});

test('a newer minor protocol version is negotiated down', async () => {
  const socket = createConnection(server.port, '127.0.0.1');
  await new Promise((resolve) => socket.once('connect', resolve));
  const body = Buffer.concat([Buffer.from([0, 3, 0, 2]), Buffer.from('user\0postgres\0database\0postgres\0_pq_.future\0on\0\0')]);
  const head = Buffer.alloc(4);
  head.writeInt32BE(body.length + 4);
  socket.write(Buffer.concat([head, body]));
  const answer = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
  expect(String.fromCharCode(answer[0])).toBe('v');
  expect(answer.readInt32BE(5)).toBe(3 << 16);
  expect(answer.toString('latin1')).toContain('_pq_.future');
  socket.destroy();
});

test('failed statements are logged with SQLSTATE, session, user and duration, and without what they said', async () => {
  const client = await RawClient.start(server.port);
  await client.query("CREATE ROLE secretive LOGIN PASSWORD 'hunter2'; SELECT 1/0 AS topsecret");
  client.end();
  const line = server.log().split('\n').filter((text) => text.includes('22012')).map((text) => JSON.parse(text) as Record<string, unknown>)[0];
  expect(line).toMatchObject({ sqlstate: '22012', user: 'postgres', database: 'postgres', durationMs: expect.any(Number), session: expect.any(Number) });
  expect(server.log()).not.toMatch(/hunter2|topsecret/);
});

test('a second server on the same data directory is refused', async () => {
  await expect(startTestServer({ directory: server.directory })).rejects.toThrow(/in use|lock|already/i);
});
