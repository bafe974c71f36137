/**
 * Proves in the background that the state is whole: the walk of engine/verify over every keyspace, then every
 * relation against its indexes and constraints. In slices of a millisecond or two with rests between, so that
 * nobody waits for it; a full pass within the period, and one at once after a start that follows a crash.
 *
 *     start -> last pass from <data>/scrub.json -> due? unclean? -> pass -> findings: log, metrics,
 *                                                                   statements on what is damaged fail (XX001)
 */
import type { Logger } from 'pino';
import { DatabaseError } from '../engine/errors.js';
import { readAll, writeAll } from '../engine/log/segment.js';
import type { StorageId } from '../engine/ids.js';
import type { Runtime } from '../engine/runtime.js';
import { Findings } from '../engine/verify/findings.js';
import type { Finding } from '../engine/verify/findings.js';
import type { Cluster } from '../sql/session/cluster.js';
import { checkRelations, describeFinding, storageNames } from '../sql/verify/database-check.js';

export interface ScrubberFigures {
  /** Unix time in seconds of the last whole pass; 0 for none. */
  readonly lastPassSeconds: number;
  readonly lastDurationSeconds: number;
  /** Of the last pass, or of the running one once it has more. */
  readonly findings: number;
  readonly damagedStorages: number;
  readonly passes: number;
  readonly entries: number;
  readonly running: boolean;
  /** Longest stretch without a turn for others. */
  readonly longestSliceSeconds: number;
}

export interface PassResult {
  readonly findings: readonly string[];
  readonly total: number;
  readonly summary: string;
}

interface Remembered {
  readonly finishedMicros: number;
  readonly workMs: number;
  readonly damaged: readonly (readonly [StorageId, string])[];
}

const SLICE_MS = 1.5;
/** Share of this thread's time: in a pass that is not urgent at least and at most, in one after a crash, in one that was asked for. */
const DUTY = { least: 0.02, most: 0.25, unclean: 0.15, asked: 0.5 } as const;
const PROGRESS_MS = 200;
/** A start serves its first clients before a pass begins. */
const FIRST_AFTER_MS = 2000;

export class Scrubber {
  #last: Remembered = { finishedMicros: 0, workMs: 0, damaged: [] };
  #passes = 0;
  #findings = 0;
  #damaged = 0;
  #entries = 0;
  #longestMs = 0;
  #running: Promise<PassResult> | undefined;
  #stopTimer: (() => void) | undefined;
  #stopped = false;

  /** `periodMs` 0: only when asked, and after a crash. */
  constructor(private readonly cluster: Cluster, private readonly runtime: Runtime, private readonly log: Logger, private readonly directory: string, private readonly periodMs: number) {}

  get figures(): ScrubberFigures {
    return {
      lastPassSeconds: this.#last.finishedMicros / 1e6, lastDurationSeconds: this.#last.workMs / 1000, findings: this.#findings, damagedStorages: this.#damaged,
      passes: this.#passes, entries: this.#entries, running: this.#running !== undefined, longestSliceSeconds: this.#longestMs / 1000,
    };
  }

  start(): void {
    this.#last = this.#load();
    this.#markDamaged(new Map(this.#last.damaged));
    this.#findings = this.#last.damaged.length;
    const unclean = !this.cluster.storage.stats().cleanStart;
    if (unclean || this.#last.damaged.length > 0) this.#schedule(FIRST_AFTER_MS, unclean ? 'the last stop was not in order' : 'damage was found before', DUTY.unclean);
    else this.#scheduleNext();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopTimer?.();
    await this.#running?.catch(() => undefined);
  }

  #scheduleNext(): void {
    if (this.periodMs === 0) return;
    const sinceMs = (this.runtime.clock.nowMicros() - this.#last.finishedMicros) / 1000;
    // Half the period is for the pass itself.
    const inMs = this.#last.finishedMicros === 0 ? FIRST_AFTER_MS : Math.max(FIRST_AFTER_MS, this.periodMs / 2 - sinceMs);
    const duty = Math.min(DUTY.most, Math.max(DUTY.least, (4 * this.#last.workMs) / this.periodMs));
    this.#schedule(inMs, 'its time has come', duty);
  }

  #schedule(inMs: number, reason: string, duty: number): void {
    this.#stopTimer?.();
    if (this.#stopped) return;
    // A timer holds at most 24 days.
    this.#stopTimer = this.runtime.clock.after(Math.min(inMs, 2 ** 31 - 1), () => {
      this.pass(reason, duty).then(
        () => this.#scheduleNext(),
        (error: unknown) => {
          if (this.#stopped) return;
          this.log.error({ err: error }, 'scrubbing failed');
          this.#schedule(60_000, reason, duty);
        },
      );
    });
  }

  /** One whole pass; a second one waits for the first. `duty`: the share of this thread's time that it may take. */
  async pass(reason: string, duty: number = DUTY.asked, progress?: (what: string, done: number) => void): Promise<PassResult> {
    while (this.#running) await this.#running.catch(() => undefined);
    const running = this.#pass(reason, duty, progress);
    this.#running = running;
    try {
      return await running;
    } finally {
      this.#running = undefined;
    }
  }

  async #pass(reason: string, duty: number, progress?: (what: string, done: number) => void): Promise<PassResult> {
    const { clock } = this.runtime;
    const begun = clock.monotonicMs();
    let workMs = 0;
    let sliceStart = begun;
    const turn = (): Promise<void> | undefined => {
      const elapsed = clock.monotonicMs() - sliceStart;
      if (elapsed < SLICE_MS) return undefined;
      if (elapsed > this.#longestMs) this.#longestMs = elapsed;
      workMs += elapsed;
      if (this.#stopped) throw new DatabaseError('57P01', 'the server stops');
      return new Promise((resolve) => clock.after(elapsed * (1 / duty - 1), () => {
        sliceStart = clock.monotonicMs();
        resolve();
      }));
    };
    const resumed = (): void => void (sliceStart = clock.monotonicMs());
    this.log.info({ reason }, 'scrubbing');
    let saidMs = -Infinity;
    const say = (what: string, done: number): void => {
      this.#entries++;
      if (!progress || clock.monotonicMs() - saidMs < PROGRESS_MS) return;
      saidMs = clock.monotonicMs();
      progress(what, done);
    };
    const findings = new Findings((finding) => this.#found(finding));
    const walked = await this.cluster.storage.walkState(findings, { turn, resumed, progress: say });
    sliceStart = clock.monotonicMs();
    const relations = await checkRelations(this.cluster, findings, { turn, resumed, progress: say });
    workMs += clock.monotonicMs() - sliceStart;
    const nameOf = storageNames(this.cluster);
    const damaged = new Map<StorageId, string>();
    for (const finding of findings.list) if (finding.storage !== undefined && !damaged.has(finding.storage)) damaged.set(finding.storage, describeFinding(finding, nameOf));
    this.#markDamaged(damaged);
    this.#findings = findings.total;
    this.#passes++;
    this.#last = { finishedMicros: clock.nowMicros(), workMs, damaged: [...damaged] };
    this.#save();
    const figures = { entries: walked.entries, rows: walked.rows, storages: walked.storages, relations: relations.relations, findings: findings.total, workMs: Math.round(workMs), tookMs: Math.round(clock.monotonicMs() - begun) };
    if (findings.total === 0) this.log.info(figures, 'scrubbed: sound');
    else this.log.error(figures, 'scrubbed: damage was found');
    return {
      findings: findings.list.map((finding) => describeFinding(finding, nameOf)), total: findings.total,
      summary: `${walked.entries} entries, ${walked.rows} rows in ${walked.storages} storages; ${relations.relations} tables with ${relations.rows} rows against their indexes and constraints`,
    };
  }

  #found(finding: Finding): void {
    this.log.error({ damage: describeFinding(finding, storageNames(this.cluster)) }, 'damage');
  }

  #markDamaged(damaged: ReadonlyMap<StorageId, string>): void {
    this.#damaged = damaged.size;
    this.cluster.damaged.set(damaged);
  }

  // ---- what a restart must know

  #load(): Remembered {
    const { files } = this.runtime;
    const path = `${this.directory}/scrub.json`;
    if (!files.exists(path)) return this.#last;
    const file = files.open(path, 'read');
    try {
      const found = JSON.parse(Buffer.from(readAll(file)).toString('utf8')) as Remembered;
      return Number.isFinite(found.finishedMicros) && Number.isFinite(found.workMs) && Array.isArray(found.damaged) ? found : this.#last;
    } catch {
      // Damaged itself: a pass is due.
      return this.#last;
    } finally {
      file.close();
    }
  }

  #save(): void {
    const { files } = this.runtime;
    const path = `${this.directory}/scrub.json`;
    try {
      files.remove(`${path}.new`);
      const file = files.open(`${path}.new`, 'create');
      try {
        writeAll(file, Buffer.from(JSON.stringify(this.#last)), 0);
        file.dataSyncSync();
      } finally {
        file.close();
      }
      files.rename(`${path}.new`, path);
    } catch (error) {
      this.log.warn({ err: error }, 'the result of scrubbing could not be kept');
    }
  }
}
