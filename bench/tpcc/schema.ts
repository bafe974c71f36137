/** TPC-C's nine tables and their initial population (specification 5.11, clauses 1.3 and 4.3.3). */
import { copyLines, Random } from '../client/load.js';
import { WireClient } from '../client/wire-client.js';

export const ITEMS = 100_000;
export const DISTRICTS = 10;
export const CUSTOMERS = 3000;
/** Constant of NURand for C_LAST at load. */
const C_LOAD = 123;
/** 2.1.6.1: the constant of the run must differ from the load's by 65 to 119, not 96 and not 112. */
export const C_RUN = C_LOAD + 77;

const TABLES = [
  'warehouse (w_id int, w_name varchar(10), w_street_1 varchar(20), w_street_2 varchar(20), w_city varchar(20), w_state char(2), w_zip char(9), w_tax numeric(4,4), w_ytd numeric(12,2))',
  'district (d_id int, d_w_id int, d_name varchar(10), d_street_1 varchar(20), d_street_2 varchar(20), d_city varchar(20), d_state char(2), d_zip char(9), d_tax numeric(4,4), d_ytd numeric(12,2), d_next_o_id int)',
  `customer (c_id int, c_d_id int, c_w_id int, c_first varchar(16), c_middle char(2), c_last varchar(16), c_street_1 varchar(20), c_street_2 varchar(20), c_city varchar(20), c_state char(2), c_zip char(9),
    c_phone char(16), c_since timestamp, c_credit char(2), c_credit_lim numeric(12,2), c_discount numeric(4,4), c_balance numeric(12,2), c_ytd_payment numeric(12,2), c_payment_cnt int, c_delivery_cnt int, c_data varchar(500))`,
  'history (h_c_id int, h_c_d_id int, h_c_w_id int, h_d_id int, h_w_id int, h_date timestamp, h_amount numeric(6,2), h_data varchar(24))',
  'new_order (no_o_id int, no_d_id int, no_w_id int)',
  'orders (o_id int, o_d_id int, o_w_id int, o_c_id int, o_entry_d timestamp, o_carrier_id int, o_ol_cnt int, o_all_local int)',
  'order_line (ol_o_id int, ol_d_id int, ol_w_id int, ol_number int, ol_i_id int, ol_supply_w_id int, ol_delivery_d timestamp, ol_quantity int, ol_amount numeric(6,2), ol_dist_info char(24))',
  'item (i_id int, i_im_id int, i_name varchar(24), i_price numeric(5,2), i_data varchar(50))',
  `stock (s_i_id int, s_w_id int, s_quantity int, ${Array.from({ length: DISTRICTS }, (_, i) => `s_dist_${String(i + 1).padStart(2, '0')} char(24)`).join(', ')}, s_ytd int, s_order_cnt int, s_remote_cnt int, s_data varchar(50))`,
];

const KEYS = [
  'ALTER TABLE warehouse ADD PRIMARY KEY (w_id)', 'ALTER TABLE district ADD PRIMARY KEY (d_w_id, d_id)', 'ALTER TABLE customer ADD PRIMARY KEY (c_w_id, c_d_id, c_id)',
  'ALTER TABLE new_order ADD PRIMARY KEY (no_w_id, no_d_id, no_o_id)', 'ALTER TABLE orders ADD PRIMARY KEY (o_w_id, o_d_id, o_id)', 'ALTER TABLE order_line ADD PRIMARY KEY (ol_w_id, ol_d_id, ol_o_id, ol_number)',
  'ALTER TABLE item ADD PRIMARY KEY (i_id)', 'ALTER TABLE stock ADD PRIMARY KEY (s_w_id, s_i_id)', 'CREATE INDEX ON customer (c_w_id, c_d_id, c_last, c_first)', 'CREATE INDEX ON orders (o_w_id, o_d_id, o_c_id, o_id)',
];

const SYLLABLES = ['BAR', 'OUGHT', 'ABLE', 'PRI', 'PRES', 'ESE', 'ANTI', 'CALLY', 'ATION', 'EING'];
export const lastName = (n: number): string => SYLLABLES[Math.floor(n / 100) % 10]! + SYLLABLES[Math.floor(n / 10) % 10]! + SYLLABLES[n % 10]!;

/** NURand(A, x, y), 2.1.6. */
export function nonUniform(random: Random, a: number, c: number, low: number, high: number): number {
  return (((random.between(0, a) | random.between(low, high)) + c) % (high - low + 1)) + low;
}

const STAMP = '2026-01-01 00:00:00';

function address(random: Random): string {
  return `${random.letters(10, 20)}\t${random.letters(10, 20)}\t${random.letters(10, 20)}\t${random.letters(2, 2)}\t${random.digits(4)}11111`;
}

function data(random: Random): string {
  const text = random.letters(26, 50);
  if (random.between(1, 10) > 1) return text;
  const at = random.between(0, text.length - 8);
  return `${text.slice(0, at)}ORIGINAL${text.slice(at + 8)}`;
}

const money = (cents: number): string => (cents / 100).toFixed(2);
const rate = (random: Random, high: number): string => (random.between(0, high) / 10_000).toFixed(4);

function* items(random: Random): Generator<string> {
  for (let i = 1; i <= ITEMS; i++) yield `${i}\t${random.between(1, 10_000)}\t${random.letters(14, 24)}\t${money(random.between(100, 10_000))}\t${data(random)}`;
}

function* warehouses(random: Random, count: number): Generator<string> {
  for (let w = 1; w <= count; w++) yield `${w}\t${random.letters(6, 10)}\t${address(random)}\t${rate(random, 2000)}\t300000.00`;
}

function* stock(random: Random, count: number): Generator<string> {
  for (let w = 1; w <= count; w++)
    for (let i = 1; i <= ITEMS; i++) yield `${i}\t${w}\t${random.between(10, 100)}\t${Array.from({ length: DISTRICTS }, () => random.letters(24, 24)).join('\t')}\t0\t0\t0\t${data(random)}`;
}

function* districts(random: Random, count: number): Generator<string> {
  for (let w = 1; w <= count; w++)
    for (let d = 1; d <= DISTRICTS; d++) yield `${d}\t${w}\t${random.letters(6, 10)}\t${address(random)}\t${rate(random, 2000)}\t30000.00\t${CUSTOMERS + 1}`;
}

function* customers(random: Random, count: number): Generator<string> {
  for (let w = 1; w <= count; w++)
    for (let d = 1; d <= DISTRICTS; d++)
      for (let c = 1; c <= CUSTOMERS; c++)
        yield `${c}\t${d}\t${w}\t${random.letters(8, 16)}\tOE\t${lastName(c <= 1000 ? c - 1 : nonUniform(random, 255, C_LOAD, 0, 999))}\t${address(random)}\t${random.digits(16)}\t${STAMP}\t${random.between(1, 10) === 1 ? 'BC' : 'GC'}\t50000.00\t${rate(random, 5000)}\t-10.00\t10.00\t1\t0\t${random.letters(300, 500)}`;
}

function* history(random: Random, count: number): Generator<string> {
  for (let w = 1; w <= count; w++)
    for (let d = 1; d <= DISTRICTS; d++)
      for (let c = 1; c <= CUSTOMERS; c++) yield `${c}\t${d}\t${w}\t${d}\t${w}\t${STAMP}\t10.00\t${random.letters(12, 24)}`;
}

/** Orders of a district: their customers are a permutation; `visit` gets order, customer, lines. */
function* orders(random: Random, count: number, line: (w: number, d: number, o: number, customer: number, lines: number) => Iterable<string>): Generator<string> {
  for (let w = 1; w <= count; w++)
    for (let d = 1; d <= DISTRICTS; d++) {
      const permutation = Array.from({ length: CUSTOMERS }, (_, i) => i + 1);
      for (let i = CUSTOMERS - 1; i > 0; i--) {
        const other = random.between(0, i);
        [permutation[i], permutation[other]] = [permutation[other]!, permutation[i]!];
      }
      // The number of lines is the same for orders and order_line, whose generators draw different numbers.
      for (let o = 1; o <= CUSTOMERS; o++) yield* line(w, d, o, permutation[o - 1]!, 5 + ((w * 7919 + d * 104_729 + o * 31) % 11));
    }
}

const undelivered = (o: number): boolean => o > 2100;

/** Creates and fills everything; `note` hears of progress. */
export async function load(port: number, core: string, count: number, note: (text: string) => void): Promise<void> {
  const client = await WireClient.connect(port);
  for (const table of TABLES) await client.query(`CREATE TABLE ${table}`);
  const sources: readonly (readonly [string, Iterable<string>])[] = [
    ['item', items(new Random(1))], ['warehouse', warehouses(new Random(2), count)], ['stock', stock(new Random(3), count)], ['district', districts(new Random(4), count)],
    ['customer', customers(new Random(5), count)], ['history', history(new Random(6), count)],
    ['orders', orders(new Random(7), count, (w, d, o, c, lines) => [`${o}\t${d}\t${w}\t${c}\t${STAMP}\t${undelivered(o) ? '\\N' : String(1 + (o % 10))}\t${lines}\t1`])],
    ['order_line', orders(new Random(8), count, function* (w, d, o, _, lines) {
      const random = new Random(w * 1_000_003 + d * 30_011 + o);
      for (let n = 1; n <= lines; n++)
        yield `${o}\t${d}\t${w}\t${n}\t${random.between(1, ITEMS)}\t${w}\t${undelivered(o) ? '\\N' : STAMP}\t5\t${undelivered(o) ? money(random.between(1, 999_999)) : '0.00'}\t${random.letters(24, 24)}`;
    })],
    ['new_order', orders(new Random(9), count, (w, d, o) => (undelivered(o) ? [`${o}\t${d}\t${w}`] : []))],
  ];
  for (const [table, lines] of sources) {
    const began = performance.now();
    await copyLines(port, core, table, lines);
    note(`${table} ${((performance.now() - began) / 1000).toFixed(1)} s`);
  }
  for (const key of KEYS) await client.query(key);
  await client.query('ANALYZE');
  client.end();
}
