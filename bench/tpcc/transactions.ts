/** The five transactions of TPC-C (clause 2), without keying and think times. Each answers false when it was rolled back on purpose. */
import { Random } from '../client/load.js';
import type { Row, WireClient } from '../client/wire-client.js';
import { C_RUN, CUSTOMERS, DISTRICTS, ITEMS, lastName, nonUniform } from './schema.js';

export interface Terminal {
  readonly client: WireClient;
  readonly random: Random;
  readonly warehouses: number;
  /** The terminal's own. */
  readonly warehouse: number;
  readonly district: number;
}

const customerId = (random: Random): number => nonUniform(random, 1023, C_RUN, 1, CUSTOMERS);
const itemId = (random: Random): number => nonUniform(random, 8191, C_RUN, 1, ITEMS);
const name = (random: Random): string => lastName(nonUniform(random, 255, C_RUN, 0, 999));

function otherWarehouse({ random, warehouses, warehouse }: Terminal): number {
  if (warehouses === 1) return warehouse;
  const other = random.between(1, warehouses - 1);
  return other < warehouse ? other : other + 1;
}

const DIST = Array.from({ length: DISTRICTS }, (_, i) => `s_dist_${String(i + 1).padStart(2, '0')}`);

export async function newOrder(terminal: Terminal): Promise<boolean> {
  const { client, random, warehouse: w } = terminal;
  const d = random.between(1, DISTRICTS);
  const c = customerId(random);
  const invalid = random.between(1, 100) === 1;
  const lines = Array.from({ length: random.between(5, 15) }, () => ({ item: itemId(random), supplier: random.between(1, 100) === 1 ? otherWarehouse(terminal) : w, quantity: random.between(1, 10) }));
  if (invalid) lines[lines.length - 1] = { item: ITEMS + 1, supplier: w, quantity: 1 };
  // In this order, so that two orders do not wait for each other's stock.
  const sorted = [...lines].sort((a, b) => a.supplier - b.supplier || a.item - b.item);
  await client.run('BEGIN');
  await client.run('SELECT c_discount, c_last, c_credit, w_tax FROM customer, warehouse WHERE w_id = $1 AND c_w_id = w_id AND c_d_id = $2 AND c_id = $3', [w, d, c]);
  const [district] = await client.run('UPDATE district SET d_next_o_id = d_next_o_id + 1 WHERE d_w_id = $1 AND d_id = $2 RETURNING d_next_o_id - 1, d_tax', [w, d]);
  const o = Number(district![0]);
  await client.run('INSERT INTO orders (o_id, o_d_id, o_w_id, o_c_id, o_entry_d, o_ol_cnt, o_all_local) VALUES ($1, $2, $3, $4, now(), $5, $6)', [o, d, w, c, lines.length, lines.every((line) => line.supplier === w) ? 1 : 0]);
  await client.run('INSERT INTO new_order (no_o_id, no_d_id, no_w_id) VALUES ($1, $2, $3)', [o, d, w]);
  for (let n = 0; n < sorted.length; n++) {
    const { item, supplier, quantity } = sorted[n]!;
    const [found] = await client.run('SELECT i_price, i_name, i_data FROM item WHERE i_id = $1', [item]);
    if (!found) {
      await client.run('ROLLBACK');
      return false;
    }
    const [stock] = await client.run(`SELECT s_quantity, s_data, ${DIST.join(', ')} FROM stock WHERE s_i_id = $1 AND s_w_id = $2 FOR UPDATE`, [item, supplier]);
    const left = Number(stock![0]);
    await client.run('UPDATE stock SET s_quantity = $1, s_ytd = s_ytd + $2, s_order_cnt = s_order_cnt + 1, s_remote_cnt = s_remote_cnt + $3 WHERE s_i_id = $4 AND s_w_id = $5',
      [left >= quantity + 10 ? left - quantity : left - quantity + 91, quantity, supplier === w ? 0 : 1, item, supplier]);
    await client.run('INSERT INTO order_line (ol_o_id, ol_d_id, ol_w_id, ol_number, ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_dist_info) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)',
      [o, d, w, n + 1, item, supplier, quantity, (quantity * Number(found[0])).toFixed(2), stock![1 + d]!]);
  }
  await client.run('COMMIT');
  return true;
}

/** The customer in the middle of those with the name, by first name (2.5.2.2). */
async function byName(client: WireClient, w: number, d: number, last: string): Promise<Row> {
  const rows = await client.run('SELECT c_id, c_first, c_balance, c_credit FROM customer WHERE c_w_id = $1 AND c_d_id = $2 AND c_last = $3 ORDER BY c_first', [w, d, last]);
  return rows[Math.ceil(rows.length / 2) - 1]!;
}

export async function payment(terminal: Terminal): Promise<boolean> {
  const { client, random, warehouse: w } = terminal;
  const d = random.between(1, DISTRICTS);
  const amount = (random.between(100, 500_000) / 100).toFixed(2);
  const local = random.between(1, 100) <= 85;
  const cw = local ? w : otherWarehouse(terminal);
  const cd = local ? d : random.between(1, DISTRICTS);
  const byLastName = random.between(1, 100) <= 60;
  await client.run('BEGIN');
  const [warehouse] = await client.run('UPDATE warehouse SET w_ytd = w_ytd + $1 WHERE w_id = $2 RETURNING w_name, w_street_1, w_street_2, w_city, w_state, w_zip', [amount, w]);
  const [district] = await client.run('UPDATE district SET d_ytd = d_ytd + $1 WHERE d_w_id = $2 AND d_id = $3 RETURNING d_name, d_street_1, d_street_2, d_city, d_state, d_zip', [amount, w, d]);
  const c = byLastName ? Number((await byName(client, cw, cd, name(random)))[0]) : customerId(random);
  const [customer] = await client.run(
    'UPDATE customer SET c_balance = c_balance - $1, c_ytd_payment = c_ytd_payment + $1, c_payment_cnt = c_payment_cnt + 1 WHERE c_w_id = $2 AND c_d_id = $3 AND c_id = $4 RETURNING c_credit, c_first, c_last, c_balance', [amount, cw, cd, c]);
  if (customer![0] === 'BC')
    await client.run('UPDATE customer SET c_data = substr($1 || c_data, 1, 500) WHERE c_w_id = $2 AND c_d_id = $3 AND c_id = $4', [`${c} ${cd} ${cw} ${d} ${w} ${amount}|`, cw, cd, c]);
  await client.run('INSERT INTO history (h_c_id, h_c_d_id, h_c_w_id, h_d_id, h_w_id, h_date, h_amount, h_data) VALUES ($1, $2, $3, $4, $5, now(), $6, $7)', [c, cd, cw, d, w, amount, `${warehouse![0]}    ${district![0]}`]);
  await client.run('COMMIT');
  return true;
}

export async function orderStatus({ client, random, warehouse: w }: Terminal): Promise<boolean> {
  const d = random.between(1, DISTRICTS);
  await client.run('BEGIN');
  let c: number;
  if (random.between(1, 100) <= 60) c = Number((await byName(client, w, d, name(random)))[0]);
  else {
    c = customerId(random);
    await client.run('SELECT c_balance, c_first, c_middle, c_last FROM customer WHERE c_w_id = $1 AND c_d_id = $2 AND c_id = $3', [w, d, c]);
  }
  const [order] = await client.run('SELECT o_id, o_carrier_id, o_entry_d FROM orders WHERE o_w_id = $1 AND o_d_id = $2 AND o_c_id = $3 ORDER BY o_id DESC LIMIT 1', [w, d, c]);
  if (order) await client.run('SELECT ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_delivery_d FROM order_line WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id = $3', [w, d, order[0]!]);
  await client.run('COMMIT');
  return true;
}

export async function delivery({ client, random, warehouse: w }: Terminal): Promise<boolean> {
  const carrier = random.between(1, 10);
  await client.run('BEGIN');
  for (let d = 1; d <= DISTRICTS; d++) {
    const [oldest] = await client.run('SELECT no_o_id FROM new_order WHERE no_w_id = $1 AND no_d_id = $2 ORDER BY no_o_id LIMIT 1 FOR UPDATE', [w, d]);
    if (!oldest) continue;
    const o = oldest[0]!;
    await client.run('DELETE FROM new_order WHERE no_w_id = $1 AND no_d_id = $2 AND no_o_id = $3', [w, d, o]);
    const [order] = await client.run('UPDATE orders SET o_carrier_id = $1 WHERE o_w_id = $2 AND o_d_id = $3 AND o_id = $4 RETURNING o_c_id', [carrier, w, d, o]);
    await client.run('UPDATE order_line SET ol_delivery_d = now() WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id = $3', [w, d, o]);
    const [sum] = await client.run('SELECT sum(ol_amount) FROM order_line WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id = $3', [w, d, o]);
    await client.run('UPDATE customer SET c_balance = c_balance + $1, c_delivery_cnt = c_delivery_cnt + 1 WHERE c_w_id = $2 AND c_d_id = $3 AND c_id = $4', [sum![0]!, w, d, order![0]!]);
  }
  await client.run('COMMIT');
  return true;
}

export async function stockLevel({ client, random, warehouse: w, district: d }: Terminal): Promise<boolean> {
  await client.run('BEGIN');
  const [next] = await client.run('SELECT d_next_o_id FROM district WHERE d_w_id = $1 AND d_id = $2', [w, d]);
  const o = Number(next![0]);
  await client.run(
    'SELECT count(DISTINCT s_i_id) FROM order_line, stock WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id < $3 AND ol_o_id >= $4 AND s_w_id = $1 AND s_i_id = ol_i_id AND s_quantity < $5', [w, d, o, o - 20, random.between(10, 20)]);
  await client.run('COMMIT');
  return true;
}
