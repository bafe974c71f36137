/** Options that all commands on backups share, and how what they raise is shown. */
import type { Command } from 'commander';
import { loadKey } from '../../engine/backup/key.js';
import { formatLsn, parseLsn } from '../../engine/backup/layout.js';
import type { RecoveryTarget } from '../../engine/backup/recovery-target.js';
import { openTarget } from '../../engine/backup/target.js';
import type { Target } from '../../engine/backup/target.js';
import { DatabaseError } from '../../engine/errors.js';
import type { Xid } from '../../engine/ids.js';
import { nodeRuntime } from '../../engine/runtime-node.js';
import type { Runtime } from '../../engine/runtime.js';

export interface KeyFlags {
  readonly keyFile?: string;
  readonly keyCommand?: string;
}

export function withKey(command: Command): Command {
  return command
    .option('--key-file <file>', 'key of encrypted backups: 32 bytes, raw, hexadecimal or base64 (OXBOW_BACKUP_KEY_FILE)')
    .option('--key-command <command>', 'command that prints that key (OXBOW_BACKUP_KEY_COMMAND)');
}

export function keyOf(flags: KeyFlags): Uint8Array | undefined {
  return loadKey({
    keyFile: flags.keyFile ?? (flags.keyCommand === undefined ? process.env.OXBOW_BACKUP_KEY_FILE : undefined) ?? null,
    keyCommand: flags.keyCommand ?? (flags.keyFile === undefined ? process.env.OXBOW_BACKUP_KEY_COMMAND : undefined) ?? null,
  });
}

export interface Opened {
  readonly runtime: Runtime;
  readonly target: Target;
  readonly key: Uint8Array | undefined;
}

export function open(target: string, flags: KeyFlags): Opened {
  const runtime = nodeRuntime();
  return { runtime, target: openTarget(runtime, target, process.env), key: keyOf(flags) };
}

/** Runs a command's work; what it raises becomes lines on stderr and exit code 1. */
export async function run(name: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    process.stderr.write(`oxbow ${name}: ${describe(error)}\n`);
    process.exitCode = 1;
  }
  // Threads and sockets of libraries must not keep a finished command alive.
  if (process.stdout.writableLength === 0) process.exit();
  process.stdout.once('drain', () => process.exit());
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { detail, hint } = error as { detail?: string; hint?: string };
  const expected = error instanceof DatabaseError || typeof (error as { code?: unknown }).code === 'string';
  const text = expected ? error.message : (error.stack ?? error.message);
  return `${text}${detail === undefined ? '' : `\n  ${detail}`}${hint === undefined ? '' : `\n  ${hint}`}`;
}

export interface TargetFlags {
  readonly toTime?: string;
  readonly toLsn?: string;
  readonly toXid?: string;
  readonly toName?: string;
}

export function recoveryTarget({ toTime, toLsn, toXid, toName }: TargetFlags): RecoveryTarget {
  const given = [toTime, toLsn, toXid, toName].filter((flag) => flag !== undefined);
  if (given.length > 1) throw new DatabaseError('22023', 'give one of --to-time, --to-lsn, --to-xid and --to-name');
  if (toTime !== undefined) return { kind: 'time', micros: parseTime(toTime) };
  if (toLsn !== undefined) return { kind: 'lsn', lsn: parseLsn(toLsn) };
  if (toName !== undefined) return { kind: 'name', name: toName };
  if (toXid === undefined) return { kind: 'latest' };
  if (!/^\d+$/.test(toXid)) throw new DatabaseError('22023', `"${toXid}" is not a transaction id`);
  return { kind: 'xid', xid: Number(toXid) as Xid };
}

/** ISO 8601 with up to microseconds; without an offset it is UTC. */
export function parseTime(text: string): number {
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?)?\s*(Z|[+-]\d\d(?::?\d\d)?)?$/i.exec(text.trim());
  if (match) {
    const [, day, time = '00:00', seconds = '00', fraction = '', zone = 'Z'] = match;
    const offset = /^z$/i.test(zone) ? 'Z' : `${zone.slice(0, 3)}:${zone.replace(':', '').slice(3) || '00'}`;
    const ms = Date.parse(`${day}T${time}:${seconds}${offset}`);
    if (!Number.isNaN(ms)) return ms * 1000 + Number(fraction.padEnd(6, '0'));
  }
  throw new DatabaseError('22007', `"${text}" is not a time such as 2026-11-21T09:30:00.123456Z`);
}

export { formatLsn };
