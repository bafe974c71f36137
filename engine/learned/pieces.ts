/**
 * Positions in an ascending list as pieces of lines: the levels of a PGM index.
 *
 *     level 2   one piece, or few to be searched          predicts a piece of level 1, within INNER_ERROR
 *     level 1   pieces over the first keys of level 0     predicts a piece of level 0
 *     level 0   pieces over the keys                      predicts a key's position, within the index's error
 *
 * The bound holds because it was measured: after a line is fitted each of its keys is predicted with the very arithmetic of a
 * look-up, and the piece ends before the first one that is off. Slopes are never negative, so what lies between two keys is
 * predicted between them: at most one further off.
 */
import { PieceFitter, type Line } from './piece-fitter.js';

/** Keys in ascending order, each once. */
export interface KeyOrder {
  readonly length: number;
  /** How far key `i` is above key `base`, as look-ups compute it; it never falls as `i` rises. */
  distance(base: number, i: number): number;
}

export interface Level {
  /** Where each piece begins in the level below, and at last the length of that. */
  readonly starts: Uint32Array;
  readonly slopes: Float64Array;
  readonly intercepts: Float64Array;
}

/** Error of the levels above the keys: their search is a walk over neighbours. */
export const INNER_ERROR = 4;
/** Points between two looks at the clock. */
const STEP = 1 << 16;

/** Levels over `keys`, lowest first; none over no keys. Yields now and then. */
export function* fitLevels(keys: KeyOrder, error: number): Generator<void, Level[]> {
  const levels: Level[] = [];
  if (keys.length === 0) return levels;
  let level = yield* fitLevel(keys, error);
  levels.push(level);
  let firsts = level.starts;
  while (level.slopes.length > 1) {
    const below = firsts;
    const { length } = level.slopes;
    level = yield* fitLevel({ length: level.slopes.length, distance: (base, i) => keys.distance(below[base]!, below[i]!) }, INNER_ERROR);
    // Keys that lines say nothing about, such as doubles of all magnitudes.
    if (level.slopes.length > length / 2) break;
    levels.push(level);
    firsts = Uint32Array.from(level.starts, (start) => below[Math.min(start, below.length - 1)]!);
  }
  return levels;
}

function* fitLevel(keys: KeyOrder, error: number): Generator<void, Level> {
  const { length } = keys;
  const starts: number[] = [];
  const slopes: number[] = [];
  const intercepts: number[] = [];
  const fitter = new PieceFitter(error);
  const line: Line = { slope: 0, intercept: 0 };
  let sinceStep = 0;
  for (let start = 0; start < length; ) {
    fitter.restart();
    let end = start;
    while (end < length && fitter.add(keys.distance(start, end), end - start)) {
      end++;
      if ((++sinceStep & (STEP - 1)) === 0) yield;
    }
    fitter.line(line);
    const intercept = start + line.intercept;
    let sound = start;
    while (sound < end && Math.abs(Math.floor(intercept + line.slope * keys.distance(start, sound)) - sound) <= error) sound++;
    starts.push(start);
    if (sound === start) {
      // Not even the first: the arithmetic left what doubles can hold.
      slopes.push(0);
      intercepts.push(start);
      start++;
      continue;
    }
    slopes.push(line.slope);
    intercepts.push(intercept);
    start = sound;
  }
  starts.push(length);
  return { starts: Uint32Array.from(starts), slopes: Float64Array.from(slopes), intercepts: Float64Array.from(intercepts) };
}

export function levelBytes(levels: readonly Level[]): number {
  let bytes = 0;
  for (const level of levels) bytes += level.starts.byteLength + level.slopes.byteLength + level.intercepts.byteLength;
  return bytes;
}
