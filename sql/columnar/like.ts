/**
 * LIKE over all texts of a dictionary at once, on their bytes: `%a%b%` is a search for `a` through the whole
 * blob and for `b` behind each place. Patterns with `_` or escapes are left to the row executor's function.
 * Bytes will do: in UTF-8 no character's bytes are part of another's.
 */

export interface LikePattern {
  readonly parts: readonly Buffer[];
  /** The text begins with the first part; it ends with the last. */
  readonly fromStart: boolean;
  readonly toEnd: boolean;
  readonly negated: boolean;
}

/** The pattern cut at its `%`; null for one that needs more than that. */
export function likePattern(pattern: string, negated: boolean): LikePattern | null {
  if (/[_\\]/.test(pattern)) return null;
  const parts = pattern.split('%');
  // Without any % it is an equality.
  if (parts.length < 2) return null;
  const inner = parts.filter((part) => part !== '').map((part) => Buffer.from(part));
  return inner.length === 0 ? null : { parts: inner, fromStart: parts[0] !== '', toEnd: parts[parts.length - 1] !== '', negated };
}

/** 1 where the text between `offsets[i]` and `offsets[i + 1]` matches. */
export function matchAll(data: Buffer, offsets: Uint32Array, pattern: LikePattern, out: Uint8Array): void {
  const count = offsets.length - 1;
  const { parts, fromStart, negated } = pattern;
  out.fill(negated ? 1 : 0, 0, count);
  const hit = negated ? 0 : 1;
  const [first] = parts as [Buffer];
  if (fromStart) {
    for (let i = 0; i < count; i++) {
      const from = offsets[i]!;
      const to = offsets[i + 1]!;
      if (startsWith(data, from, to, first) && rest(data, from + first.length, to, pattern)) out[i] = hit;
    }
    return;
  }
  let i = 0;
  for (let at = data.indexOf(first, 0); at >= 0; at = data.indexOf(first, at)) {
    while (offsets[i + 1]! <= at) i++;
    const to = offsets[i + 1]!;
    // Found across the border of two texts.
    if (at + first.length > to) {
      at++;
      continue;
    }
    // A later place of the first part leaves less room for the others: the first place decides, unless it must be the end.
    if (pattern.toEnd && parts.length === 1 ? endsWith(data, at, to, first) : rest(data, at + first.length, to, pattern)) out[i] = hit;
    at = to;
  }
}

function startsWith(data: Buffer, from: number, to: number, part: Buffer): boolean {
  if (to - from < part.length) return false;
  for (let n = 0; n < part.length; n++) if (data[from + n] !== part[n]) return false;
  return true;
}

function endsWith(data: Buffer, from: number, to: number, part: Buffer): boolean {
  return to - from >= part.length && startsWith(data, to - part.length, to, part);
}

/** The parts after the first one, in `from`..`to`. */
function rest(data: Buffer, from: number, to: number, { parts, toEnd }: LikePattern): boolean {
  let at = from;
  for (let n = 1; n < parts.length; n++) {
    const part = parts[n]!;
    if (toEnd && n === parts.length - 1) return endsWith(data, at, to, part);
    const found = data.subarray(at, to).indexOf(part);
    if (found < 0) return false;
    at += found + part.length;
  }
  // Only one part, from the start: it must be the whole where nothing may follow.
  return !toEnd || parts.length > 1 || at === to;
}
