/** COPY by psql, from lines made as they are sent. */
import { once } from 'node:events';
import { spawn } from 'node:child_process';

export async function copyLines(port: number, core: string, table: string, lines: Iterable<string>): Promise<void> {
  const psql = spawn('taskset', ['-c', core, 'psql', '-q', '-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-v', 'ON_ERROR_STOP=1', '-c', `COPY ${table} FROM STDIN`, 'postgres'], { stdio: ['pipe', 'inherit', 'inherit'] });
  const exited = once(psql, 'exit') as Promise<[number]>;
  let text = '';
  for (const line of lines) {
    text += line;
    text += '\n';
    if (text.length < 60_000) continue;
    if (!psql.stdin.write(text)) await once(psql.stdin, 'drain');
    text = '';
  }
  psql.stdin.end(text);
  const [code] = await exited;
  if (code !== 0) throw new Error(`COPY ${table} failed`);
}

/** mulberry32: the same sequence for the same seed. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0;
  }

  /** [0, 1) */
  uniform(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** Integers from low to high, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.uniform() * (high - low + 1));
  }

  pick<T>(from: readonly T[]): T {
    return from[this.between(0, from.length - 1)]!;
  }

  letters(low: number, high: number): string {
    let text = '';
    for (let n = this.between(low, high); n > 0; n--) text += LETTERS[this.between(0, LETTERS.length - 1)];
    return text;
  }

  digits(count: number): string {
    let text = '';
    for (let n = 0; n < count; n++) text += String(this.between(0, 9));
    return text;
  }
}

const LETTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
