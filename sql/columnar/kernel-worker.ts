/**
 * A thread that runs kernels beside the sessions' thread. It takes morsels of its tasks until none is left; tasks share
 * the thread by turns of some milliseconds. Results stay in this thread's memory until the statement has read them.
 */
import { DatabaseError } from '../../engine/errors.js';
import { lowerThreadPriority, nodeRuntime, workerContext } from '../../engine/runtime-node.js';
import { ArrayLease } from './array-lease.js';
import { compileKernel, type KernelFunction, type KernelView } from './kernel.js';
import { RunSpeed } from './kernel-costs.js';
import { helperNamed } from './kernel-functions.js';
import { makeOwn, type OwnThing } from './kernel-own.js';
import { CONTROL_NEXT, CONTROL_STOP, type ArrayId, type KernelAnswer, type KernelRequest, type KernelTask, type Numbers, type TaskView } from './kernel-protocol.js';
import { NotColumnar } from './segment.js';

/** How long a task goes on before the next one has its turn. */
const TURN_MS = 8;
/** Rows between two looks at the clock, and at whether to stop: at first, and within these bounds by how long they take. */
const FIRST_SLICE = 4096;
const LEAST_SLICE = 64;
const LAST_SLICE = 65536;
const SLOW_SLICE_MS = 4;
/** Point work goes first where there are not cores enough. */
const NICE = 10;

interface Running {
  readonly task: KernelTask;
  readonly lease: ArrayLease;
  readonly own: readonly OwnThing[];
  readonly values: readonly unknown[];
  readonly kernels: readonly KernelFunction[];
  readonly views: readonly KernelView[];
  /** By source of the task. */
  readonly speeds: readonly RunSpeed[];
  /** The morsel at hand, -1 for none, and the first of its rows that is left. */
  morsel: number;
  from: number;
  slice: number;
}

const context = workerContext<null, KernelRequest, KernelAnswer>();
const { clock } = nodeRuntime();
const running: Running[] = [];
const leases = new Map<number, ArrayLease>();
/** What views are made of: sent once. */
const arrays = new Map<ArrayId, Numbers>();
let scheduled = false;

lowerThreadPriority(NICE);

context.onMessage((request) => {
  if (request.kind === 'release') {
    leases.get(request.id)?.release();
    leases.delete(request.id);
    return;
  }
  if (request.kind === 'forget') {
    for (const id of request.ids) arrays.delete(id);
    return;
  }
  try {
    running.push(begin(request));
    schedule();
  } catch (error) {
    fail(request.id, error);
  }
});

function begin(task: KernelTask): Running {
  for (const [id, array] of task.arrays) arrays.set(id, array);
  const lease = new ArrayLease();
  leases.set(task.id, lease);
  const own: OwnThing[] = [];
  for (const spec of task.own) own.push(makeOwn(spec, lease, own));
  const values = task.values.map((argument) => {
    switch (argument.kind) {
      case 'plain': return argument.value;
      case 'array': return argument.array;
      case 'function': return helperNamed(argument.name);
      case 'own': return own[argument.own]!.value;
    }
  });
  return { task, lease, own, values, kernels: task.sources.map(compileKernel), views: task.views.map(viewOf), speeds: task.sources.map(() => new RunSpeed()), morsel: -1, from: 0, slice: FIRST_SLICE };
}

function viewOf({ base, data, halves, nulls, refs, lifted, places, dictionaries, skip }: TaskView): KernelView {
  const found = (id: ArrayId): Numbers | null => (id === 0 ? null : arrays.get(id)!);
  const upper: (Int32Array | null)[] = [];
  for (const column of halves) {
    const whole = found(data[column]!);
    upper[column] = whole instanceof BigInt64Array ? new Int32Array(whole.buffer, whole.byteOffset, whole.length * 2) : null;
  }
  return {
    base, places: [...places], halves: upper, data: data.map(found), lifted: lifted.map(found), skip: found(skip) as Uint8Array | null,
    nulls: nulls.map(found) as (Uint8Array | null)[], refs: refs.map(found) as (Int32Array | null)[],
    // Of a dictionary kernels that travel ask the length.
    dictionaries: dictionaries as unknown as KernelView['dictionaries'],
  };
}

function schedule(): void {
  if (scheduled || running.length === 0) return;
  scheduled = true;
  setImmediate(turn);
}

function turn(): void {
  scheduled = false;
  const one = running.shift()!;
  try {
    if (advance(one)) context.post({ id: one.task.id, own: stopped(one.task) ? null : one.own.map((thing) => thing.result()), refused: false, error: null, speeds: one.speeds.map(({ rows, ns }) => ({ rows, ns })) });
    else running.push(one);
  } catch (error) {
    Atomics.store(one.task.control, CONTROL_STOP, 1);
    fail(one.task.id, error);
  }
  schedule();
}

function stopped({ control }: KernelTask): boolean {
  return Atomics.load(control, CONTROL_STOP) !== 0;
}

/** A turn's worth of work; true when there is no more. */
function advance(one: Running): boolean {
  const { task, values, kernels, views } = one;
  const { morsels, control } = task;
  const end = clock.monotonicMs() + TURN_MS;
  for (let now = end - TURN_MS; now < end; ) {
    if (stopped(task)) return true;
    if (one.morsel < 0) {
      const next = Atomics.add(control, CONTROL_NEXT, 1);
      if (next * 3 >= morsels.length) return true;
      one.morsel = next;
      one.from = morsels[next * 3 + 1]!;
    }
    const view = morsels[one.morsel * 3]!;
    const last = morsels[one.morsel * 3 + 2]!;
    const to = Math.min(last, one.from + one.slice);
    const { source } = task.views[view]!;
    kernels[source]!(values, views[view]!, one.from, to);
    const rows = to - one.from;
    one.from = to;
    let bytes = 0;
    for (const thing of one.own) {
      thing.settle?.();
      bytes += thing.bytes;
    }
    if (bytes > task.memory) throw new NotColumnar();
    if (to === last) {
      for (const thing of one.own) thing.passed?.(one.morsel);
      one.morsel = -1;
    }
    const after = clock.monotonicMs();
    one.speeds[source]!.passed(rows, after - now);
    if (after - now > SLOW_SLICE_MS && one.slice > LEAST_SLICE) one.slice /= 2;
    else if (after - now < SLOW_SLICE_MS / 4 && one.slice < LAST_SLICE) one.slice *= 2;
    now = after;
  }
  return false;
}

function fail(id: number, error: unknown): void {
  const refused = error instanceof NotColumnar;
  const { sqlstate, message } = error instanceof DatabaseError ? error : { sqlstate: 'XX000', message: `parallel worker failed: ${error instanceof Error ? error.message : String(error)}` };
  context.post({ id, own: null, refused, error: refused ? null : { sqlstate, message }, speeds: [] });
}
