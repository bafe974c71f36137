"""Medians of TPC-H queries in DuckDB (PyPI's duckdb), with one thread and with two: JSON on stdout.

python3 duckdb-times.py DATA SCHEMA QUERIES ROUNDS NUMBER...
"""
import json
import statistics
import sys
import time

import duckdb

data, schema, queries, rounds, numbers = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5:]
connection = duckdb.connect()
connection.execute(open(schema).read())
for table in ['region', 'nation', 'part', 'supplier', 'partsupp', 'customer', 'orders', 'lineitem']:
    # Lines end with a delimiter: one column more than the table has.
    count = len(connection.execute(f"select * from {table} limit 0").description)
    columns = ', '.join(f'column{i:02d}' if count >= 10 else f'column{i}' for i in range(count))
    connection.execute(f"insert into {table} select {columns} from read_csv('{data}/{table}.tbl', delim='|', header=false, quote='', all_varchar=true)")
out = {}
for number in numbers:
    sql = open(f'{queries}/{int(number):02d}.sql').read()
    medians = []
    for threads in (1, 2):
        connection.execute(f'set threads = {threads}')
        times = []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            for statement in sql.split(';'):
                if statement.strip():
                    connection.execute(statement).fetchall()
            times.append((time.perf_counter() - began) * 1000)
        medians.append(statistics.median(times[1:]))
    out[number] = medians
print(json.dumps(out))
