/**
 * A pipeline's kernel on threads of its own (kernel-threads.ts), where everything it reads and fills can be there. The source
 * is cut in morsels which the threads take one after the other; what each of them filled is put together here.
 *
 * A kernel stays on the session's thread where it is expected to be over before handing it over pays (kernel-costs.ts), where it calls
 * functions that live here (the row executor's closures, numbering of texts), or where nothing may wait.
 */
import { Pending } from '../../engine/pending.js';
import { coreCount } from '../../engine/runtime-node.js';
import { othersWait } from '../../engine/turns.js';
import { noteKernelSpeed } from './kernel-costs.js';
import { helperName } from './kernel-functions.js';
import { kernelMemory } from './kernel-memory.js';
import type { Kernel, KernelView } from './kernel.js';
import { CONTROL_LENGTH, type Argument, type ArrayId, type Numbers, type OwnResult, type OwnSpec, type TaskView } from './kernel-protocol.js';
import type { RunningTask } from './kernel-threads.js';
import type { PipelineRun } from './pipeline-run.js';
import { columnStore } from './relation-columns.js';
import { TooMuch } from './segment.js';
import type { Source } from './source.js';

/** What a kernel fills and each thread has for itself: as it stands among the kernel's values, and as a thread makes it. */
export interface Own { readonly value: unknown; readonly spec: OwnSpec }

/** A sink whose rows may be taken by other threads. */
export interface ThreadedSink {
  readonly own: readonly Own[];
  /** Whether what several threads filled can be put together. */
  readonly many: boolean;
  /** Takes over what the threads filled: by thread, in the order of `own`. */
  combine(results: readonly (readonly OwnResult[])[]): void | Generator<Pending, void>;
}

/**
 * Expected milliseconds from which on a kernel is handed over: while this thread has nothing else to do, where several threads
 * take it (each compiles it for itself), and where only one does, which is no faster; and while others want this thread.
 */
const WORTH_SHARING_MS = 6;
const WORTH_MOVING_MS = 100;
const WORTH_GIVING_WAY_MS = 0.4;
/** Values of debug_parallel_query by which whatever can goes to threads. */
const FORCING: ReadonlySet<string> = new Set(['on', 'regress']);
const MORSEL_ROWS = 32768;
/** Larger arrays are not copied with the message. */
const COPIED_BYTES = 4096;

interface ThreadRun {
  readonly run: PipelineRun;
  readonly kernel: Kernel;
  readonly source: Source;
  readonly sink: object;
  readonly threaded: ThreadedSink;
  /** Threads that the settings allow (plannedThreads). */
  readonly planned: number;
  /** Counts of rows, added up. */
  readonly counters: Iterable<Float64Array>;
  /** The plan node whose rows are the source, where EXPLAIN shows the threads. */
  readonly node: object | null;
}

/** Runs the kernel over the source. False: it has to run here. */
export function* runOnThreads(input: ThreadRun): Generator<Pending, boolean> {
  const { run, source, node, threaded, planned } = input;
  const { state } = run;
  const { kernels } = columnStore(state.context.storage);
  if (kernels === null || source.rows === 0) return false;
  const counters = [...input.counters].map((counter): Own => ({ value: counter, spec: { kind: 'cells', of: 'float64', length: counter.length, initial: 0 } }));
  const own = [...threaded.own, ...counters];
  const arrays = new Map<ArrayId, Numbers>();
  const described = describe(input, own, (array) => {
    const sent = inSharedMemory(array);
    const id = kernels.arrayId(sent);
    arrays.set(id, sent);
    return id;
  });
  if (!described) return false;
  const details = node === null ? undefined : state.instrument?.(node).details;
  const morsels = morselsOf(source);
  // One core is the sessions' own while they have other work.
  const free = kernels.sessionsAreBusy ? Math.max(1, coreCount() - 1) : planned;
  const wanted = Math.min(threaded.many ? planned : 1, free, morsels.length / 3);
  const control = new Int32Array(new SharedArrayBuffer(CONTROL_LENGTH * 4));
  const task = kernels.start({ ...described, own: own.map(({ spec }) => spec), morsels, control, memory: kernelMemory(state) / wanted }, arrays, wanted, threadLimit(state.context.settings.get('max_parallel_workers')));
  details?.set('Workers Planned', planned);
  details?.set('Workers Launched', task.threads);
  yield* finished(task, run);
  for (const speeds of task.speeds) speeds.forEach((speed, at) => noteKernelSpeed(described.sources[at]!, speed));
  // Kernels on threads refuse for the memory's sake only.
  if (task.refused) throw new TooMuch(input.sink);
  if (task.error) throw task.error;
  const { length } = threaded.own;
  for (const results of task.results) counters.forEach(({ value }, c) => addTo(value as Float64Array, results[length + c]!));
  const combining = threaded.combine(task.results);
  if (combining) yield* combining;
  return true;
}

/** Waits for the task; a statement that ends meanwhile stops it, and keeps its arrays until it has stopped. */
function* finished(task: RunningTask, { arrays }: PipelineRun): Generator<Pending, void> {
  const release = arrays.hold();
  arrays.whenOver(() => task.release());
  void task.until.then(release);
  const waiting = new Pending(task.until, 'IPC', 'ExecuteGather');
  try {
    while (!task.finished) yield waiting;
  } finally {
    if (!task.finished) task.stop();
  }
}

function addTo(counter: Float64Array, result: OwnResult): void {
  if (result.kind === 'cells') for (let n = 0; n < counter.length; n++) counter[n] = counter[n]! + result.array[n]!;
}

function threadLimit(setting: string | undefined): number {
  return Math.min(coreCount(), Number(setting ?? 0));
}

/** Threads for a kernel that takes so long on one, 0 where it is to stay here. `many`: several can share it. */
export function plannedThreads({ state }: PipelineRun, expectedMs: number, many: boolean): number {
  const { settings } = state.context;
  const forced = FORCING.has(settings.get('debug_parallel_query') ?? '');
  if (!state.canWait || (expectedMs < WORTH_GIVING_WAY_MS && !forced)) return 0;
  const allowed = Math.min(Number(settings.get('max_parallel_workers_per_gather') ?? 0), threadLimit(settings.get('max_parallel_workers')));
  if (allowed <= 0 || forced || expectedMs >= WORTH_MOVING_MS || (many && allowed > 1 && expectedMs >= WORTH_SHARING_MS)) return Math.max(0, allowed);
  return othersWait() || columnStore(state.context.storage).kernels?.sessionsAreBusy ? allowed : 0;
}

function morselsOf(source: Source): Int32Array {
  const found: number[] = [];
  source.views.forEach(({ first = 0, rows }, v) => {
    for (let from = first; from < rows; from += MORSEL_ROWS) found.push(v, from, Math.min(rows, from + MORSEL_ROWS));
  });
  const morsels = new Int32Array(new SharedArrayBuffer(found.length * 4));
  morsels.set(found);
  return morsels;
}

/** The kernel as another thread makes it; null when it cannot. */
function describe({ kernel, source }: ThreadRun, own: readonly Own[], idOf: (array: Numbers) => ArrayId): { values: Argument[]; views: TaskView[]; sources: string[] } | null {
  const ownAt = new Map(own.map(({ value }, n) => [value, n]));
  const values: Argument[] = [];
  for (const value of kernel.values) {
    const argument = argumentOf(value, ownAt);
    if (!argument) return null;
    values.push(argument);
  }
  const sources: string[] = [];
  const views: TaskView[] = [];
  for (const view of source.kernelViews) {
    const described = viewOf(kernel, view, idOf);
    if (!described) return null;
    const text = kernel.source(view);
    let at = sources.indexOf(text);
    if (at < 0) at = sources.push(text) - 1;
    views.push({ ...described, source: at });
  }
  return { values, views, sources };
}

function argumentOf(value: unknown, ownAt: ReadonlyMap<unknown, number>): Argument | null {
  const own = ownAt.get(value);
  if (own !== undefined) return { kind: 'own', own };
  if (value === null) return { kind: 'plain', value };
  switch (typeof value) {
    case 'number': case 'string': case 'boolean': case 'bigint': case 'undefined':
      return { kind: 'plain', value };
    case 'function': {
      const name = helperName(value);
      return name === undefined ? null : { kind: 'function', name };
    }
    default:
      return isNumbers(value) ? { kind: 'array', array: inSharedMemory(value) } : null;
  }
}

function viewOf(kernel: Kernel, view: KernelView, idOf: (array: Numbers) => ArrayId): Omit<TaskView, 'source'> | null {
  const lists = { data: [] as ArrayId[], nulls: [] as ArrayId[], refs: [] as ArrayId[], lifted: [] as ArrayId[] };
  const halves: number[] = [];
  const places: number[] = [];
  const dictionaries: ({ readonly length: number } | null)[] = [];
  for (const { what, column } of kernel.reads) {
    if (what === 'places') places[column] = view.places[column]!;
    else if (what === 'dictionaries') {
      const found = view.dictionaries[column];
      dictionaries[column] = found ? { length: found.length } : null;
    } else {
      if (what === 'halves') halves.push(column);
      const list = what === 'halves' ? 'data' : what;
      const found = view[list][column] ?? null;
      if (found !== null && !isNumbers(found)) return null;
      lists[list][column] = found ? idOf(found) : 0;
    }
  }
  return { ...lists, halves, places, dictionaries, base: view.base, skip: view.skip ? idOf(view.skip) : 0 };
}

function isNumbers(value: unknown): value is Numbers {
  return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

/** Copies of arrays that are not shared and do not change: tables of results, rows of the moment. */
const copies = new WeakMap<Numbers, Numbers>();

/** The array, or what stands for it in a message. Kernels only read it where it is not shared. */
function inSharedMemory(array: Numbers): Numbers {
  if (array.buffer instanceof SharedArrayBuffer || array.byteLength <= COPIED_BYTES) return array;
  let copy = copies.get(array);
  if (!copy) {
    copy = new (array.constructor as new (buffer: SharedArrayBuffer) => Numbers)(new SharedArrayBuffer(array.byteLength));
    copy.set(array as never);
    copies.set(array, copy);
  }
  return copy;
}
