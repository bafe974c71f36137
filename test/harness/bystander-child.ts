/**
 * A process that does point reads on a server, one after the other, and says how long they took: a
 * bystander's view of what the server does for others meanwhile. In a process of its own, so that
 * a test that moves 100 MB itself does not measure its own event loop.
 *
 * Arguments: port, text of the query, and for its one parameter values from 1 to a maximum.
 * Each line on stdin is answered by a line of JSON with what was measured since the one before.
 */
import { createInterface } from 'node:readline';
import pg from 'pg';

const [port, text, max] = [Number(process.argv[2]), process.argv[3]!, Number(process.argv[4])];
const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
await client.connect();
let durations: number[] = [];
createInterface({ input: process.stdin }).on('line', () => {
  const sorted = durations.sort((a, b) => a - b);
  durations = [];
  const at = (share: number): number => Number((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(2));
  console.log(JSON.stringify({ reads: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) }));
}).on('close', () => process.exit(0));
for (let i = 0; ; i++) {
  const began = performance.now();
  await client.query({ name: 'point', text, values: [1 + (i * 7919) % max] });
  durations.push(performance.now() - began);
  // one read a millisecond is plenty, and leaves the processor to the server
  await new Promise((resolve) => setTimeout(resolve, 1));
}
