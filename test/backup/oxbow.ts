/** Runs the `oxbow` command as a user does. */
import { spawn } from 'node:child_process';
import { mainEntry } from '../harness/entry.js';


export interface CommandResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Kills it after so many milliseconds. */
  readonly killAfterMs?: number;
}

export function runOxbow(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [mainEntry, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...options.env } });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.once('error', reject);
    const timer = options.killAfterMs === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), options.killAfterMs);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

/** Runs it and throws unless it succeeds; returns what it printed. */
export async function oxbow(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runOxbow(args);
  if (code !== 0) throw new Error(`oxbow ${args.join(' ')} ended with ${code}:\n${stdout}${stderr}`);
  return stdout;
}
