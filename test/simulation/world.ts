/**
 * A seeded run of the whole of engine and sessions: several clients run transactions over a simulated server, on
 * one scheduler, with a clock, a disk and a state that obey it. Which client goes on, when timers fire, when
 * the process is killed, the power fails, the disk is full or a sync fails: all of it follows from the seed, so a failure
 * replays from it. `trace` is a hash of everything that clients saw.
 *
 * What is checked: every answer of a transfer table sums up to zero; the history of list appends shows no
 * anomaly that its isolation level forbids, nothing acknowledged is lost and nothing is there by half, over all crashes;
 * in the end `oxbow verify`'s checks find nothing, and a last crash takes nothing back.
 */
import { createHash } from 'node:crypto';
import type { DatabaseError } from '../../engine/errors.js';
import { Findings } from '../../engine/verify/findings.js';
import { checkRelations, describeFinding, storageNames } from '../../sql/verify/database-check.js';
import { FaultyFiles } from '../crash/faulty-files.js';
import { PowerCutKeyValueStore } from '../crash/power-cut-kv.js';
import { seededRandom } from '../crash/simulated-runtime.js';
import { FORBIDDEN, findAnomalies } from '../history/checker.js';
import type { Transaction } from '../history/checker.js';
import type { Answer } from './collecting-sink.js';
import { ConnectionLost, SimulatedProcess } from './process.js';
import type { ProcessOptions, SimulatedConnection } from './process.js';

const KEYS = 5;
const ACCOUNTS = 8;
const LEVELS = ['read committed', 'repeatable read', 'serializable'] as const;
/** Steps without an end of all clients' work: something waits for ever. */
const PATIENCE = 60_000;

export interface Outcome {
  readonly trace: string;
  readonly transactions: number;
  readonly committed: number;
  readonly crashes: number;
  readonly faults: readonly string[];
}

/** What went wrong, with the seed that shows it again. */
export class SimulationFailure extends Error {}

export class World {
  private readonly random: () => number;
  private readonly trace = createHash('sha256');
  private readonly disk = new FaultyFiles();
  private process!: SimulatedProcess;
  private processes = 0;
  private readonly options: ProcessOptions;
  private readonly level: (typeof LEVELS)[number];
  private readonly transactions: Transaction[] = [];
  private readonly faults: string[] = [];
  private crashes = 0;
  private nextValue = 1;
  /** Clients between two statements, each waiting to be let on. */
  private waiting: { readonly name: string; go(): void }[] = [];
  private working = 0;
  private failure: Error | undefined;

  /** `broken`: options of a server with a fault of its own. */
  constructor(private readonly seed: number, broken: Partial<ProcessOptions> = {}) {
    this.random = seededRandom(seed);
    this.level = LEVELS[this.below(3)]!;
    this.options = { collectEveryMs: this.below(3) * 20, ...(this.below(3) === 0 ? { bulkThreshold: 4000 } : {}), ...broken };
  }

  private below(n: number): number {
    return Math.floor(this.random() * n);
  }

  private chance(of: number): boolean {
    return this.random() < of;
  }

  private note(text: string): void {
    this.trace.update(`${text}\n`);
    if (process.env.OXBOW_SIMULATION_TRACE) console.log(text);
  }

  async run(steps: number): Promise<Outcome> {
    await this.start(new PowerCutKeyValueStore());
    await this.setUp();
    const clients = 3 + this.below(4);
    for (let i = 0; i < clients; i++) this.begin(`client ${i}`, () => this.appender(`client ${i}`, steps));
    this.begin('transfers', () => this.transfers(steps));
    this.begin('owner', () => this.owner(steps));
    if (this.chance(0.7)) this.begin('keeper', () => this.keeper(steps));
    for (let step = 0; this.working > 0; step++) {
      if (step > PATIENCE) throw this.problem(`${this.working} clients wait for ever`);
      await this.step(this.chance(0.5));
      if (this.failure) throw this.failure;
    }
    this.disk.failNextSync = false;
    this.disk.free = Infinity;
    // What the engine could not log, and gave up over, is known after a restart only.
    if (this.process.fatal !== undefined) await this.crash('exit after an error');
    const before = await this.lists();
    this.checkHistory(before);
    await this.verify();
    await this.crash('power cut');
    const after = await this.lists();
    if (JSON.stringify([...before]) !== JSON.stringify([...after])) throw this.problem('a crash at rest changed the lists');
    await this.verify();
    this.process.kill();
    return { trace: this.trace.digest('hex'), transactions: this.transactions.length, committed: this.transactions.filter(({ outcome }) => outcome === 'committed').length, crashes: this.crashes, faults: this.faults };
  }

  private problem(text: string): SimulationFailure {
    return new SimulationFailure(`seed ${this.seed} (${this.level}, ${this.crashes} crashes; ${this.faults.join(', ')}): ${text}`);
  }

  // ---- the scheduler

  private begin(name: string, work: () => Promise<void>): void {
    this.working++;
    work().then(
      () => this.working--,
      (error: unknown) => {
        this.working--;
        this.failure ??= error instanceof SimulationFailure ? error : this.problem(`${name}: ${(error as Error).stack ?? String(error)}`);
      },
    );
  }

  /** A client may go on when it is chosen. */
  private turn(name: string): Promise<void> {
    return new Promise((resolve) => this.waiting.push({ name, go: resolve }));
  }

  private async step(letOn: boolean): Promise<void> {
    if (this.process.fatal !== undefined) await this.crash(this.chance(0.5) ? 'power cut' : 'exit after an error');
    else if (this.chance(0.0015)) await this.crash(this.chance(0.5) ? 'power cut' : 'kill');
    else if (this.chance(0.001)) this.disturb();
    if (letOn && this.waiting.length > 0) {
      const [chosen] = this.waiting.splice(this.below(this.waiting.length), 1);
      chosen!.go();
    } else this.process.runtime.clock.step(this.waiting.length === 0 ? 5000 : 5);
    await cycle();
  }

  private disturb(): void {
    const kind = this.below(3);
    if (kind === 0) {
      this.faults.push('EIO');
      this.disk.failNextSync = true;
    } else if (kind === 1) {
      this.faults.push('full disk');
      this.disk.free = this.below(2 << 20);
      this.process.runtime.clock.after(30, () => (this.disk.free = Infinity));
    } else {
      const backends = [...this.process.cluster.backends.all()];
      const chosen = backends[this.below(backends.length)];
      this.faults.push('cancel');
      chosen?.cancel();
    }
  }

  /** Runs the simulation until `promise` is settled. */
  private async drive<T>(promise: Promise<T>): Promise<T> {
    let done = false;
    promise.then(() => (done = true), () => (done = true));
    for (let i = 0; !done; i++) {
      if (i > PATIENCE) throw this.problem('a single action waits for ever');
      this.process.runtime.clock.step(5000);
      await cycle();
    }
    return promise;
  }

  // ---- processes

  private async start(kv: PowerCutKeyValueStore): Promise<void> {
    const startMs = this.process?.runtime.clock.currentMs ?? 0;
    this.process = new SimulatedProcess(this.disk, kv, this.seed * 1000 + this.processes++, startMs, this.options);
    await this.drive(this.process.start());
  }

  private async crash(kind: 'kill' | 'power cut' | 'exit after an error'): Promise<void> {
    this.crashes++;
    this.note(`crash ${this.crashes}: ${kind}`);
    this.faults.push(kind);
    const { kv } = this.process;
    this.process.kill();
    this.disk.failNextSync = false;
    this.disk.free = Infinity;
    if (kind === 'power cut') this.disk.powerCut(this.random);
    await this.start(kind === 'power cut' ? kv.powerCut(this.random) : kv.killed());
    await cycle();
  }

  // ---- clients

  private async ask(name: string, connection: SimulatedConnection, text: string): Promise<Answer> {
    await this.turn(name);
    this.note(`${name}: ${text}`);
    try {
      const answer = await connection.query(text);
      this.note(`${name} <- ${answer.error ? `${answer.error.sqlstate} ${answer.error.message}` : `${answer.tag} ${JSON.stringify(answer.rows)}`}`);
      return answer;
    } catch (error) {
      this.note(`${name} <- lost`);
      throw error;
    }
  }

  /** Transactions of reads and appends, whose outcomes are known or not. */
  private async appender(name: string, count: number): Promise<void> {
    let connection = this.process.connect();
    for (let i = 0; i < count; i++) {
      const transaction: Transaction = { id: this.transactions.length + 1, outcome: 'aborted', reads: [], writes: [] };
      this.transactions.push(transaction);
      let committing = false;
      try {
        let failed = (await this.ask(name, connection, `BEGIN ISOLATION LEVEL ${this.level}`)).error;
        for (let op = 1 + this.below(4); op > 0 && !failed; op--) failed = await this.operation(name, connection, transaction);
        if (failed || this.chance(0.08)) {
          await this.ask(name, connection, 'ROLLBACK');
          continue;
        }
        committing = true;
        const { error, tag } = await this.ask(name, connection, 'COMMIT');
        if (!error && tag === 'COMMIT') transaction.outcome = 'committed';
        // The log could not be written: whether it was is not known.
        else if (error && /^(08|57P|58|XX)/.test(error.sqlstate)) transaction.outcome = 'unknown';
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        if (committing) transaction.outcome = 'unknown';
        connection = await this.reconnect(name);
      }
    }
  }

  private async reconnect(name: string): Promise<SimulatedConnection> {
    for (;;) {
      await this.turn(name);
      if (this.process.alive && this.process.cluster) return this.process.connect();
    }
  }

  private async operation(name: string, connection: SimulatedConnection, transaction: Transaction): Promise<DatabaseError | undefined> {
    const key = this.below(KEYS);
    const roll = this.random();
    if (roll < 0.1) {
      // What a savepoint takes back never was.
      const savepoint = await this.ask(name, connection, 'SAVEPOINT s');
      if (savepoint.error) return savepoint.error;
      const inner = await this.ask(name, connection, append(key, this.nextValue++));
      return (await this.ask(name, connection, 'ROLLBACK TO s')).error ?? (inner.error && /^(40|57|53|XX)/.test(inner.error.sqlstate) ? inner.error : undefined);
    }
    if (roll < 0.5) {
      const where = ['k = ', 'k2 = ', 'k + 0 = '][this.below(3)]!;
      const { error, rows } = await this.ask(name, connection, `SELECT v FROM lists WHERE ${where}${key}${this.chance(0.1) ? ' FOR SHARE' : ''}`);
      if (error) return error;
      if (!transaction.writes.some((write) => write.key === key)) transaction.reads.push({ key, value: versions(rows[0]?.[0]).at(-1) ?? null });
      return undefined;
    }
    const value = this.nextValue++;
    transaction.writes.push({ key, value });
    return (await this.ask(name, connection, append(key, value))).error;
  }

  /** Moves sums about; whoever looks finds zero. */
  private async transfers(count: number): Promise<void> {
    let connection = this.process.connect();
    for (let i = 0; i < count; i++) {
      try {
        if (this.chance(0.4)) {
          const { rows, error } = await this.ask('transfers', connection, this.chance(0.5) ? 'SELECT sum(n) FROM account' : 'SELECT sum(n) FROM account WHERE n > -1000000');
          if (!error && rows[0]![0] !== '0') throw this.problem(`accounts sum up to ${rows[0]![0]}`);
          continue;
        }
        const [from, to, amount] = [this.below(ACCOUNTS), this.below(ACCOUNTS), this.below(100)];
        await this.ask('transfers', connection, `BEGIN; UPDATE account SET n = n - ${amount} WHERE id = ${from}; UPDATE account SET n = n + ${amount} WHERE id = ${to}; COMMIT`);
        await this.ask('transfers', connection, 'ROLLBACK');
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        connection = await this.reconnect('transfers');
      }
    }
  }

  /** DDL, bulk loads, large values, and what is given up half way. */
  private async owner(count: number): Promise<void> {
    let connection = this.process.connect();
    for (let i = 0; i < count / 2; i++) {
      const n = this.below(3);
      const texts = [
        `CREATE TABLE IF NOT EXISTS made${n} (id int PRIMARY KEY, v text)`,
        `INSERT INTO made${n} SELECT g, repeat('x', g % 40) FROM generate_series(1, ${20 + this.below(150)}) g ON CONFLICT (id) DO UPDATE SET v = excluded.v`,
        `CREATE INDEX IF NOT EXISTS made${n}_v ON made${n} (v)`, `DROP INDEX IF EXISTS made${n}_v`, `TRUNCATE made${n}`, `DROP TABLE IF EXISTS made${n}`,
        `INSERT INTO made${n} VALUES (1000, repeat('large', 10000)) ON CONFLICT (id) DO UPDATE SET v = excluded.v`,
        `BEGIN; UPDATE made${n} SET v = v || 'u'; DELETE FROM made${n} WHERE id % 3 = 0; ROLLBACK`, `UPDATE made${n} SET v = v || 'u'`,
        `ALTER TABLE made${n} ADD COLUMN w int DEFAULT 7`, `DELETE FROM made${n} WHERE id % 2 = 0`,
      ];
      try {
        await this.ask('owner', connection, texts[this.below(texts.length)]!);
        await this.ask('owner', connection, 'ROLLBACK');
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        connection = await this.reconnect('owner');
      }
    }
  }

  private async keeper(count: number): Promise<void> {
    let connection = this.process.connect();
    for (let i = 0; i < count / 4; i++)
      try {
        await this.ask('keeper', connection, ['VACUUM', 'CHECKPOINT', 'ANALYZE'][this.below(3)]!);
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        connection = await this.reconnect('keeper');
      }
  }

  // ---- before and after

  private async command(text: string): Promise<Answer> {
    const answer = await this.drive(this.process.connect().query(text));
    if (answer.error) throw this.problem(`${text}: ${answer.error.message}`);
    return answer;
  }

  private async setUp(): Promise<void> {
    await this.command('CREATE TABLE lists (k int PRIMARY KEY, k2 int, v text); CREATE INDEX lists_k2 ON lists (k2)');
    await this.command(`CREATE TABLE account (id int PRIMARY KEY, n int); CREATE INDEX account_n ON account (n); INSERT INTO account SELECT g, 0 FROM generate_series(0, ${ACCOUNTS - 1}) g`);
  }

  private async lists(): Promise<Map<number, number[]>> {
    const { rows } = await this.command('SELECT k, v FROM lists ORDER BY k');
    const sum = await this.command('SELECT sum(n) FROM account');
    if (sum.rows[0]![0] !== '0') throw this.problem(`accounts sum up to ${sum.rows[0]![0]}`);
    this.note(JSON.stringify(rows));
    return new Map(rows.map(([k, v]) => [Number(k), versions(v)]));
  }

  private checkHistory(lists: ReadonlyMap<number, readonly number[]>): void {
    const forbidden = FORBIDDEN[this.level]!;
    const found = findAnomalies({ transactions: this.transactions, versions: lists }).filter(({ kind }) => forbidden.includes(kind));
    if (found.length > 0) throw this.problem(found.map(({ kind, detail }) => `${kind}: ${detail}`).join('; '));
    // All of a transaction or nothing.
    const there = new Set([...lists.values()].flat());
    for (const { id, outcome, writes } of this.transactions) {
      const kept = writes.filter(({ value }) => there.has(value)).length;
      if (kept !== 0 && kept !== writes.length) throw this.problem(`of transaction ${id} (${outcome}) ${kept} of ${writes.length} writes are there`);
    }
  }

  private async verify(): Promise<void> {
    const findings = new Findings();
    await this.drive(this.process.storage.walkState(findings, { turn: () => undefined }));
    await this.drive(checkRelations(this.process.cluster, findings, { turn: () => undefined }));
    const nameOf = storageNames(this.process.cluster);
    if (findings.total > 0) throw this.problem(findings.list.map((finding) => describeFinding(finding, nameOf)).join('; '));
  }
}

function append(key: number, value: number): string {
  return `INSERT INTO lists VALUES (${key}, ${key}, '${value}') ON CONFLICT (k) DO UPDATE SET v = lists.v || ',' || excluded.v`;
}

const versions = (text: string | null | undefined): number[] => (text ? text.split(',').map(Number) : []);

/** One turn of the event loop: everything that can go on without time passing does. */
function cycle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
