/**
 * Look-ups in bulk by a learned index against the tree: the look-ups themselves, in one process over the same data directory,
 * and nested loops of a server.
 *
 *   npm run bench:learned                      # 10,000,000 keys
 *   npm run bench:learned -- --rows 1000000
 *
 * Keys are random numbers of 52 bits, in no order. Of those asked for, one in ten is not there. The goal: 3 times as fast as the tree.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type pg from 'pg';
import type { StorageId } from '../../engine/ids.js';
import { keyBytes } from '../../engine/learned/key-class.js';
import { learnedStore, type Generation } from '../../engine/learned/learned-store.js';
import { openEngine } from '../../engine/open.js';
import { nodeRuntime } from '../../engine/runtime-node.js';
import { connect } from '../../test/harness/compare.js';
import { startTestServer } from '../../test/harness/server.js';

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '10000000' },
    /** Keys asked for. */
    lookups: { type: 'string', default: '200000' },
    rounds: { type: 'string', default: '3' },
    epsilon: { type: 'string', default: '16' },
  },
});
const rows = Number(values.rows);
const lookups = Number(values.lookups);
const rounds = Number(values.rounds);
const BITS = 52;
/** One row in so many is asked for. */
const askedTables = 2 * (rounds + 1);
const every = Math.max(askedTables, Math.floor(rows / lookups));

const directory = mkdtempSync(join(tmpdir(), 'oxbow-bench-learned-'));
const say = (text: string): void => void process.stderr.write(`${text}\n`);
/** Milliseconds of processor time that a process took so far, all its threads: what others on the machine do does not count. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

const ownCpuMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

const median = (of: readonly number[]): number => [...of].sort((a, b) => a - b)[of.length >> 1]!;

async function timed(client: pg.Client, sql: string): Promise<{ ms: number; answer: string }> {
  const begun = performance.now();
  const { rows: answer } = await client.query({ text: sql, rowMode: 'array' });
  return { ms: performance.now() - begun, answer: JSON.stringify(answer) };
}

async function plan(client: pg.Client, sql: string): Promise<string> {
  return (await client.query({ text: `explain (costs off, analyze, timing off, summary off) ${sql}`, rowMode: 'array' })).rows.map(([line]: string[]) => line).join('\n');
}

async function fill(client: pg.Client): Promise<void> {
  await client.query('create table keys (k int8 not null, v int, t text)');
  const begun = performance.now();
  for (let from = 1; from <= rows; from += 1_000_000) {
    const to = Math.min(rows, from + 999_999);
    await client.query(`insert into keys select (random() * ${2 ** BITS})::int8, i, 'row ' || i from generate_series(${from}, ${to}) i`);
    say(`${to} rows, ${((performance.now() - begun) / 1000).toFixed(0)} s`);
  }
  // Other keys each time, or caches of keys and rows would answer.
  for (let n = 0; n < askedTables; n++) await client.query(`create table asked${n} as select case when v / ${every} % 10 = 0 then -1 - k else k end as k, v as i from keys where v % ${every} = ${n}`);
  await client.query('analyze');
}

interface Times { readonly ms: number; readonly cpuMs: number }
interface Case { readonly name: string; readonly sql: string; /** The first of its tables of keys. */ readonly from: number }
const CASES: readonly Case[] = [
  { name: 'keys only', sql: 'select count(*) from asked a join keys using (k)', from: 0 },
  { name: 'rows', sql: 'select count(*), sum(v), max(t) from asked a join keys using (k)', from: rounds + 1 },
];
/** Before rows are read from columns, which are built after many were read one by one: the heap. */
const FROM_HEAP = 'rows, from the heap';

async function joins(client: pg.Client, pid: number, cases: readonly Case[]): Promise<Map<string, Times>> {
  const found = new Map<string, Times>();
  for (const { name, sql, from } of cases) {
    const times: number[] = [];
    let answer = '';
    let begun = 0;
    for (let round = 0; round <= rounds; round++) {
      // The first compiles what the others run.
      if (round === 1) begun = cpuMs(pid);
      const ran = await timed(client, sql.replace('asked', `asked${from + round}`));
      if (round > 0) times.push(ran.ms);
      ({ answer } = ran);
    }
    const took: Times = { ms: median(times), cpuMs: (cpuMs(pid) - begun) / rounds };
    found.set(name, took);
    say(`${name}: ${took.ms.toFixed(0)} ms, ${took.cpuMs.toFixed(0)} ms CPU ${answer}\n${await plan(client, sql.replace('asked', 'asked0'))}`);
  }
  return found;
}

async function byTree(): Promise<Map<string, Times>> {
  const server = await startTestServer({ directory, keep: true });
  try {
    const client = await connect(server.port);
    await fill(client);
    const begun = performance.now();
    await client.query('create unique index keys_tree on keys (k)');
    say(`btree: ${((performance.now() - begun) / 1000).toFixed(1)} s`);
    await client.query('set enable_hashjoin = off; set enable_mergejoin = off');
    const tree = await joins(client, server.process.pid!, CASES);
    await client.query('drop index keys_tree');
    await client.end();
    return tree;
  } finally {
    await server.stop();
  }
}

/** On a server that has just been started: what it remembers of rows is its own. */
async function byModel(): Promise<{ learned: Map<string, Times>; storage: number }> {
  const server = await startTestServer({ directory, keep: true });
  try {
    const client = await connect(server.port);
    await client.query('set enable_hashjoin = off; set enable_mergejoin = off');
    const again = performance.now();
    await client.query(`create unique index keys_learned on keys using learned (k) with (epsilon = ${values.epsilon})`);
    const made = performance.now();
    for (let text = ''; !/\d pieces?,/.test(text); text = await plan(client, 'select count(*) from asked0 a join keys using (k) where i < 1000')) await new Promise((resolve) => setTimeout(resolve, 50));
    say(`learned: ${((made - again) / 1000).toFixed(1)} s, in memory ${((performance.now() - made) / 1000).toFixed(1)} s after`);
    await client.query('set oxbow.columns = off');
    const fromHeap = await joins(client, server.process.pid!, [{ ...CASES[1]!, name: FROM_HEAP }]);
    await client.query('set oxbow.columns = on');
    // Rows read one by one add up until columns are built.
    for (let tries = 0; tries < 40; tries++) {
      await client.query(CASES[1]!.sql.replace('asked', 'asked0'));
      await new Promise((resolve) => setTimeout(resolve, rows / 40_000));
    }
    const learned = new Map([...fromHeap, ...(await joins(client, server.process.pid!, CASES))]);
    const { rows: [row] } = await client.query({ text: `select relfilenode from pg_class where relname = 'keys_learned'`, rowMode: 'array' });
    await client.end();
    return { learned, storage: Number((row as string[])[0]) };
  } finally {
    await server.stop();
  }
}

/** Nanoseconds of processor time that a look-up of a key's row id takes, by the tree (each key once, not kept in memory) and by the model. */
async function alone(index: StorageId): Promise<{ tree: number; learned: number; generation: Generation }> {
  const runtime = nodeRuntime();
  const storage = await openEngine(runtime, { directory, cacheBytes: 0 });
  try {
    const store = learnedStore(storage, runtime.clock);
    const options = { class: 'int64', error: Number(values.epsilon) } as const;
    store.use(index, options, Infinity);
    await store.ready(index);
    const generation = store.peek(index)!;
    const transaction = storage.begin({ readOnly: true });
    const snapshot = transaction.takeSnapshot();
    const known = generation.entries.keys;
    const asked = Float64Array.from({ length: lookups }, (_, i) => (i % 10 === 0 ? -i - 1 : Number(known.keyAt(Math.floor(Math.random() * known.length)))));
    const treeNs: number[] = [];
    const modelNs: number[] = [];
    let sums = [0, 0];
    const encoded = Array.from(asked, (key) => keyBytes('int64', key));
    const skip = new Uint8Array(1024);
    const positions = new Int32Array(1024);
    for (let round = 0; round <= rounds; round++) {
      sums = [0, 0];
      let begun = ownCpuMs();
      for (const key of encoded) sums[0]! += transaction.lookup(index, key, snapshot);
      treeNs.push(((ownCpuMs() - begun) * 1e6) / lookups);
      begun = ownCpuMs();
      const { entries } = generation;
      for (let at = 0; at < asked.length; at += 1024) {
        const count = Math.min(1024, asked.length - at);
        entries.findMany(asked.subarray(at, at + count), null, skip, count, positions);
        for (let i = 0; i < count; i++) if (positions[i]! >= 0) sums[1]! += entries.rows[entries.firstRow(positions[i]!)]!;
      }
      modelNs.push(((ownCpuMs() - begun) * 1e6) / lookups);
    }
    if (sums[0] !== sums[1]) throw new Error(`the tree says ${sums[0]}, the model ${sums[1]}`);
    snapshot.release();
    transaction.rollback();
    return { tree: median(treeNs.slice(1)), learned: median(modelNs.slice(1)), generation };
  } finally {
    learnedStore(storage, runtime.clock).close();
    await storage.close();
  }
}

try {
  const tree = await byTree();
  const { learned, storage } = await byModel();
  const { tree: treeNs, learned: learnedNs, generation: { entries } } = await alone(storage as StorageId);
  console.log(`\n${rows} keys, ${lookups} look-ups, epsilon ${values.epsilon}: ${entries.pieces} pieces, ${entries.levels} levels, ${(entries.bytes / rows).toFixed(1)} bytes an entry; ${cpus().length} cores, Node ${process.version}\n`);
  console.log('| | tree | learned | tree / learned |');
  console.log('|---|--:|--:|--:|');
  console.log(`| look-up of a row id, ns CPU | ${treeNs.toFixed(0)} | ${learnedNs.toFixed(0)} | ${(treeNs / learnedNs).toFixed(1)} |`);
  for (const [name, of] of [['keys only', 'keys only'], ['rows', FROM_HEAP], ['rows', 'rows']] as const) {
    const [a, b] = [tree.get(name)!, learned.get(of)!];
    console.log(`| nested loop, ${of === 'rows' ? 'rows, from columns' : of}, ms | ${a.ms.toFixed(0)} | ${b.ms.toFixed(0)} | ${(a.ms / b.ms).toFixed(1)} |`);
    console.log(`| the same, ms CPU of the server | ${a.cpuMs.toFixed(0)} | ${b.cpuMs.toFixed(0)} | ${(a.cpuMs / b.cpuMs).toFixed(1)} |`);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
