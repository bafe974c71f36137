/** A thousand connections at once, each having run a query, cost less than 150 MB. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { RawClient } from '../harness/raw-client.js';
import { startTestServer } from '../harness/server.js';

/** Anonymous and shared memory of a process in MB; mapped file pages are the kernel's to give back. */
function memoryMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const kb = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
  return (kb('RssAnon') + kb('RssShmem')) / 1024;
}

test('1,000 connections', async () => {
  const server = await startTestServer();
  const clients: RawClient[] = [];
  try {
    const first = await RawClient.start(server.port);
    await first.query('SELECT 1');
    clients.push(first);
    const before = memoryMb(server.process.pid!);
    for (let i = 0; i < 20; i++) {
      clients.push(...(await Promise.all(Array.from({ length: 50 }, async () => {
        const client = await RawClient.start(server.port);
        await client.query('SELECT relname FROM pg_class WHERE oid = 1259');
        return client;
      }))));
    }
    const after = memoryMb(server.process.pid!);
    console.log(`memory: ${before.toFixed(0)} MB with one connection, ${after.toFixed(0)} MB with ${clients.length}`);
    expect(after - before).toBeLessThan(150);
  } finally {
    for (const client of clients) client.end();
    await server.stop();
  }
});
