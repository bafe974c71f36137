select count(*), sum(l_extendedprice) from (select distinct on (l_orderkey) l_orderkey, l_extendedprice from lineitem order by l_orderkey, l_extendedprice desc, l_linenumber) s;
