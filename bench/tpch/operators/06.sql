select count(*) from (select l_partkey, l_suppkey from lineitem where l_shipdate < '1995-01-01' except select l_partkey, l_suppkey from lineitem where l_shipdate >= '1996-01-01') s;
