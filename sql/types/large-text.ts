/**
 * Texts of many megabytes, piece by piece. JavaScript keeps a concatenation as a tree of its parts
 * until somebody looks inside; then it copies all of it at once, which for 100 MB takes 50 ms in which
 * nobody else is served. Whoever makes such a text from parts (the wire, the store, repeat()) notes them
 * here, and whoever only passes it on (to the store, to the wire, length()) takes the parts again.
 *
 * The register is short and forgets the oldest: it holds texts that are on their way.
 */

/** Texts longer than this (in UTF-16 units) are worth the trouble. */
export const LARGE_TEXT = 1 << 20;
/** Length of the parts that others are cut into. */
export const PIECE_LENGTH = 256 << 10;
const REMEMBERED = 8;

/**
 * By length: a text is compared only with one that has the same length, which is quick when they are the
 * same string (one address) or differ early, as strings that happen to be equally long do. Noting and
 * forgetting compare nothing.
 */
const known = new Map<number, { readonly text: string; readonly pieces: readonly string[] }>();

/** Notes that `text` is the concatenation of `pieces`, none of which ends within a surrogate pair. */
export function rememberPieces(text: string, pieces: readonly string[]): string {
  if (text.length <= LARGE_TEXT) return text;
  known.delete(text.length);
  known.set(text.length, { text, pieces });
  if (known.size > REMEMBERED) known.delete(known.keys().next().value!);
  return text;
}

export function forgetPieces(text: string): void {
  known.delete(text.length);
}

/** The parts of a text, in order: as remembered, or cut. */
export function* piecesOf(text: string): Generator<string> {
  const found = text.length > LARGE_TEXT ? known.get(text.length) : undefined;
  if (found && found.text === text) {
    yield* found.pieces;
    return;
  }
  for (let at = 0; at < text.length; ) {
    let end = Math.min(text.length, at + PIECE_LENGTH);
    // not between the halves of a surrogate pair
    if (end < text.length && (text.charCodeAt(end - 1) & 0xfc00) === 0xd800) end--;
    yield text.slice(at, end);
    at = end;
  }
}

/** Bytes of the text in UTF-8. */
export function utf8LengthOf(text: string): number {
  if (text.length <= LARGE_TEXT) return Buffer.byteLength(text);
  let bytes = 0;
  for (const piece of piecesOf(text)) bytes += Buffer.byteLength(piece);
  return bytes;
}

/** How many of the last bytes of `bytes` begin a UTF-8 sequence that does not end in it. */
export function unfinishedTail(bytes: Uint8Array): number {
  const { length } = bytes;
  for (let back = 1; back <= Math.min(3, length); back++) {
    const byte = bytes[length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return needs > back ? back : 0;
  }
  return 0;
}

/** Puts a text together from bytes that come in parts; `decode` is given whole characters. */
export class TextAssembler {
  private readonly pieces: string[] = [];
  private text = '';
  private rest: Uint8Array = new Uint8Array(0);

  constructor(private readonly decode: (bytes: Uint8Array) => string) {}

  add(part: Uint8Array): void {
    const bytes = this.rest.length > 0 ? Buffer.concat([this.rest, part]) : part;
    const tail = unfinishedTail(bytes);
    const piece = this.decode(bytes.subarray(0, bytes.length - tail));
    this.rest = bytes.slice(bytes.length - tail);
    this.pieces.push(piece);
    this.text += piece;
  }

  finish(): string {
    if (this.rest.length > 0) {
      const piece = this.decode(this.rest);
      this.pieces.push(piece);
      this.text += piece;
    }
    return rememberPieces(this.text, this.pieces);
  }
}
