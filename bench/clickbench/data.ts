/**
 * Made data in the shape of ClickBench's hits: 105 columns, 64-bit ids, most texts empty or from a skewed few,
 * URLs and titles nearly all of their own. The same rows for the same number of rows, everywhere.
 */

/** Lines for COPY ... FROM STDIN. `columns`: name and type as the schema has them. */
export function* hits(rows: number, columns: readonly { readonly name: string; readonly type: string }[]): Generator<string, void> {
  const random = randomFrom(20130715);
  for (let row = 0; row < rows; row++) {
    const draw = drawRow(row, random);
    yield `${columns.map(({ name, type }) => draw.get(name) ?? filler(type, random)).join('\t')}\n`;
  }
}

function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), state | 1) + 0x6d2b79f5) | 0;
    return ((state ^ (state >>> 14)) >>> 0) / 4294967296;
  };
}

const WORDS = ['cars', 'maps', 'news', 'video', 'photo', 'music', 'films', 'games', 'forum', 'shop', 'google', 'mail', 'weather', 'travel', 'recipes', 'sport'];
const HOSTS = ['example.ru', 'www.google.com', 'news.example.com', 'auto.example.net', 'shop.example.org', 'irr.example.ru', 'video.example.com', 'www.example.com'];

/** Small numbers often, large ones seldom. */
function skewed(random: () => number, most: number): number {
  return Math.floor(most * random() ** 4);
}

function id64(number: number): string {
  return String((BigInt(Math.floor(number)) * 6364136223846793005n + 1442695040888963407n) & 0x7fffffffffffffffn);
}

function moment(day: number, second: number): string {
  const two = (n: number): string => String(n).padStart(2, '0');
  return `2013-07-${two(day)} ${two(Math.floor(second / 3600))}:${two(Math.floor(second / 60) % 60)}:${two(second % 60)}`;
}

function drawRow(row: number, random: () => number): Map<string, string | number> {
  const pick = <T>(from: readonly T[]): T => from[skewed(random, from.length)]!;
  const user = skewed(random, 200_000);
  const day = 1 + Math.floor(random() * 31);
  const second = Math.floor(random() * 86_400);
  const page = skewed(random, 400_000);
  const url = `http://${pick(HOSTS)}/${pick(WORDS)}/${page}${random() < 0.3 ? `?q=${pick(WORDS)}` : ''}`;
  const phrase = random() < 0.85 ? '' : `${pick(WORDS)} ${pick(WORDS)} ${skewed(random, 5000)}`;
  const mobile = random() < 0.05;
  return new Map<string, string | number>([
    ['watchid', id64(row)], ['userid', user === 7 ? '435090932899640449' : id64(user + 1e9)], ['eventtime', moment(day, second)], ['eventdate', moment(day, 0).slice(0, 10)],
    ['clienteventtime', moment(day, second)], ['localeventtime', moment(day, second)], ['counterid', random() < 0.1 ? 62 : skewed(random, 6000)],
    ['clientip', user * 7919 % 2_000_000_000], ['regionid', skewed(random, 5000)], ['title', `${pick(WORDS)} page ${page}${random() < 0.02 ? ' Google' : ''}`], ['url', url],
    ['referer', random() < 0.2 ? '' : `http://${pick(HOSTS)}/${pick(WORDS)}/${skewed(random, 100_000)}`], ['searchphrase', phrase], ['searchengineid', phrase === '' ? 0 : 1 + skewed(random, 30)],
    ['advengineid', random() < 0.97 ? 0 : 1 + skewed(random, 60)], ['resolutionwidth', [1024, 1280, 1366, 1600, 1920][skewed(random, 5)]!], ['mobilephone', mobile ? skewed(random, 90) : 0],
    ['mobilephonemodel', mobile ? `model ${skewed(random, 160)}` : ''], ['isrefresh', random() < 0.1 ? 1 : 0], ['dontcounthits', random() < 0.1 ? 1 : 0], ['islink', random() < 0.05 ? 1 : 0],
    ['isdownload', random() < 0.01 ? 1 : 0], ['traficsourceid', Math.floor(random() * 9) - 1], ['windowclientwidth', 100 * skewed(random, 20)], ['windowclientheight', 100 * skewed(random, 12)],
    ['urlhash', page < 40 ? '2868770270353813622' : id64(page + 2e9)], ['refererhash', random() < 0.01 ? '3594120000172545465' : id64(skewed(random, 100_000) + 3e9)], ['hitcolor', 'T'],
  ]);
}

function filler(type: string, random: () => number): string | number {
  if (type === 'bigint') return id64(skewed(random, 1_000_000));
  if (type === 'integer' || type === 'smallint') return skewed(random, type === 'smallint' ? 300 : 100_000);
  return random() < 0.9 ? '' : WORDS[skewed(random, WORDS.length)]!;
}
