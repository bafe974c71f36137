/**
 * The server's options: one row each, from which the command line, the environment (OXBOW_...), the
 * help text and the defaults follow.
 */
export interface Config {
  readonly data: string;
  readonly host: string;
  readonly port: number;
  readonly opsPort: number;
  readonly opsHost: string;
  readonly auth: 'trust' | 'scram-sha-256';
  readonly hostsFile: string | null;
  readonly passwordFile: string | null;
  readonly tlsCert: string | null;
  readonly tlsKey: string | null;
  readonly maxConnections: number;
  readonly logLevel: string;
  readonly logFormat: 'auto' | 'json' | 'pretty';
  readonly shutdownGraceMs: number;
  readonly spinMicros: number;
  readonly cacheMb: number;
  /** Milliseconds. */
  readonly retention: number;
  readonly archive: string | null;
  readonly archiveTimeoutMs: number;
  readonly archiveMaxLag: number;
  readonly archivePolicy: 'drop' | 'refuse';
  readonly backupKeyFile: string | null;
  readonly backupKeyCommand: string | null;
  readonly backupEveryMs: number;
  readonly backupFullEveryMs: number;
  readonly backupKeepFull: number | null;
  readonly backupKeepDays: number | null;
  readonly selfCheckEveryMs: number;
  readonly selfCheckDir: string | null;
  /** Milliseconds; 0: off. */
  readonly scrubEvery: number;
  readonly set: readonly string[];
}

export interface OptionDefinition {
  readonly name: keyof Config;
  /** As commander wants it. */
  readonly flags: string;
  readonly environment: string;
  readonly doc: string;
  readonly default: string | null;
  readonly choices?: readonly string[];
  readonly integer?: { readonly min: number; readonly max: number };
  /** A time with a unit (ms, s, min, h, d), which becomes milliseconds; or a size (kB, MB, GB, TB), which becomes bytes. */
  readonly unit?: 'duration' | 'size';
  /** May be given several times. */
  readonly list?: true;
}

export const OPTIONS: readonly OptionDefinition[] = [
  { name: 'data', flags: '--data <dir>', environment: 'OXBOW_DATA', doc: 'data directory; made on the first start', default: './oxbow-data' },
  { name: 'host', flags: '--host <address>', environment: 'OXBOW_HOST', doc: 'address to listen on', default: '127.0.0.1' },
  { name: 'port', flags: '--port <number>', environment: 'OXBOW_PORT', doc: 'port for clients; 0 takes a free one', default: '5432', integer: { min: 0, max: 65535 } },
  { name: 'opsPort', flags: '--ops-port <number>', environment: 'OXBOW_OPS_PORT', doc: 'port for metrics and probes; 0 turns it off', default: '9090', integer: { min: 0, max: 65535 } },
  { name: 'opsHost', flags: '--ops-host <address>', environment: 'OXBOW_OPS_HOST', doc: 'address of the ops port', default: '127.0.0.1' },
  { name: 'auth', flags: '--auth <method>', environment: 'OXBOW_AUTH', doc: 'how loopback connections authenticate (all others use scram-sha-256)', default: 'trust', choices: ['trust', 'scram-sha-256'] },
  { name: 'hostsFile', flags: '--hosts-file <file>', environment: 'OXBOW_HOSTS_FILE', doc: 'who may connect from where, in the syntax of pg_hba.conf', default: null },
  { name: 'passwordFile', flags: '--password-file <file>', environment: 'OXBOW_PASSWORD_FILE', doc: "sets the superuser's password to the file's first line (or OXBOW_PASSWORD)", default: null },
  { name: 'tlsCert', flags: '--tls-cert <file>', environment: 'OXBOW_TLS_CERT', doc: 'certificate (PEM); with --tls-key turns TLS on', default: null },
  { name: 'tlsKey', flags: '--tls-key <file>', environment: 'OXBOW_TLS_KEY', doc: 'private key (PEM)', default: null },
  { name: 'maxConnections', flags: '--max-connections <number>', environment: 'OXBOW_MAX_CONNECTIONS', doc: 'most sessions at once', default: '10000', integer: { min: 4, max: 262143 } },
  { name: 'logLevel', flags: '--log-level <level>', environment: 'OXBOW_LOG_LEVEL', doc: 'least level that is logged', default: 'info', choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] },
  { name: 'logFormat', flags: '--log-format <format>', environment: 'OXBOW_LOG_FORMAT', doc: 'json lines, pretty, or auto: pretty on a terminal', default: 'auto', choices: ['auto', 'json', 'pretty'] },
  { name: 'shutdownGraceMs', flags: '--shutdown-grace-ms <number>', environment: 'OXBOW_SHUTDOWN_GRACE_MS', doc: 'how long running statements may go on after SIGTERM', default: '10000', integer: { min: 0, max: 3_600_000 } },
  { name: 'spinMicros', flags: '--spin-micros <number>', environment: 'OXBOW_SPIN_MICROS', doc: 'how long to look for the next message before sleeping, while that pays (more than one core); 0: never', default: '50', integer: { min: 0, max: 1000 } },
  { name: 'cacheMb', flags: '--cache-mb <number>', environment: 'OXBOW_CACHE_MB', doc: 'most memory for rows and keys that were looked up one by one; taken as it is used', default: '256', integer: { min: 0, max: 16_384 } },
  { name: 'retention', flags: '--retention <time>', environment: 'OXBOW_RETENTION', doc: 'how long old row versions are kept, to be read with SET oxbow.as_of (1h, 30min); 0s: only while snapshots need them', default: '0s', unit: 'duration' },
  { name: 'archive', flags: '--archive <target>', environment: 'OXBOW_ARCHIVE', doc: 'where the log is archived as it grows: a directory or s3://bucket/prefix', default: null },
  { name: 'archiveTimeoutMs', flags: '--archive-timeout <time>', environment: 'OXBOW_ARCHIVE_TIMEOUT', doc: 'longest that durable log waits to be archived', default: '10s', unit: 'duration' },
  { name: 'archiveMaxLag', flags: '--archive-max-lag <size>', environment: 'OXBOW_ARCHIVE_MAX_LAG', doc: 'most log kept for an archive that is away', default: '8GB', unit: 'size' },
  { name: 'archivePolicy', flags: '--archive-policy <policy>', environment: 'OXBOW_ARCHIVE_POLICY', doc: 'beyond that: drop the oldest log (the archive gets a gap) or refuse commits', default: 'drop', choices: ['drop', 'refuse'] },
  { name: 'backupKeyFile', flags: '--backup-key-file <file>', environment: 'OXBOW_BACKUP_KEY_FILE', doc: 'key (32 bytes, raw, hexadecimal or base64) that archive and backups are encrypted with', default: null },
  { name: 'backupKeyCommand', flags: '--backup-key-command <command>', environment: 'OXBOW_BACKUP_KEY_COMMAND', doc: 'command that prints that key', default: null },
  { name: 'scrubEvery', flags: '--scrub-every <time>', environment: 'OXBOW_SCRUB_EVERY', doc: 'the whole state is checked once in this time, and after each crash; 0s: only when asked and after a crash', default: '1d', unit: 'duration' },
  { name: 'backupEveryMs', flags: '--backup-every <time>', environment: 'OXBOW_BACKUP_EVERY', doc: 'takes a backup into --archive this often, incremental but for the first and --backup-full-every; 0s: never', default: '0s', unit: 'duration' },
  { name: 'backupFullEveryMs', flags: '--backup-full-every <time>', environment: 'OXBOW_BACKUP_FULL_EVERY', doc: 'how often a scheduled backup is a full one', default: '7d', unit: 'duration' },
  { name: 'backupKeepFull', flags: '--backup-keep-full <number>', environment: 'OXBOW_BACKUP_KEEP_FULL', doc: 'after a scheduled backup, removes what is older than so many full ones', default: null, integer: { min: 1, max: 100_000 } },
  { name: 'backupKeepDays', flags: '--backup-keep-days <number>', environment: 'OXBOW_BACKUP_KEEP_DAYS', doc: 'after a scheduled backup, removes what no point of so many days needs', default: null, integer: { min: 0, max: 100_000 } },
  { name: 'selfCheckEveryMs', flags: '--self-check-every <time>', environment: 'OXBOW_SELF_CHECK_EVERY', doc: 'restores the newest backup and log into a scratch directory this often and compares every relation; 0s: never', default: '0s', unit: 'duration' },
  { name: 'selfCheckDir', flags: '--self-check-dir <dir>', environment: 'OXBOW_SELF_CHECK_DIR', doc: 'where the scratch directory is made; by default the temporary directory', default: null },
  { name: 'set', flags: '--set <name=value>', environment: 'OXBOW_SET', doc: 'default of a setting (GUC) for all sessions; may be repeated', default: null, list: true },
];

export class ConfigError extends Error {}

const UNITS = {
  duration: { ms: 1, s: 1000, min: 60_000, h: 3_600_000, d: 86_400_000 },
  size: { b: 1, kb: 2 ** 10, mb: 2 ** 20, gb: 2 ** 30, tb: 2 ** 40 },
} as const;

/** "10s" in milliseconds, "8GB" in bytes. */
export function parseUnit(name: string, text: string, kind: 'duration' | 'size'): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text.trim());
  const units: Readonly<Record<string, number>> = UNITS[kind];
  const unit = match && units[match[2]!.toLowerCase()];
  if (!match || !unit) throw new ConfigError(`${name}: "${text}" is not a ${kind === 'duration' ? 'time such as 500ms, 10s or 5min' : 'size such as 512MB or 8GB'}`);
  return Math.round(Number(match[1]) * unit);
}

/** The name under which commander hands the option over. */
function givenAs({ flags }: OptionDefinition): string {
  return /^--([a-z-]+)/.exec(flags)![1]!.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** Checks raw values (command line first, then environment, then defaults) and brings them into their types. */
export function makeConfig(given: Readonly<Record<string, unknown>>, environment: Readonly<Record<string, string | undefined>>): Config {
  const out: Record<string, unknown> = {};
  for (const option of OPTIONS) {
    if (option.list) {
      const fromEnvironment = environment[option.environment];
      out[option.name] = (given[option.name] as string[] | undefined) ?? (fromEnvironment ? fromEnvironment.split(',') : []);
      continue;
    }
    const raw = (given[givenAs(option)] as string | undefined) ?? environment[option.environment] ?? option.default;
    if (raw === null || raw === undefined) {
      out[option.name] = null;
      continue;
    }
    if (option.choices && !option.choices.includes(raw)) throw new ConfigError(`${option.flags}: "${raw}" is not one of ${option.choices.join(', ')}`);
    if (option.unit) out[option.name] = parseUnit(option.flags, raw, option.unit);
    else if (option.integer) {
      const value = Number(raw);
      if (!/^\d+$/.test(raw) || value < option.integer.min || value > option.integer.max) throw new ConfigError(`${option.flags}: "${raw}" is not a whole number from ${option.integer.min} to ${option.integer.max}`);
      out[option.name] = value;
    } else out[option.name] = raw;
  }
  const config = out as unknown as Config;
  if ((config.tlsCert === null) !== (config.tlsKey === null)) throw new ConfigError('--tls-cert and --tls-key go together');
  if (config.archive === null && (config.backupEveryMs > 0 || config.selfCheckEveryMs > 0)) throw new ConfigError('--backup-every and --self-check-every need --archive');
  return config;
}
