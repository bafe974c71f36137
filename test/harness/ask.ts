/** One statement on a connection of its own. */
import pg from 'pg';

/** The first column of the first row as text; '' without a row. */
export async function ask(port: number, text: string): Promise<string> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });
  await client.connect();
  try {
    const { rows } = await client.query<Record<string, unknown>>(text);
    return rows[0] ? String(Object.values(rows[0])[0]) : '';
  } finally {
    await client.end();
  }
}
