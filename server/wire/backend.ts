/**
 * Messages to clients, each a function that writes one into the connection's buffer.
 * Source: PostgreSQL 16 documentation, 55.7 Message Formats and 55.8 Error and Notice Message Fields.
 */
import type { DatabaseError } from '../../engine/errors.js';
import type { ResultColumn } from '../../sql/executor/row-source.js';
import type { WireWriter } from './writer.js';

const CODE = {
  authentication: 0x52, parameterStatus: 0x53, backendKeyData: 0x4b, readyForQuery: 0x5a, rowDescription: 0x54, dataRow: 0x44, commandComplete: 0x43,
  emptyQuery: 0x49, error: 0x45, notice: 0x4e, parseComplete: 0x31, bindComplete: 0x32, closeComplete: 0x33, noData: 0x6e, parameterDescription: 0x74,
  portalSuspended: 0x73, copyIn: 0x47, copyOut: 0x48, copyData: 0x64, copyDone: 0x63, notification: 0x41, negotiate: 0x76,
} as const;
export const DATA_ROW = CODE.dataRow;

function empty(writer: WireWriter, code: number): void {
  writer.begin(code);
  writer.end();
}

export function authenticationOk(writer: WireWriter): void {
  authentication(writer, 0);
}

export function authentication(writer: WireWriter, kind: number, body?: (writer: WireWriter) => void): void {
  writer.begin(CODE.authentication);
  writer.int32(kind);
  body?.(writer);
  writer.end();
}

export function saslMechanisms(writer: WireWriter, mechanisms: readonly string[]): void {
  authentication(writer, 10, (w) => {
    for (const mechanism of mechanisms) w.cstring(mechanism);
    w.byte(0);
  });
}

export function saslContinue(writer: WireWriter, data: string): void {
  authentication(writer, 11, (w) => w.text(data));
}

export function saslFinal(writer: WireWriter, data: string): void {
  authentication(writer, 12, (w) => w.text(data));
}

export function parameterStatus(writer: WireWriter, name: string, value: string): void {
  writer.begin(CODE.parameterStatus);
  writer.cstring(name);
  writer.cstring(value);
  writer.end();
}

export function backendKeyData(writer: WireWriter, pid: number, secret: number): void {
  writer.begin(CODE.backendKeyData);
  writer.int32(pid);
  writer.int32(secret);
  writer.end();
}

/** Newest minor version served, and the protocol options that are not known. */
export function negotiateProtocolVersion(writer: WireWriter, minor: number, unknownOptions: readonly string[]): void {
  writer.begin(CODE.negotiate);
  writer.int32((3 << 16) | minor);
  writer.int32(unknownOptions.length);
  for (const option of unknownOptions) writer.cstring(option);
  writer.end();
}

/** 'I' idle, 'T' in a transaction block, 'E' in a failed one. */
export function readyForQuery(writer: WireWriter, status: 'I' | 'T' | 'E'): void {
  writer.begin(CODE.readyForQuery);
  writer.byte(status.charCodeAt(0));
  writer.end();
}

/** `typeLength` is pg_type.typlen of a column's type. Answers a copy of the message. */
export function rowDescription(writer: WireWriter, columns: readonly ResultColumn[], formats: readonly number[], typeLength: (oid: number) => number): Uint8Array {
  writer.begin(CODE.rowDescription);
  writer.int16(columns.length);
  columns.forEach((column, i) => {
    writer.cstring(column.name);
    writer.uint32(column.tableOid);
    writer.int16(column.attributeNumber);
    writer.uint32(column.typeOid);
    writer.int16(typeLength(column.typeOid));
    writer.int32(column.typmod);
    writer.int16(formats[i] ?? 0);
  });
  writer.end();
  return writer.lastMessage();
}

export function commandComplete(writer: WireWriter, tag: string): void {
  writer.begin(CODE.commandComplete);
  writer.cstring(tag);
  writer.end();
}

export const emptyQueryResponse = (writer: WireWriter): void => empty(writer, CODE.emptyQuery);
export const parseComplete = (writer: WireWriter): void => empty(writer, CODE.parseComplete);
export const bindComplete = (writer: WireWriter): void => empty(writer, CODE.bindComplete);
export const closeComplete = (writer: WireWriter): void => empty(writer, CODE.closeComplete);
export const noData = (writer: WireWriter): void => empty(writer, CODE.noData);
export const portalSuspended = (writer: WireWriter): void => empty(writer, CODE.portalSuspended);
export const copyDone = (writer: WireWriter): void => empty(writer, CODE.copyDone);

export function parameterDescription(writer: WireWriter, types: readonly number[]): void {
  writer.begin(CODE.parameterDescription);
  writer.int16(types.length);
  for (const type of types) writer.uint32(type);
  writer.end();
}

export function copyResponse(writer: WireWriter, direction: 'in' | 'out', binary: boolean, columns: number): void {
  writer.begin(direction === 'in' ? CODE.copyIn : CODE.copyOut);
  writer.byte(binary ? 1 : 0);
  writer.int16(columns);
  for (let i = 0; i < columns; i++) writer.int16(binary ? 1 : 0);
  writer.end();
}

export function copyData(writer: WireWriter, data: Uint8Array): void {
  writer.begin(CODE.copyData);
  writer.bytes(data);
  writer.end();
}

/** Without a copy of the data, which nobody changes any more. */
export function copyDataLent(writer: WireWriter, data: Uint8Array): void {
  writer.begin(CODE.copyData);
  writer.lend(data);
  writer.end();
}

export function notification(writer: WireWriter, pid: number, channel: string, payload: string): void {
  writer.begin(CODE.notification);
  writer.int32(pid);
  writer.cstring(channel);
  writer.cstring(payload);
  writer.end();
}

export interface Notice {
  readonly severity: string;
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
}

function field(writer: WireWriter, letter: string, value: string | number | undefined): void {
  if (value === undefined || value === '') return;
  writer.byte(letter.charCodeAt(0));
  writer.cstring(String(value));
}

export function errorResponse(writer: WireWriter, error: DatabaseError): void {
  writer.begin(CODE.error);
  field(writer, 'S', error.severity);
  field(writer, 'V', error.severity);
  field(writer, 'C', error.sqlstate);
  writer.byte(0x4d);
  writer.cstring(error.message);
  field(writer, 'D', error.detail);
  field(writer, 'H', error.hint);
  field(writer, 'P', error.position);
  field(writer, 'p', error.internalPosition);
  field(writer, 'q', error.internalQuery);
  field(writer, 'W', error.where);
  field(writer, 's', error.schema);
  field(writer, 't', error.table);
  field(writer, 'c', error.column);
  field(writer, 'd', error.dataType);
  field(writer, 'n', error.constraint);
  writer.byte(0);
  writer.end();
}

export function noticeResponse(writer: WireWriter, notice: Notice): void {
  writer.begin(CODE.notice);
  field(writer, 'S', notice.severity);
  field(writer, 'V', notice.severity);
  field(writer, 'C', notice.sqlstate);
  writer.byte(0x4d);
  writer.cstring(notice.message);
  field(writer, 'D', notice.detail);
  field(writer, 'H', notice.hint);
  writer.byte(0);
  writer.end();
}
