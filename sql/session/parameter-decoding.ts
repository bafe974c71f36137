/** Parameters of Bind: bytes in text or binary format to datums. */
import { DatabaseError } from '../../engine/errors.js';
import { turn } from '../../engine/turns.js';
import type { EvalContext } from '../functions/context.js';
import type { DataType } from '../types/data-type.js';
import type { Datum } from '../types/datum.js';
import { LARGE_TEXT, TextAssembler } from '../types/large-text.js';

/** Of parameters up to this length it is seen first whether they are ASCII. */
const ASCII_BYTES = 4096;
const DECODE_SLICE = 1 << 20;

type Parameters = readonly (Uint8Array | null)[];

/** Which parameters are texts so long that they are decoded ahead, in slices; null for none. */
export function largeTexts(parameters: Parameters, formats: readonly number[]): number[] | null {
  let large: number[] | null = null;
  for (let i = 0; i < parameters.length; i++) {
    const bytes = parameters[i];
    if (bytes !== null && bytes.length > LARGE_TEXT && formatOf(formats, i) === 0) (large ??= []).push(i);
  }
  return large;
}

/** Texts of many megabytes, decoded in slices with turns between. */
export async function decodeLarge(parameters: Parameters, which: readonly number[]): Promise<Map<number, string>> {
  const texts = new Map<number, string>();
  for (const i of which) {
    const bytes = parameters[i]!;
    const assembler = new TextAssembler(decodeText);
    for (let at = 0; at < bytes.length; at += DECODE_SLICE) {
      assembler.add(bytes.subarray(at, at + DECODE_SLICE));
      await turn();
    }
    texts.set(i, assembler.finish());
  }
  return texts;
}

/** `texts`: those that were decoded ahead. */
export function decodeParameters(parameters: Parameters, formats: readonly number[], types: readonly DataType[], texts: ReadonlyMap<number, string> | null, context: EvalContext): Datum[] {
  const params = new Array<Datum>(parameters.length);
  for (let i = 0; i < params.length; i++) {
    const bytes = parameters[i];
    if (bytes === null) params[i] = null;
    else if (formatOf(formats, i) === 1) params[i] = types[i].receive(bytes, -1, context);
    else params[i] = types[i].input(texts?.get(i) ?? decodeText(bytes), -1, context);
  }
  return params;
}

/** One format for all, or one per parameter; none: text. */
function formatOf(formats: readonly number[], i: number): number {
  return formats.length === 0 ? 0 : formats.length === 1 ? formats[0] : formats[i];
}

const latin1Slice = (Buffer.prototype as unknown as { latin1Slice(this: Uint8Array, start: number, end: number): string }).latin1Slice;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decodeText(bytes: Uint8Array): string {
  const { length } = bytes;
  if (length <= ASCII_BYTES) {
    let i = 0;
    for (; i < length; i++) {
      const byte = bytes[i]!;
      if (byte === 0 || byte > 127) break;
    }
    // A fraction of what the decoder takes.
    if (i === length) return latin1Slice.call(bytes, 0, length);
  }
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw new DatabaseError('22021', 'invalid byte sequence for encoding "UTF8"');
  }
  if (text.includes('\0')) throw new DatabaseError('22021', 'invalid byte sequence for encoding "UTF8": 0x00');
  return text;
}
