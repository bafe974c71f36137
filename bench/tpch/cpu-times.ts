/**
 * Processor time per query with kernels on the sessions' thread, on one thread of their own and on two: what analytics
 * take from point work, whatever else runs on the machine. Linux only (/proc/PID/task/TID/schedstat).
 */
import { readdirSync, readFileSync } from 'node:fs';
import type pg from 'pg';

const WORKERS = [0, 1, 2] as const;
/** Runs before anything is counted: kernels are compiled in the first three. */
const WARM_RUNS = 6;

/** Milliseconds so far: of the process' first thread, and of all others. */
function processorTime(pid: number): { main: number; others: number } {
  let main = 0;
  let others = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const ms = Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
    if (thread === String(pid)) main += ms;
    else others += ms;
  }
  return { main, others };
}

/** Lines of markdown. Queries run prepared, so that planning has no part in it. */
export async function cpuTimes(client: pg.Client, pid: number, queries: readonly { readonly query: number; readonly sql: string }[], rounds: number): Promise<string[]> {
  const lines = ['| query | main thread, ms: 0 workers | 1 | 2 | other threads: 0 workers | 1 | 2 |', '|--:|--:|--:|--:|--:|--:|--:|'];
  const sums = WORKERS.map(() => ({ main: 0, others: 0 }));
  for (const { query, sql } of queries) {
    const name = `query ${query}`;
    const found: { main: number; others: number }[] = [];
    for (const [w, workers] of WORKERS.entries()) {
      await client.query(`set max_parallel_workers_per_gather = ${workers}`);
      for (let run = 0; run < WARM_RUNS; run++) await client.query({ name, text: sql });
      const before = processorTime(pid);
      for (let run = 0; run < rounds; run++) await client.query({ name, text: sql });
      const after = processorTime(pid);
      found.push({ main: (after.main - before.main) / rounds, others: (after.others - before.others) / rounds });
      sums[w]!.main += found[w]!.main;
      sums[w]!.others += found[w]!.others;
    }
    lines.push(`| ${[query, ...[...found.map(({ main }) => main), ...found.map(({ others }) => others)].map((ms) => ms.toFixed(1))].join(' | ')} |`);
  }
  lines.push(`| all | ${[...sums.map(({ main }) => main), ...sums.map(({ others }) => others)].map((ms) => ms.toFixed(0)).join(' | ')} |`);
  return lines;
}
