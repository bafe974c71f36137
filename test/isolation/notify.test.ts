/** LISTEN and NOTIFY on both servers: what arrives, where among the messages, in which order. */
import { describe, expect, test } from 'vitest';
import { RawClient, type BackendMessage } from '../harness/raw-client.js';
import { connect, run } from '../harness/compare.js';
import { bothServers } from './compare-servers.js';

const servers = bothServers();
const PAUSE_MS = 60;

/** Messages as text, with the number of the sender's connection for its process id. */
function shown(messages: readonly BackendMessage[], pids: readonly number[]): string[] {
  return messages.map((message) => {
    switch (message.name) {
      case 'notification': return `notification from ${pids.indexOf(message.processId as number)} on ${String(message.channel)}: ${String(message.payload)}`;
      case 'commandComplete': return `complete ${String(message.text)}`;
      case 'error': return `error ${String(message.code)} ${String(message.message)}`;
      case 'notice': return `notice ${String(message.code)} ${String(message.message)}`;
      case 'readyForQuery': return `ready ${String(message.status)}`;
      case 'dataRow': return `row ${JSON.stringify(message.fields)}`;
      default: return message.name;
    }
  });
}

/** Steps are `number of the client: sql`; what others receive in between is noted after each. */
async function play(port: number, steps: readonly string[]): Promise<string[]> {
  const clients: RawClient[] = [];
  const pids: number[] = [];
  const log: string[] = [];
  try {
    for (let i = 0; i < 3; i++) {
      const client = await RawClient.start(port);
      clients.push(client);
      const answer = await client.query('SELECT pg_backend_pid()');
      pids.push(Number((answer.find((message) => message.name === 'dataRow') as unknown as { fields: string[] }).fields[0]));
    }
    for (const step of steps) {
      const [, number, sql] = /^(\d): (.*)$/s.exec(step)!;
      log.push(`${step} -> ${shown(await clients[Number(number)]!.query(sql!), pids).join(', ')}`);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      clients.forEach((client, i) => {
        const more = client.received.splice(0);
        if (more.length > 0) log.push(`  ${i} receives ${shown(more, pids).join(', ')}`);
      });
    }
    return log;
  } finally {
    for (const client of clients) client.end();
  }
}

const SCRIPTS: Readonly<Record<string, readonly string[]>> = {
  'an idle listener is told at once, the sender itself before ReadyForQuery': ['0: LISTEN a', "0: NOTIFY a, 'mine'", "1: NOTIFY a, 'yours'", '1: NOTIFY b', "1: SELECT pg_notify('a', 'by function')", '0: SELECT * FROM pg_listening_channels()'],
  'nothing before the commit, nothing after a rollback': ['0: LISTEN a', '1: BEGIN', '1: NOTIFY a', '1: COMMIT', '1: BEGIN', "1: NOTIFY a, 'never'", '1: ROLLBACK', '0: SELECT 1'],
  'a listener in a transaction hears at its end': ['0: LISTEN a', '0: BEGIN', '1: NOTIFY a', '0: SELECT 1', '0: COMMIT', '0: BEGIN', "1: NOTIFY a, 'x'", '0: SELECT 1/0', '0: ROLLBACK'],
  'duplicates of one transaction are folded, order is kept': ['0: LISTEN a', '0: LISTEN b', '1: BEGIN', "1: NOTIFY a, '1'", "1: NOTIFY b, '2'", "1: NOTIFY a, '1'", "1: NOTIFY a, '3'", '1: COMMIT', "1: NOTIFY a, '1'"],
  'savepoints take notifications and listens back': ['0: BEGIN', '0: LISTEN a', '0: SAVEPOINT s', '0: LISTEN b', '0: ROLLBACK TO s', '0: COMMIT', '0: SELECT * FROM pg_listening_channels()', '1: BEGIN', "1: NOTIFY a, 'kept'", '1: SAVEPOINT s', "1: NOTIFY a, 'gone'", '1: SAVEPOINT t', "1: NOTIFY a, 'gone too'", '1: RELEASE t', '1: ROLLBACK TO s', "1: NOTIFY a, 'last'", '1: COMMIT'],
  'LISTEN and UNLISTEN count from their commit': ['0: BEGIN', '0: LISTEN a', "1: NOTIFY a, 'early'", '0: COMMIT', "1: NOTIFY a, '1'", '0: BEGIN', '0: UNLISTEN a', "1: NOTIFY a, '2'", '0: ROLLBACK', '0: UNLISTEN *', "1: NOTIFY a, '3'", '0: LISTEN a; UNLISTEN a', "1: NOTIFY a, '4'", '0: LISTEN a', '0: DISCARD ALL', "1: NOTIFY a, '5'"],
  'several listeners, one sender': ['0: LISTEN a', '1: LISTEN a', '2: LISTEN other', '2: NOTIFY a', '2: NOTIFY other'],
  'what is refused': ["0: SELECT pg_notify('', 'x')", "0: SELECT pg_notify(repeat('x', 64), '')", "0: SELECT pg_notify('a', repeat('x', 8000))", "0: SELECT length(repeat('x', 7999)), pg_notify('a', repeat('x', 7999)) IS NULL", '0: SELECT pg_notify(NULL, NULL)', "0: BEGIN READ ONLY; NOTIFY a; COMMIT", '0: SELECT pg_notification_queue_usage()', '0: UNLISTEN nowhere'],
};

describe('LISTEN and NOTIFY', () => {
  for (const [name, steps] of Object.entries(SCRIPTS)) {
    test(name, async () => {
      const [postgres, oxbow] = await Promise.all([play(servers.oracle.port, steps), play(servers.server.port, steps)]);
      expect(oxbow).toEqual(postgres);
    });
  }

  test('none is lost, and all come in the order of the commits, from 8 senders at once', { timeout: 30_000 }, async () => {
    const listener = await connect(servers.server.port);
    const heard: string[] = [];
    listener.on('notification', (message) => void heard.push(message.payload ?? ''));
    await listener.query('LISTEN c');
    await run(listener, 'CREATE TABLE IF NOT EXISTS ordered (n int PRIMARY KEY, v int)');
    await run(listener, 'INSERT INTO ordered VALUES (1, 0) ON CONFLICT (n) DO UPDATE SET v = 0');
    const each = 50;
    await Promise.all(Array.from({ length: 8 }, async () => {
      const sender = await connect(servers.server.port);
      for (let i = 0; i < each; i++) {
        await sender.query('BEGIN');
        // the row's lock gives the commits their order
        const { rows } = await sender.query('UPDATE ordered SET v = v + 1 WHERE n = 1 RETURNING v');
        await sender.query(`NOTIFY c, '${(rows[0] as { v: string }).v}'`);
        await sender.query('COMMIT');
      }
      await sender.end();
    }));
    for (let i = 0; i < 100 && heard.length < 8 * each; i++) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(heard).toEqual(Array.from({ length: 8 * each }, (_, i) => String(i + 1)));
    await listener.end();
  });

  test('the queue is bounded and visible: when a sleeper holds it full, NOTIFY fails at commit', { timeout: 60_000 }, async () => {
    const [sleeper, sender] = [await connect(servers.server.port), await connect(servers.server.port)];
    await sleeper.query('LISTEN full_queue');
    await sleeper.query('BEGIN');
    let error: string | undefined;
    for (let i = 0; i < 40 && !error; i++) error = (await run(sender, `SELECT count(pg_notify('full_queue', g || repeat('x', 7900))) FROM generate_series(1, 500) g`)).error?.code;
    expect(error).toBe('54000');
    expect(Number((await run(sender, 'SELECT pg_notification_queue_usage()')).rows[0]![0])).toBeGreaterThan(0.9);
    await sleeper.query('COMMIT');
    expect((await run(sender, 'SELECT pg_notification_queue_usage()')).rows[0]![0]).toBe('0');
    expect((await run(sender, 'NOTIFY full_queue')).error).toBeNull();
    await sleeper.end();
    await sender.end();
  });
});
