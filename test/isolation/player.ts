/**
 * Plays a specification's steps, session by session, on one server, and notes the outcome of each:
 * result, error with SQLSTATE, message, detail and hint, or that it waits (asked of the server, not
 * guessed from time) and what came of it afterwards. Two servers' notes are then compared.
 */
import type pg from 'pg';
import { connect, run, type Outcome } from '../harness/compare.js';

export interface Session {
  /** Run once before the permutation. */
  readonly setup?: readonly string[];
  readonly steps: Readonly<Record<string, string>>;
}

export interface Spec {
  readonly name: string;
  readonly setup: readonly string[];
  readonly sessions: Readonly<Record<string, Session>>;
  /**
   * Names of steps in order, separated by blanks; with a "!" behind it a step ends by a timer of its own
   * (a timeout, a deadlock that it finds) and is waited for. Without them: every interleaving.
   */
  readonly permutations?: readonly string[];
}

const GIVE_UP_MS = 15_000;

/** Every order of all steps that keeps each session's own. */
export function interleavings(spec: Spec): string[][] {
  const out: string[][] = [];
  const lists = Object.values(spec.sessions).map((session) => Object.keys(session.steps));
  const at = lists.map(() => 0);
  const chosen: string[] = [];
  const choose = (): void => {
    let any = false;
    for (let i = 0; i < lists.length; i++) {
      if (at[i]! >= lists[i]!.length) continue;
      any = true;
      chosen.push(lists[i]![at[i]!++]!);
      choose();
      at[i]!--;
      chosen.pop();
    }
    if (!any) out.push([...chosen]);
  };
  choose();
  return out;
}

export function permutationsOf(spec: Spec): string[][] {
  return spec.permutations?.map((line) => line.trim().split(/\s+/)) ?? interleavings(spec);
}

/** Numbers that differ between servers and runs. */
function masked(text: string | undefined): string | undefined {
  return text?.replace(/\b(pivot|transaction|Process|process) \d+/g, '$1 N').replace(/\b(relation|database) \d+/g, '$1 N').replace(/tuple \(\d+,\d+\)/g, 'tuple (N,N)');
}

function shown({ error, tag, rows, notices }: Outcome): unknown {
  if (error) return { error: error.code, message: masked(error.message), ...(error.detail ? { detail: masked(error.detail) } : {}), ...(error.hint ? { hint: error.hint } : {}) };
  return { tag, rows, ...(notices.length > 0 ? { notices: notices.map(masked) } : {}) };
}

interface Player { readonly client: pg.Client; readonly pid: number; running: { readonly step: string; readonly outcome: Promise<Outcome> } | null }

/** The connections of one spec, kept over its permutations. */
export class Stage {
  private readonly players = new Map<string, Player>();

  private constructor(private readonly spec: Spec, private readonly control: pg.Client) {}

  static async open(port: number, spec: Spec): Promise<Stage> {
    const stage = new Stage(spec, await connect(port));
    for (const name of Object.keys(spec.sessions)) {
      const client = await connect(port);
      const pid = Number((await run(client, 'SELECT pg_backend_pid()')).rows[0]![0]);
      stage.players.set(name, { client, pid, running: null });
    }
    return stage;
  }

  async close(): Promise<void> {
    for (const { client } of this.players.values()) await client.end();
    await this.control.end();
  }

  /** Every step's outcome in the order it was known. */
  async play(permutation: readonly string[]): Promise<unknown[]> {
    const { spec, players } = this;
    const log: unknown[] = [];
    const owners = new Map<string, string>();
    for (const [name, session] of Object.entries(spec.sessions)) for (const step of Object.keys(session.steps)) owners.set(step, name);
    for (const sql of spec.setup) {
      const outcome = await run(this.control, sql);
      if (outcome.error) throw new Error(`${spec.name}: ${sql}: ${outcome.error.message}`);
    }
    for (const [name, session] of Object.entries(spec.sessions)) for (const sql of session.setup ?? []) await run(players.get(name)!.client, sql);
    for (const token of permutation) {
      const timed = token.endsWith('!');
      const step = timed ? token.slice(0, -1) : token;
      const player = players.get(owners.get(step)!)!;
      if (player.running && !(await this.settle(player))) {
        // The session itself still waits: this order cannot come about.
        log.push([step, 'cannot come']);
        break;
      }
      if (player.running) await this.finish(player, log);
      player.running = { step, outcome: run(player.client, spec.sessions[owners.get(step)!]!.steps[step]!) };
      if (!timed && !(await this.settle(player))) log.push([step, 'waits']);
      else await this.finish(player, log, step);
      for (const other of players.values()) if (other !== player && other.running && (await this.settle(other))) await this.finish(other, log);
    }
    for (const other of players.values()) {
      if (!other.running) continue;
      if (!(await this.settle(other))) await run(this.control, `SELECT pg_cancel_backend(${other.pid})`);
      await this.finish(other, log);
    }
    for (const { client } of players.values()) await run(client, 'ROLLBACK');
    for (const [gid] of (await run(this.control, 'SELECT gid FROM pg_prepared_xacts')).rows) await run(this.control, `ROLLBACK PREPARED '${gid}'`);
    return log;
  }

  private async finish(player: Player, log: unknown[], step = `(${player.running!.step})`): Promise<void> {
    log.push([step, shown(await player.running!.outcome)]);
    player.running = null;
  }

  /** True when the session's step has ended, false when it waits for another session. */
  private async settle(player: Player): Promise<boolean> {
    let ended = false;
    void player.running!.outcome.then(() => (ended = true));
    const others = [...this.players.values()].map((other) => other.pid).join(',');
    for (const start = Date.now(); !ended; ) {
      await Promise.race([player.running!.outcome, new Promise((resolve) => setTimeout(resolve, 8))]);
      if (ended) break;
      const blocked = await run(this.control, `SELECT pg_catalog.pg_isolation_test_session_is_blocked(${player.pid}, '{${others}}') OR 0 = ANY (pg_blocking_pids(${player.pid}))`);
      if (blocked.rows[0]?.[0] === 't' && !ended) return false;
      if (Date.now() - start > GIVE_UP_MS) throw new Error(`${this.spec.name}: step ${player.running!.step} neither ends nor waits: ${JSON.stringify(blocked)}`);
    }
    return true;
  }
}
