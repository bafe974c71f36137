select max(total), min(total), count(*) from (select sum(l_quantity) over (partition by l_partkey order by l_shipdate, l_orderkey, l_linenumber) as total from lineitem) s;
