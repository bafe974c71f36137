/** The twelve consistency conditions of TPC-C's clause 3.3.2, as queries whose rows are violations. */
import type { WireClient } from '../client/wire-client.js';

const CONDITIONS: readonly string[] = [
  'SELECT w_id FROM warehouse, (SELECT d_w_id, sum(d_ytd) AS ytd FROM district GROUP BY d_w_id) d WHERE d_w_id = w_id AND w_ytd <> ytd',
  `SELECT d_w_id, d_id FROM district
     JOIN (SELECT o_w_id, o_d_id, max(o_id) AS last FROM orders GROUP BY o_w_id, o_d_id) o ON o_w_id = d_w_id AND o_d_id = d_id
     LEFT JOIN (SELECT no_w_id, no_d_id, max(no_o_id) AS newest FROM new_order GROUP BY no_w_id, no_d_id) n ON no_w_id = d_w_id AND no_d_id = d_id
   WHERE d_next_o_id - 1 <> last OR newest <> last`,
  'SELECT no_w_id, no_d_id FROM new_order GROUP BY no_w_id, no_d_id HAVING max(no_o_id) - min(no_o_id) + 1 <> count(*)',
  `SELECT o_w_id, o_d_id FROM (SELECT o_w_id, o_d_id, sum(o_ol_cnt) AS lines FROM orders GROUP BY o_w_id, o_d_id) o
     JOIN (SELECT ol_w_id, ol_d_id, count(*) AS found FROM order_line GROUP BY ol_w_id, ol_d_id) l ON ol_w_id = o_w_id AND ol_d_id = o_d_id WHERE lines <> found`,
  `SELECT o_w_id, o_d_id, o_id FROM orders LEFT JOIN new_order ON no_w_id = o_w_id AND no_d_id = o_d_id AND no_o_id = o_id
   WHERE (o_carrier_id IS NULL) <> (no_o_id IS NOT NULL)`,
  `SELECT o_w_id, o_d_id, o_id FROM orders LEFT JOIN (SELECT ol_w_id, ol_d_id, ol_o_id, count(*) AS found FROM order_line GROUP BY ol_w_id, ol_d_id, ol_o_id) l
     ON ol_w_id = o_w_id AND ol_d_id = o_d_id AND ol_o_id = o_id WHERE found IS DISTINCT FROM o_ol_cnt`,
  `SELECT ol_w_id, ol_d_id, ol_o_id FROM order_line JOIN orders ON o_w_id = ol_w_id AND o_d_id = ol_d_id AND o_id = ol_o_id
   WHERE (ol_delivery_d IS NULL) <> (o_carrier_id IS NULL)`,
  'SELECT w_id FROM warehouse, (SELECT h_w_id, sum(h_amount) AS paid FROM history GROUP BY h_w_id) h WHERE h_w_id = w_id AND w_ytd <> paid',
  'SELECT d_w_id, d_id FROM district, (SELECT h_w_id, h_d_id, sum(h_amount) AS paid FROM history GROUP BY h_w_id, h_d_id) h WHERE h_w_id = d_w_id AND h_d_id = d_id AND d_ytd <> paid',
  `SELECT c_w_id, c_d_id, c_id FROM customer
     LEFT JOIN (SELECT o_w_id, o_d_id, o_c_id, sum(ol_amount) AS due FROM orders JOIN order_line ON ol_w_id = o_w_id AND ol_d_id = o_d_id AND ol_o_id = o_id WHERE ol_delivery_d IS NOT NULL GROUP BY o_w_id, o_d_id, o_c_id) o
       ON o_w_id = c_w_id AND o_d_id = c_d_id AND o_c_id = c_id
     LEFT JOIN (SELECT h_c_w_id, h_c_d_id, h_c_id, sum(h_amount) AS paid FROM history GROUP BY h_c_w_id, h_c_d_id, h_c_id) h ON h_c_w_id = c_w_id AND h_c_d_id = c_d_id AND h_c_id = c_id
   WHERE c_balance <> coalesce(due, 0) - coalesce(paid, 0)`,
  // At load 2,100 orders of a district are delivered; each delivery since is counted at its customer.
  `SELECT o_w_id, o_d_id FROM (SELECT o_w_id, o_d_id, count(*) AS placed FROM orders GROUP BY o_w_id, o_d_id) o
     LEFT JOIN (SELECT no_w_id, no_d_id, count(*) AS waiting FROM new_order GROUP BY no_w_id, no_d_id) n ON no_w_id = o_w_id AND no_d_id = o_d_id
     JOIN (SELECT c_w_id, c_d_id, sum(c_delivery_cnt) AS delivered FROM customer GROUP BY c_w_id, c_d_id) c ON c_w_id = o_w_id AND c_d_id = o_d_id
   WHERE placed - coalesce(waiting, 0) <> 2100 + delivered`,
  `SELECT c_w_id, c_d_id, c_id FROM customer
     LEFT JOIN (SELECT o_w_id, o_d_id, o_c_id, sum(ol_amount) AS due FROM orders JOIN order_line ON ol_w_id = o_w_id AND ol_d_id = o_d_id AND ol_o_id = o_id WHERE ol_delivery_d IS NOT NULL GROUP BY o_w_id, o_d_id, o_c_id) o
       ON o_w_id = c_w_id AND o_d_id = c_d_id AND o_c_id = c_id
   WHERE c_balance + c_ytd_payment <> coalesce(due, 0)`,
];

/** Numbers of the conditions that do not hold. */
export async function violated(client: WireClient): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < CONDITIONS.length; i++) if ((await client.query(`${CONDITIONS[i]!} LIMIT 3`)).length > 0) found.push(i + 1);
  return found;
}
