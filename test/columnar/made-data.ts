/** What the columnar tests ask about: made data of every class of column. */

/** Numbers in [0, 1) that follow from a seed. */
export function randomFrom(start: number): () => number {
  let state = start + 1;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), state | 1) + 0x6d2b79f5) | 0;
    return ((state ^ (state >>> 14)) >>> 0) / 4294967296;
  };
}

/** Every class of column, with and without NULLs, few and many values, and the awkward ones. */
export const MADE_DATA = `
create table facts (id int primary key, small smallint, wide bigint, price numeric(12,2) not null, rate numeric(5,4), ratio float8, flag boolean,
                    day date not null, at timestamp, kind char(4) not null, label text, note varchar(60), dim int);
create table wides (id int primary key, wide int8, other int8 not null);
create table dims (id int primary key, name text not null, area char(8), weight numeric(8,3));
insert into facts select i, case when i % 7 = 0 then null else i % 300 end, case when i % 11 = 0 then null else i::bigint * 1000003 end, (i % 100000) / 100.0,
    case when i % 5 = 0 then null else (i % 9973) / 10000.0 end,
    case when i % 13 = 0 then null when i % 1009 = 0 then 'NaN' else (i % 1000) / 8.0 - 40 end, case i % 3 when 0 then true when 1 then false end,
    date '1992-01-01' + i % 2500, case when i % 17 = 0 then null else timestamp '2020-01-01' + i * interval '37 seconds' end,
    (array['AA', 'B', 'C', 'DDDD'])[1 + i % 4], case when i % 19 = 0 then null else 'label ' || i % 40 end, 'note number ' || i || ' é😀', case when i % 23 = 0 then null else i % 500 end
  from generate_series(1, 70000) i;
insert into wides select i, case when i % 9 = 0 then null when i % 3 = 0 then i else (i % 4000)::int8 * 2305843009213693 end, -9223372036854775808 + i % 50 from generate_series(1, 70000) i;
insert into dims select i, 'dim ' || i % 90, case when i % 4 = 0 then null else 'area ' || i % 7 end, i / 8.0 from generate_series(0, 20000) i;
analyze facts;
analyze wides;
analyze dims;
`;
