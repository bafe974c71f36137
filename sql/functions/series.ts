/** generate_series over every type that has it. */
import { DatabaseError } from '../../engine/errors.js';
import { compareInterval } from '../types/date-time.js';
import type { Int8, Interval } from '../types/datum.js';
import { Numeric, compareNumeric } from '../types/numeric.js';
import { findZone, type Zone } from '../types/timezone.js';
import type { EvalContext } from './context.js';
import { set, setc } from './define.js';
import type { SqlFunction } from './function.js';
import { addToTimestamp, addToTimestamptz, isInfinite, zoneOf } from './intervals.js';

const zeroStep = (): DatabaseError => new DatabaseError('22023', 'step size cannot equal zero');

function* integers(start: number, stop: number, step = 1): Generator<number> {
  if (step === 0) throw zeroStep();
  if (step > 0) for (let i = start; i <= stop; i += step) yield i;
  else for (let i = start; i >= stop; i += step) yield i;
}

function* bigIntegers(start: Int8, stop: Int8, step: Int8 = 1): Generator<Int8> {
  if (step === 0) throw zeroStep();
  if (typeof start === 'number' && typeof stop === 'number' && typeof step === 'number') {
    const s = step;
    if (s > 0) for (let i = start; i <= stop; i += s) yield i;
    else for (let i = start; i >= stop; i += s) yield i;
    return;
  }
  const [last, by] = [BigInt(stop), BigInt(step)];
  for (let i = BigInt(start); by > 0n ? i <= last : i >= last; i += by) {
    yield i <= 9007199254740991n && i >= -9007199254740991n ? Number(i) : i;
  }
}

function finite(value: Numeric, what: 'start' | 'stop' | 'step'): void {
  const noun = what === 'step' ? 'step size' : `${what} value`;
  if (value.isNaN) throw new DatabaseError('22023', `${noun} cannot be NaN`);
  if (!value.isFinite) throw new DatabaseError('22023', `${noun} cannot be infinity`);
}

function* numerics(start: Numeric, stop: Numeric, step: Numeric = Numeric.one): Generator<Numeric> {
  finite(start, 'start');
  finite(stop, 'stop');
  finite(step, 'step');
  if (step.isZero) throw zeroStep();
  for (let value = start; step.sign > 0 ? compareNumeric(value, stop) <= 0 : compareNumeric(value, stop) >= 0; value = value.add(step)) yield value;
}

function* timestamps(start: Int8, stop: Int8, step: Interval, add: (value: Int8) => Int8): Generator<Int8> {
  const direction = compareInterval(step, { months: 0, days: 0, micros: 0 });
  if (direction === 0) throw zeroStep();
  for (let value = start; direction > 0 ? value <= stop : value >= stop; value = add(value)) {
    yield value;
    if (isInfinite(value)) return;
  }
}

export function requireZone(name: string): Zone {
  const zone = findZone(name);
  if (!zone) throw new DatabaseError('22023', `time zone "${name}" not recognized`);
  return zone;
}

export const seriesFunctions: readonly SqlFunction[] = [
  set(['generate_series(int4,int4)', 'generate_series(int4,int4,int4)'], integers),
  set(['generate_series(int8,int8)', 'generate_series(int8,int8,int8)'], bigIntegers),
  set(['generate_series(numeric,numeric)', 'generate_series(numeric,numeric,numeric)'], numerics),
  set('generate_series(timestamp,timestamp,interval)', (start: Int8, stop: Int8, step: Interval) => timestamps(start, stop, step, (value) => addToTimestamp(value, step))),
  setc('generate_series(timestamptz,timestamptz,interval)', (start: Int8, stop: Int8, step: Interval, context: EvalContext) => {
    const zone = zoneOf(context);
    return timestamps(start, stop, step, (value) => addToTimestamptz(value, step, zone));
  }),
  set('generate_series(timestamptz,timestamptz,interval,text)', (start: Int8, stop: Int8, step: Interval, zoneName: string) => {
    const zone = requireZone(zoneName);
    return timestamps(start, stop, step, (value) => addToTimestamptz(value, step, zone));
  }),
];
