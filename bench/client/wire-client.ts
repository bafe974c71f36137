/**
 * A client for benchmarks: prepared statements with text parameters, and little else. The usual driver takes longer for a
 * statement than either server does; this one leaves the client's core to 32 terminals.
 */
import { connect, type Socket } from 'node:net';

export type Row = readonly (string | null)[];

export class ServerError extends Error {
  constructor(readonly sqlstate: string, message: string) {
    super(`${sqlstate}: ${message}`);
  }
}

interface Waiter {
  readonly rows: Row[];
  failure: ServerError | undefined;
  resolve(rows: Row[]): void;
  reject(error: Error): void;
}

export class WireClient {
  private buffered: Buffer = Buffer.alloc(0);
  private waiter: Waiter | undefined;
  private readonly prepared = new Map<string, string>();
  private out = Buffer.allocUnsafe(1 << 16);
  private at = 0;

  private constructor(private readonly socket: Socket) {
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.received(chunk));
    const gone = (): void => this.waiter?.reject(new Error('connection lost'));
    socket.on('close', gone);
    socket.on('error', gone);
  }

  static async connect(port: number): Promise<WireClient> {
    const socket = connect(port, '127.0.0.1');
    const client = new WireClient(socket);
    const body = Buffer.from('\0\x03\0\0user\0postgres\0database\0postgres\0\0', 'latin1');
    const packet = Buffer.alloc(4 + body.length);
    packet.writeInt32BE(packet.length);
    body.copy(packet, 4);
    client.put(packet);
    await client.send();
    return client;
  }

  /** A prepared statement by its text, parsed on first use. Values are text; rows are text. */
  async run(text: string, parameters: readonly (string | number | null)[] = []): Promise<Row[]> {
    let name = this.prepared.get(text);
    if (name === undefined) {
      name = `s${this.prepared.size}`;
      this.message('P', () => this.put(Buffer.from(`${name}\0${text}\0\0\0`)));
      this.prepared.set(text, name);
    }
    this.message('B', () => {
      this.put(Buffer.from(`\0${name}\0\0\0`, 'latin1'));
      this.int16(parameters.length);
      for (const value of parameters) {
        if (value === null) this.int32(-1);
        else {
          const bytes = Buffer.from(String(value));
          this.int32(bytes.length);
          this.put(bytes);
        }
      }
      this.int16(0);
    });
    this.message('E', () => this.put(EXECUTE));
    this.message('S', () => undefined);
    return this.send();
  }

  /** Simple protocol. */
  query(text: string): Promise<Row[]> {
    this.message('Q', () => this.put(Buffer.from(`${text}\0`)));
    return this.send();
  }

  end(): void {
    this.message('X', () => undefined);
    this.socket.end(this.out.subarray(0, this.at));
  }

  private message(code: string, body: () => void): void {
    this.reserve(5);
    this.out[this.at] = code.charCodeAt(0);
    const start = this.at + 1;
    this.at += 5;
    body();
    this.out.writeInt32BE(this.at - start, start);
  }

  private reserve(bytes: number): void {
    if (this.at + bytes <= this.out.length) return;
    const grown = Buffer.allocUnsafe(Math.max(this.at + bytes, this.out.length * 2));
    this.out.copy(grown, 0, 0, this.at);
    this.out = grown;
  }

  private put(bytes: Uint8Array): void {
    this.reserve(bytes.length);
    this.out.set(bytes, this.at);
    this.at += bytes.length;
  }

  private int16(value: number): void {
    this.reserve(2);
    this.at = this.out.writeInt16BE(value, this.at);
  }

  private int32(value: number): void {
    this.reserve(4);
    this.at = this.out.writeInt32BE(value, this.at);
  }

  private send(): Promise<Row[]> {
    return new Promise((resolve, reject) => {
      this.waiter = { rows: [], failure: undefined, resolve, reject };
      this.socket.write(Buffer.from(this.out.subarray(0, this.at)));
      this.at = 0;
    });
  }

  private received(chunk: Buffer): void {
    const data = this.buffered.length > 0 ? Buffer.concat([this.buffered, chunk]) : chunk;
    let at = 0;
    while (data.length - at >= 5) {
      const length = data.readInt32BE(at + 1);
      if (data.length - at < length + 1) break;
      this.answer(data[at]!, data, at + 5, at + 1 + length);
      at += length + 1;
    }
    this.buffered = at === data.length ? EMPTY : data.subarray(at);
  }

  private answer(code: number, data: Buffer, start: number, end: number): void {
    const { waiter } = this;
    if (!waiter) return;
    switch (code) {
      case DATA_ROW: {
        const row: (string | null)[] = [];
        let at = start + 2;
        for (let n = data.readInt16BE(start); n > 0; n--) {
          const length = data.readInt32BE(at);
          at += 4;
          row.push(length < 0 ? null : data.latin1Slice(at, at + length));
          if (length > 0) at += length;
        }
        waiter.rows.push(row);
        return;
      }
      case ERROR: {
        const fields = data.toString('utf8', start, end).split('\0');
        const field = (letter: string): string => fields.find((one) => one.startsWith(letter))?.slice(1) ?? '';
        waiter.failure = new ServerError(field('C'), field('M'));
        return;
      }
      case READY:
        this.waiter = undefined;
        if (waiter.failure) waiter.reject(waiter.failure);
        else waiter.resolve(waiter.rows);
    }
  }
}

const EMPTY = Buffer.alloc(0);
const EXECUTE = Buffer.from('\0\0\0\0\0', 'latin1');
const DATA_ROW = 'D'.charCodeAt(0);
const ERROR = 'E'.charCodeAt(0);
const READY = 'Z'.charCodeAt(0);
