/**
 * `oxbow verify --data` and `--url`: whether a data directory is whole. Offline (--data) it reads log, state and relations and
 * changes nothing; online (--url) it asks a running server's ops port for a pass of its scrubber.
 *
 * Exit code 0: sound. 1: damage, each finding on a line of stdout. 2: could not be checked.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { compiledModule } from '../../engine/runtime-node.js';
import type { VerifyMessage } from './verify-child.js';

const COULD_NOT = 2;

/** Returns the exit code. */
export async function verifyData({ data, url }: { readonly data?: string; readonly url?: string }): Promise<number> {
  return url !== undefined ? await verifyOnline(url) : await verifyOffline(data ?? process.env.OXBOW_DATA ?? './oxbow-data');
}

const shown = process.stderr.isTTY;

function progress(text: string): void {
  if (shown) process.stderr.write(`\r\x1b[K${text}`);
}

function conclude(findings: number, summary: string): number {
  progress('');
  process.stdout.write(`${summary}\n${findings === 0 ? 'sound' : `${findings} finding${findings === 1 ? '' : 's'}`}\n`);
  return findings === 0 ? 0 : 1;
}

function verifyOffline(directory: string): Promise<number> {
  const child = fork(fileURLToPath(compiledModule('server/cli/verify-child.js', import.meta.url)), [directory], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  let reading = 'the directory';
  let outcome: number | undefined;
  child.on('message', (message: VerifyMessage) => {
    switch (message.kind) {
      case 'progress':
        reading = message.what;
        progress(`${message.what}: ${message.done}`);
        return;
      case 'finding':
        progress('');
        process.stdout.write(`${message.text}\n`);
        return;
      case 'refused':
        process.stderr.write(`oxbow verify: ${message.text}\n`);
        outcome = COULD_NOT;
        return;
      case 'done':
        outcome = conclude(message.findings, message.summary);
    }
  });
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => {
      if (outcome !== undefined) return resolve(outcome);
      progress('');
      process.stdout.write(`state: reading ${reading} ended the checking process (${signal ?? `code ${code}`}): the structure of state.mdb is damaged\n1 finding\n`);
      resolve(1);
    });
  });
}

/** The server answers with lines of JSON, the last of which is the summary. */
async function verifyOnline(url: string): Promise<number> {
  try {
    const response = await fetch(new URL('/verify', url), { method: 'POST' });
    if (!response.ok || !response.body) {
      process.stderr.write(`oxbow verify: ${url} answers ${response.status} ${(await response.text()).trim()}\n`);
      return COULD_NOT;
    }
    let rest = '';
    let outcome: number | undefined;
    const decoder = new TextDecoder();
    for await (const bytes of response.body) {
      rest += decoder.decode(bytes as Uint8Array, { stream: true });
      const lines = rest.split('\n');
      rest = lines.pop()!;
      for (const line of lines) {
        const message = JSON.parse(line) as VerifyMessage;
        if (message.kind === 'progress') progress(`${message.what}: ${message.done}`);
        else if (message.kind === 'finding') process.stdout.write(`${message.text}\n`);
        else if (message.kind === 'done') outcome = conclude(message.findings, message.summary);
        else process.stderr.write(`oxbow verify: ${message.text}\n`);
      }
    }
    if (outcome === undefined) process.stderr.write('oxbow verify: the server ended before it was done\n');
    return outcome ?? COULD_NOT;
  } catch (error) {
    const { cause, message } = error as Error & { cause?: Error };
    process.stderr.write(`oxbow verify: ${url}: ${cause?.message ?? message}\n`);
    return COULD_NOT;
  }
}
