select count(*) from (select distinct l_partkey, l_suppkey, l_shipmode from lineitem) s;
