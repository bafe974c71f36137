/** The thread that reads the state and the log for backups, beside the server's work. */
import { DatabaseError } from '../errors.js';
import type { Lsn, StorageId } from '../ids.js';
import { openStateFile } from '../packed/open.js';
import { SegmentReader } from '../log/segment-reader.js';
import { lowerThreadPriority, nodeRuntime, workerContext } from '../runtime-node.js';
import type { FromScanner, ScanWorkerData, ToScanner } from './scan-protocol.js';
import { StateScan } from './state-scan.js';

lowerThreadPriority(10);
const context = workerContext<ScanWorkerData, ToScanner, FromScanner>();
const kv = openStateFile({ path: context.data.statePath });
const log = new SegmentReader(nodeRuntime(), context.data.logDirectory);
/** The scan of the newest snapshot asked for. */
let scan: { readonly s: number; readonly scan: StateScan } | undefined;

function scanAt(s: Lsn, dropped: readonly StorageId[]): StateScan {
  if (scan?.s !== s) scan = { s, scan: new StateScan(kv, s, new Set(dropped)) };
  return scan.scan;
}

function serve(message: ToScanner): FromScanner {
  switch (message.kind) {
    case 'log':
      return { kind: 'range', id: message.id, range: log.read(message.from, message.durable, message.maxBytes) };
    case 'lookup':
      return { kind: 'found', id: message.id, found: scanAt(message.s, message.dropped).lookup(message.keys, message.maxBytes) };
    case 'read':
      return { kind: 'part', id: message.id, part: scanAt(message.s, message.dropped).read(message.cursor, message.maxBytes) };
  }
}

context.onMessage((message) => {
  try {
    const answer = serve(message);
    // The bytes change hands: nothing is copied.
    const bytes = answer.kind === 'part' ? answer.part.bytes : answer.kind === 'found' ? answer.found.bytes : undefined;
    context.post(answer, bytes ? [bytes.buffer] : []);
  } catch (error) {
    const known = error instanceof DatabaseError ? error : undefined;
    context.post({ kind: 'error', id: message.id, sqlstate: known?.sqlstate ?? 'XX000', message: error instanceof Error ? error.message : String(error), detail: known?.detail });
  }
});
