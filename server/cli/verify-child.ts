/**
 * The part of `oxbow verify` that reads the data directory, in a process of its own: a damaged LMDB file can
 * crash whoever reads it, and then the parent says where it was. Messages by IPC.
 */
import type { StorageId } from '../../engine/ids.js';
import { nodeRuntime } from '../../engine/runtime-node.js';
import { Findings } from '../../engine/verify/findings.js';
import { checkOffline } from '../../engine/verify/offline.js';
import { Cluster } from '../../sql/session/cluster.js';
import { checkRelations, describeFinding, storageNames } from '../../sql/verify/database-check.js';

export type VerifyMessage =
  | { readonly kind: 'progress'; readonly what: string; readonly done: number }
  | { readonly kind: 'finding'; readonly text: string }
  | { readonly kind: 'done'; readonly findings: number; readonly summary: string }
  | { readonly kind: 'refused'; readonly text: string };

const PROGRESS_MS = 200;

const say = (message: VerifyMessage): void => void process.send!(message);

async function verify(directory: string): Promise<void> {
  const runtime = nodeRuntime();
  const findings = new Findings();
  let saidMs = -Infinity;
  let saidWhat = '';
  // The parent must know what was being read if this process dies.
  const progress = (what: string, done: number): void => {
    const now = runtime.clock.monotonicMs();
    if (what === saidWhat && now - saidMs < PROGRESS_MS) return;
    saidMs = now;
    saidWhat = what;
    say({ kind: 'progress', what, done });
  };
  const check = await checkOffline(runtime, directory, findings, { progress });
  let nameOf: (storage: StorageId) => string | undefined = () => undefined;
  let relations = { relations: 0, rows: 0 };
  if (check.storage) {
    try {
      const cluster = await Cluster.open(runtime, check.storage);
      nameOf = storageNames(cluster);
      relations = await checkRelations(cluster, findings, { turn: () => undefined, progress });
    } catch (error) {
      findings.add({ part: 'catalog', message: `cannot be read: ${(error as Error).message}` });
    }
  }
  for (const finding of findings.list) say({ kind: 'finding', text: describeFinding(finding, nameOf) });
  if (findings.total > findings.list.length) say({ kind: 'finding', text: `${findings.total - findings.list.length} more findings are not listed` });
  const sums = check.sumsCompared > 0 ? `, ${check.sumsCompared} storages compared with the log's sums` : '';
  say({
    kind: 'done', findings: findings.total,
    summary: `log ${check.logFrom} to ${check.logTo}${check.clean ? '' : ' (not closed in order)'}; state at ${check.applied}, ${check.entries} entries, ${check.rows} rows in ${check.storages} storages${sums}; ` +
      `${relations.relations} tables with ${relations.rows} rows against their indexes and constraints`,
  });
}

verify(process.argv[2]!).then(
  () => process.disconnect(),
  (error: unknown) => {
    const expected = (error as { name?: string }).name === 'DatabaseError';
    const { message, hint } = error as Error & { hint?: string };
    if (expected) say({ kind: 'refused', text: `${message}${hint ? `\n${hint}` : ''}` });
    else {
      // LMDB refuses to go on over a page that is damaged.
      say({ kind: 'finding', text: `state: cannot be read: ${message}` });
      say({ kind: 'done', findings: 1, summary: 'the check could not be finished' });
    }
    process.disconnect();
  },
);
