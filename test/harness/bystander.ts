/** Runs `bystander-child.ts` and asks it what it measured. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { compiledEntry } from './entry.js';

export interface Latencies { readonly reads: number; readonly p50: number; readonly p99: number; readonly max: number }

export interface Bystander {
  /** What it measured since the last call, in milliseconds. */
  since(): Promise<Latencies>;
  stop(): void;
}

const entry = compiledEntry('test/harness/bystander-child.js');

/** Starts point reads by `text` with one parameter from 1 to `max`. */
export async function startBystander(port: number, text: string, max: number): Promise<Bystander> {
  const child = spawn(process.execPath, [entry, String(port), text, String(max)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting: ((line: string) => void)[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.(line));
  const since = (): Promise<Latencies> => new Promise((resolve) => {
    waiting.push((line) => resolve(JSON.parse(line) as Latencies));
    child.stdin.write('\n');
  });
  // the first reads plan and warm up
  do await new Promise((resolve) => setTimeout(resolve, 100));
  while ((await since()).reads < 20);
  return { since, stop: () => void child.kill() };
}
