/**
 * Messages from clients: one row per message, `{code, decode}`. The union of messages and the
 * handlers a connection must have follow from the table.
 * Source: PostgreSQL 16 documentation, 55.7 Message Formats.
 */
import { DatabaseError } from '../../engine/errors.js';
import { MessageReader } from './reader.js';

export interface Bind {
  readonly type: 'bind';
  readonly portal: string;
  readonly statement: string;
  readonly parameterFormats: readonly number[];
  /** null is SQL NULL. */
  readonly parameters: readonly (Buffer | null)[];
  readonly resultFormats: readonly number[];
}

export type FrontendMessage =
  | { readonly type: 'query'; readonly text: string }
  | { readonly type: 'parse'; readonly name: string; readonly text: string; readonly parameterTypes: readonly number[] }
  | Bind
  | { readonly type: 'describe'; readonly what: 'statement' | 'portal'; readonly name: string }
  | { readonly type: 'execute'; readonly portal: string; readonly maxRows: number }
  | { readonly type: 'close'; readonly what: 'statement' | 'portal'; readonly name: string }
  | { readonly type: 'flush' }
  | { readonly type: 'sync' }
  | { readonly type: 'terminate' }
  | { readonly type: 'copyData'; readonly data: Buffer }
  | { readonly type: 'copyDone' }
  | { readonly type: 'copyFail'; readonly reason: string }
  | { readonly type: 'functionCall' }
  /** PasswordMessage, SASLInitialResponse or SASLResponse, as the authentication in progress says. */
  | { readonly type: 'authentication'; readonly body: Buffer };

type Decoder = (reader: MessageReader) => FrontendMessage;

function what(reader: MessageReader, message: string): 'statement' | 'portal' {
  const code = reader.byte();
  if (code === 0x53) return 'statement';
  if (code === 0x50) return 'portal';
  throw new DatabaseError('08P01', `invalid ${message} message subtype ${code}`);
}

const NO_FORMATS: readonly number[] = [];

function formats(reader: MessageReader): readonly number[] {
  const count = reader.uint16();
  if (count === 0) return NO_FORMATS;
  const out: number[] = [];
  for (let i = 0; i < count; i++) {
    const format = reader.int16();
    if (format !== 0 && format !== 1) throw new DatabaseError('22023', `unsupported format code: ${format}`);
    out.push(format);
  }
  return out;
}

function decodeBind(reader: MessageReader): FrontendMessage {
  const portal = reader.cstring();
  const statement = reader.cstring();
  const parameterFormats = formats(reader);
  const count = reader.uint16();
  if (parameterFormats.length > 1 && parameterFormats.length !== count)
    throw new DatabaseError('08P01', `bind message has ${parameterFormats.length} parameter formats but ${count} parameters`);
  const parameters: (Buffer | null)[] = [];
  for (let i = 0; i < count; i++) {
    const length = reader.int32();
    parameters.push(length === -1 ? null : reader.bytes(length));
  }
  const resultFormats = formats(reader);
  reader.end();
  return { type: 'bind', portal, statement, parameterFormats, parameters, resultFormats };
}

function decodeParse(reader: MessageReader): FrontendMessage {
  const name = reader.cstring();
  const text = reader.cstring();
  const count = reader.uint16();
  const parameterTypes: number[] = [];
  for (let i = 0; i < count; i++) parameterTypes.push(reader.uint32());
  reader.end();
  return { type: 'parse', name, text, parameterTypes };
}

const code = (letter: string): number => letter.charCodeAt(0);

const SYNC: FrontendMessage = { type: 'sync' };

const MESSAGES: readonly { code: number; decode: Decoder }[] = [
  { code: code('Q'), decode: (r) => ({ type: 'query', text: whole(r, r.cstring()) }) },
  { code: code('P'), decode: decodeParse },
  { code: code('B'), decode: decodeBind },
  { code: code('D'), decode: (r) => ({ type: 'describe', what: what(r, 'DESCRIBE'), name: whole(r, r.cstring()) }) },
  { code: code('E'), decode: (r) => ({ type: 'execute', portal: r.cstring(), maxRows: whole(r, r.int32()) }) },
  { code: code('C'), decode: (r) => ({ type: 'close', what: what(r, 'CLOSE'), name: whole(r, r.cstring()) }) },
  { code: code('H'), decode: (r) => whole(r, { type: 'flush' }) },
  { code: code('S'), decode: (r) => whole(r, SYNC) },
  { code: code('X'), decode: () => ({ type: 'terminate' }) },
  { code: code('d'), decode: (r) => ({ type: 'copyData', data: r.rest() }) },
  { code: code('c'), decode: (r) => whole(r, { type: 'copyDone' }) },
  { code: code('f'), decode: (r) => ({ type: 'copyFail', reason: whole(r, r.cstring()) }) },
  { code: code('F'), decode: () => ({ type: 'functionCall' }) },
  { code: code('p'), decode: (r) => ({ type: 'authentication', body: r.rest() }) },
];

const BY_CODE: readonly (Decoder | undefined)[] = (() => {
  const table = Array<Decoder | undefined>(256).fill(undefined);
  for (const { code: at, decode } of MESSAGES) table[at] = decode;
  return table;
})();

function whole<T>(reader: MessageReader, value: T): T {
  reader.end();
  return value;
}

/** Is this the code of a message that clients send? */
export function isFrontendCode(at: number): boolean {
  return BY_CODE[at] !== undefined;
}

/** Decodes one message body. 08P01 for what does not fit its format, 22021 for invalid UTF-8. */
export function decodeFrontend(at: number, body: Buffer): FrontendMessage {
  const decode = BY_CODE[at];
  if (!decode) throw new DatabaseError('08P01', `invalid frontend message type ${at}`, { severity: 'FATAL' });
  return decode(new MessageReader(body));
}

/** First packets, before authentication: no code byte, a request number instead. */
export type StartupPacket =
  | { readonly type: 'ssl' }
  | { readonly type: 'gssenc' }
  | { readonly type: 'cancel'; readonly pid: number; readonly secret: number }
  | { readonly type: 'startup'; readonly major: number; readonly minor: number; readonly parameters: ReadonlyMap<string, string> };

export const SSL_REQUEST = 80877103;
export const GSSENC_REQUEST = 80877104;
export const CANCEL_REQUEST = 80877102;

export function decodeStartup(body: Buffer): StartupPacket {
  const reader = new MessageReader(body);
  const request = reader.int32();
  if (request === SSL_REQUEST) return { type: 'ssl' };
  if (request === GSSENC_REQUEST) return { type: 'gssenc' };
  if (request === CANCEL_REQUEST) return { type: 'cancel', pid: reader.int32(), secret: reader.int32() };
  const major = request >>> 16;
  const minor = request & 0xffff;
  const parameters = new Map<string, string>();
  if (major === 3) {
    for (;;) {
      if (reader.remaining === 0) throw new DatabaseError('08P01', 'invalid startup packet layout: expected terminator as last byte', { severity: 'FATAL' });
      const name = reader.cstring();
      if (name === '') break;
      parameters.set(name, reader.cstring());
    }
    if (reader.remaining !== 0) throw new DatabaseError('08P01', 'invalid startup packet layout: expected terminator as last byte', { severity: 'FATAL' });
  }
  return { type: 'startup', major, minor, parameters };
}
