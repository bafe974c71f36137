/**
 * The archiver's thread: copies the log to the target as it becomes durable. A closed segment goes
 * at once, the open one at an interval. A failure is tried again with growing pauses, for ever.
 */
import type { Lsn } from '../ids.js';
import { SegmentReader } from '../log/segment-reader.js';
import { lowerThreadPriority, nodeRuntime, workerContext } from '../runtime-node.js';
import type { ArchiveWorkerData, FromArchiver, ToArchiver } from './archive-protocol.js';
import { Fenced, LogWriter } from './log-writer.js';
import { openTarget } from './target.js';

const POLL_MS = 200;
const PIECE_BYTES = 16 << 20;
const RETRY_MIN_MS = 250;
const RETRY_MAX_MS = 60_000;

lowerThreadPriority(5);
const runtime = nodeRuntime();
const context = workerContext<ArchiveWorkerData, ToArchiver, FromArchiver>();
const { data } = context;
const durableCell = new Float64Array(data.durable);
const target = openTarget(runtime, data.target, data.environment);
const reader = new SegmentReader(runtime, data.logDirectory);
const writer = new LogWriter(target, data.lineage, { random: runtime.random, key: data.key }, runtime.processes.identity());

let position = 0 as Lsn;
let begun = false;
let fenced = false;
let stopping = false;
let flushTo = 0;
let flushes = 0;
let lastUploadMs = runtime.clock.monotonicMs();
let failures = 0;
let wake: () => void = () => undefined;

const pause = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });

async function begin(): Promise<void> {
  await writer.begin();
  const durable = durableCell[0]! as Lsn;
  if (writer.end > durable) throw new Fenced(`the archive of lineage ${data.lineage.id} goes to ${writer.end}, beyond this server's ${durable}`);
  position = writer.end || (data.lineage.parent ? data.lineage.parent.lsn : (reader.oldest() ?? durable));
  begun = true;
  context.post({ kind: 'archived', lsn: position, bytes: 0, objects: 0 });
}

/** Archives what is due. True when there may be more at once. */
async function step(): Promise<boolean> {
  if (!begun) await begin();
  const durable = durableCell[0]! as Lsn;
  if (position >= durable) return false;
  const range = reader.read(position, durable, PIECE_BYTES);
  if (range.kind === 'trimmed') {
    context.post({ kind: 'gap', from: position, to: range.oldest });
    position = range.oldest;
    return true;
  }
  const due = range.closed || range.bytes.length >= PIECE_BYTES || stopping || flushTo > position || runtime.clock.monotonicMs() - lastUploadMs >= data.timeoutMs;
  if (range.bytes.length === 0 || !due) return false;
  const bytes = await writer.write(range.from, range.to, range.bytes);
  position = range.to;
  lastUploadMs = runtime.clock.monotonicMs();
  context.post({ kind: 'archived', lsn: position, bytes, objects: 1 });
  return true;
}

async function run(): Promise<void> {
  let retryMs = RETRY_MIN_MS;
  for (;;) {
    let more = false;
    try {
      more = !fenced && (await step());
      failures = 0;
      retryMs = RETRY_MIN_MS;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (error instanceof Fenced) {
        fenced = true;
        context.post({ kind: 'fenced', message });
      } else {
        context.post({ kind: 'failed', message, failures: ++failures });
        if (stopping) break;
        await pause(retryMs * (0.5 + runtime.random.uniform() / 2));
        retryMs = Math.min(retryMs * 2, RETRY_MAX_MS);
        continue;
      }
    }
    if (more) continue;
    if (flushes > 0 && (fenced || position >= flushTo)) {
      for (; flushes > 0; flushes--) context.post({ kind: 'flushed', lsn: position });
    }
    if (stopping) break;
    await pause(POLL_MS);
  }
  context.post({ kind: 'stopped', lsn: position });
  context.exit();
}

context.onMessage((message) => {
  if (message.kind === 'stop') stopping = true;
  else {
    flushTo = Math.max(flushTo, durableCell[0]!);
    flushes++;
  }
  wake();
});
void run();
