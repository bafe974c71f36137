/**
 * "Not now": returned instead of a result by anything that would have to wait (a lock, a rival's
 * commit, a slow store). The caller waits for `until` and then calls the same thing again; every
 * operator and every engine call keeps its own state, so calling again resumes. Waiting is never
 * `async` per row: only the portal driver awaits.
 */
export class Pending {
  constructor(
    readonly until: Promise<void>,
    /** PostgreSQL's wait_event_type and wait_event, as pg_stat_activity shows them. */
    readonly waitEventType: string,
    readonly waitEvent: string,
  ) {
    // Who gave up waiting (a cancelled statement, one that failed first) does not hear of a failure; that must not end the process.
    until.catch(() => undefined);
  }
}
