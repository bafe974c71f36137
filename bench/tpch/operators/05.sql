select count(*) from (select l_suppkey, l_partkey from lineitem union select ps_suppkey, ps_partkey from partsupp) s;
