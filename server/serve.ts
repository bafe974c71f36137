/** Starts a server from its configuration, and stops it. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import { Archiver } from '../engine/backup/archiver.js';
import { loadKey } from '../engine/backup/key.js';
import { BackupService } from '../engine/backup/service.js';
import type { Storage } from '../engine/storage.js';
import { nodeRuntime } from '../engine/runtime-node.js';
import { openEngine } from '../engine/open.js';
import { learnedStore } from '../engine/learned/learned-store.js';
import type { Runtime } from '../engine/runtime.js';
import { BackupSchedule } from './backup-schedule.js';
import { columnStore } from '../sql/columnar/relation-columns.js';
import { Cluster } from '../sql/session/cluster.js';
import { defaultHostRules, isLoopback, parseHostRules } from './auth/host-rules.js';
import { ConfigError, type Config } from './config.js';
import { Listener } from './listener.js';
import { Metrics } from './ops/metrics.js';
import { OpsServer } from './ops/ops-server.js';
import { Scrubber } from './scrubber.js';
import { ServerState } from './server-state.js';
import { Spinner } from './spinner.js';
import { setSuperuserPassword, rolesWithoutPassword } from './superuser-password.js';

export interface RunningServer {
  readonly port: number;
  readonly opsPort: number;
  readonly url: string;
  readonly opsUrl: string | null;
  /** Drains sessions, checkpoints and closes. */
  stop(): Promise<void>;
  /** Ends the process at once: the next start recovers. */
  abandon(code: number): void;
}

/** A process that has not ended by then is killed. */
const ABANDON_MS = 3000;

/** Ends the process without stopping it. Nothing that is acknowledged is lost: it is in the log. */
function abandonProcess(storage: Storage, code: number): void {
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), ABANDON_MS);
  storage.abandon().then(() => process.exit(code), () => process.exit(code));
}

function settingsOf(config: Config): Map<string, string> {
  const settings = new Map<string, string>();
  for (const assignment of config.set) {
    const at = assignment.indexOf('=');
    if (at <= 0) throw new ConfigError(`--set ${assignment}: expected name=value`);
    settings.set(assignment.slice(0, at).trim(), assignment.slice(at + 1).trim());
  }
  settings.set('listen_addresses', config.host);
  settings.set('max_connections', String(config.maxConnections));
  settings.set('data_directory', config.data);
  settings.set('oxbow.retention', String(config.retention));
  return settings;
}

function passwordOf(config: Config, environment: Readonly<Record<string, string | undefined>>): string | null {
  if (config.passwordFile !== null) return readFileSync(config.passwordFile, 'utf8').split(/\r?\n/)[0];
  return environment.OXBOW_PASSWORD ?? null;
}

/** Starts copying the log to `--archive`. */
function startArchive(config: Config, runtime: Runtime, storage: Storage, log: Logger, environment: Readonly<Record<string, string | undefined>>): Archiver | undefined {
  if (config.archive === null) return undefined;
  const archiver = new Archiver(runtime, storage, {
    target: config.archive, environment: { ...environment }, timeoutMs: config.archiveTimeoutMs, maxLagBytes: config.archiveMaxLag, policy: config.archivePolicy,
    key: loadKey({ keyFile: config.backupKeyFile, keyCommand: config.backupKeyCommand }),
  });
  archiver.onEvent = (level, message, fields) => log[level](fields, message);
  return archiver;
}

/** Scheduled backups and self-checks of what is in `--archive`. */
function startSchedule(config: Config, runtime: Runtime, backups: BackupService, log: Logger): BackupSchedule | undefined {
  if (config.archive === null || (config.backupEveryMs === 0 && config.selfCheckEveryMs === 0)) return undefined;
  return new BackupSchedule(runtime, backups, {
    target: config.archive, key: loadKey({ keyFile: config.backupKeyFile, keyCommand: config.backupKeyCommand }),
    backupEveryMs: config.backupEveryMs, fullEveryMs: config.backupFullEveryMs, checkEveryMs: config.selfCheckEveryMs,
    keepFull: config.backupKeepFull ?? undefined, keepDays: config.backupKeepDays ?? undefined, scratch: config.selfCheckDir ?? tmpdir(),
  }, log);
}

export async function startServer(config: Config, log: Logger, environment: Readonly<Record<string, string | undefined>>, runtime: Runtime = nodeRuntime()): Promise<RunningServer> {
  let notReady: string | null = 'recovering';
  let started = false;
  const ops = config.opsPort === 0 && config.opsHost === '' ? null : new OpsServer({ started: () => started, notReady: () => notReady });
  const opsPort = config.opsPort === 0 ? 0 : await ops!.listen(config.opsHost, config.opsPort);

  const begun = runtime.clock.monotonicMs();
  const storage = await openEngine(runtime, { directory: config.data, cacheBytes: config.cacheMb * 2 ** 20, retentionMs: config.retention });
  storage.onFatal((error) => {
    notReady = 'the commit log cannot be written';
    log.fatal({ err: error }, 'the engine cannot go on; the process ends and recovers at its next start');
    abandonProcess(storage, 70);
  });
  const { replayedBytes, replayMs } = storage.stats();
  log.info({ replayedBytes, replayMs: Math.round(replayMs) }, 'recovered');
  // Before anything is written: what they hold on to must not go.
  const backups = new BackupService(runtime, storage);
  const archiver = startArchive(config, runtime, storage, log, environment);
  const settings = settingsOf(config);
  const cluster = await Cluster.open(runtime, storage, settings);
  await columnStore(storage).open();
  const password = passwordOf(config, environment);
  if (password !== null) await setSuperuserPassword(cluster, password);

  const hostRules = config.hostsFile !== null ? parseHostRules(readFileSync(config.hostsFile, 'utf8')) : defaultHostRules(config.auth);
  if (!isLoopback(config.host)) {
    const open = rolesWithoutPassword(cluster);
    if (open.length > 0) {
      await storage.close();
      throw new ConfigError(`refusing to listen on ${config.host}: role ${open.map((name) => `"${name}"`).join(', ')} can log in and has no password (use --password-file or OXBOW_PASSWORD)`);
    }
  }
  const secureContext = config.tlsCert !== null ? createSecureContext({ cert: readFileSync(config.tlsCert), key: readFileSync(config.tlsKey!) }) : null;
  const mockSecret = createHash('sha256').update(runtime.random.bytes(32)).digest();
  const state = new ServerState(runtime, cluster, log, hostRules, secureContext, config.maxConnections, mockSecret, backups, new Spinner(runtime.clock, availableParallelism() > 1 ? config.spinMicros / 1000 : 0));
  const metrics = new Metrics(storage, state);
  if (archiver) {
    metrics.watchArchive(() => archiver.status());
    state.flushArchive = () => archiver.flush();
  }
  const schedule = startSchedule(config, runtime, backups, log);
  if (schedule) metrics.watchSchedule(() => schedule.status());
  cluster.metrics = metrics;
  const scrubber = new Scrubber(cluster, runtime, log, config.data, config.scrubEvery);
  metrics.scrubber = scrubber;
  if (ops) {
    ops.metrics = metrics;
    ops.scrubber = scrubber;
  }
  const listener = new Listener(state);
  const port = await listener.listen(config.host, config.port);
  settings.set('port', String(port));
  started = true;
  notReady = null;
  scrubber.start();
  log.info({ port, opsPort, data: config.data, startMs: Math.round(runtime.clock.monotonicMs() - begun) }, 'ready');

  let stopping: Promise<void> | null = null;
  const host = config.host.includes(':') ? `[${config.host}]` : config.host;
  return {
    port, opsPort, url: `postgresql://postgres@${host}:${port}/postgres`, opsUrl: opsPort ? `http://${config.opsHost}:${opsPort}` : null,
    abandon: (code) => abandonProcess(storage, code),
    stop: () => (stopping ??= (async () => {
      notReady = 'draining';
      log.info({ sessions: state.sessionCount }, 'draining');
      await scrubber.stop();
      await listener.drain(config.shutdownGraceMs);
      await storage.checkpoint();
      schedule?.close();
      await archiver?.stop(config.shutdownGraceMs);
      await backups.close();
      await columnStore(storage).close();
      learnedStore(storage, runtime.clock).close();
      await storage.close();
      ops?.close();
      log.info('stopped');
    })()),
  };
}
