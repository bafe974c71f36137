/** The thread that writes columns of segments to files and reads them. Nothing depends on their being there. */
import { readAll, writeAll } from '../../engine/log/segment.js';
import { lowerThreadPriority, nodeRuntime, workerContext } from '../../engine/runtime-node.js';
import type { PackedColumn } from './build-protocol.js';
import { columnPath, type FileAnswer, type FileRequest, type FileWorkerData, type SegmentPlace } from './file-protocol.js';
import { decodeColumn, encodeColumn } from './segment-file.js';

const NICE = 4;

const context = workerContext<FileWorkerData, FileRequest, FileAnswer>();
const { files } = nodeRuntime();
const { folder } = context.data;
lowerThreadPriority(NICE);

/** Under another name first: a file with its own name is whole, unless the power fails. Its checksum tells. */
function replace(path: string, bytes: Uint8Array): void {
  const whole = `${folder}/${path}`;
  const directory = whole.slice(0, whole.lastIndexOf('/'));
  if (!files.exists(directory)) files.mkdir(directory);
  files.remove(`${whole}.new`);
  const file = files.open(`${whole}.new`, 'create');
  try {
    writeAll(file, bytes, 0);
  } finally {
    file.close();
  }
  files.rename(`${whole}.new`, whole);
}

function read(place: SegmentPlace, attnum: number): PackedColumn | undefined {
  const path = `${folder}/${columnPath(place, attnum)}`;
  if (!files.exists(path)) return undefined;
  const file = files.open(path, 'read');
  try {
    return decodeColumn({ ...place, attnum }, readAll(file));
  } finally {
    file.close();
  }
}

/** What cannot be read is not there. */
function readable(place: SegmentPlace, attnums: readonly number[]): PackedColumn[] {
  return attnums.flatMap((attnum) => {
    try {
      return read(place, attnum) ?? [];
    } catch {
      return [];
    }
  });
}

function write(place: SegmentPlace, columns: readonly PackedColumn[]): [number, number][] {
  return columns.map((column) => {
    const bytes = encodeColumn({ ...place, attnum: column.attnum }, column);
    replace(columnPath(place, column.attnum), bytes);
    return [column.attnum, bytes.length];
  });
}

function answer(request: FileRequest): Partial<FileAnswer> {
  switch (request.kind) {
    case 'write': return { written: write(request.place, request.columns) };
    case 'read': return { read: request.wanted.map(({ place, attnums }) => readable(place, attnums)) };
    case 'remove':
      for (const path of request.paths) files.remove(`${folder}/${path}`);
      return {};
    case 'replace':
      replace(request.path, request.bytes);
      return {};
  }
}

context.onMessage((request) => {
  const none = { id: request.id, written: [], read: [], error: null };
  try {
    context.post({ ...none, ...answer(request) });
  } catch (error) {
    context.post({ ...none, error: error instanceof Error ? error.message : String(error) });
  }
});
