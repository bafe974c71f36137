-- jsonpath: text form, evaluation in lax and strict mode, errors.
SELECT '$.a'::jsonpath, '$.a[*] ? (@.b > 1 && @.c == "x")'::jsonpath, 'strict $.a.b[0 to last].size()'::jsonpath, '$[*] ? (exists (@.x) || !(@.y < 2))'::jsonpath, '1 + 2 * $.a'::jsonpath, '(1 + 2) * 3'::jsonpath, '$.**{2 to 3}.a'::jsonpath, '$v + 1'::jsonpath, '$.a ? (@ like_regex "^a" flag "i")'::jsonpath, '$.a starts with "x"'::jsonpath, '$."a b".type()'::jsonpath, '-$.a'::jsonpath, '$[0,2 to 3]'::jsonpath, '($.a > 1) is unknown'::jsonpath;
SELECT '$.'::jsonpath;
SELECT ''::jsonpath;
SELECT '$ ? @'::jsonpath;
SELECT jsonb_path_query_array('{"a":[1,2,3,{"b":4}]}','$.a[*]'), jsonb_path_query_array('{"a":[1,2,3]}','$.a ? (@ > 1)'), jsonb_path_query_first('[1,2]','$[last]'), jsonb_path_exists('{"a":1}','$.b'), jsonb_path_match('{"a":1}','$.a == 1'), jsonb_path_query_array('[1,"2",null,true]','$[*].type()'), jsonb_path_query_array('{"a":{"b":{"a":5}}}','$.**.a'), jsonb_path_query_array('[1,2,3]','$[*] * 2 + 1',silent=>true), jsonb_path_query_first('{"a":5}','$.a + 3'), jsonb_path_query_array('[1.7,-2.2]','$[*].floor()'), jsonb_path_query_first('"1.5"','$.double()'), jsonb_path_query_array('{"x":1,"y":"s"}','$.keyvalue().key'), jsonb_path_query_array('[{"a":1},{"a":5}]','$[*] ? (@.a > $m).a','{"m":2}');
SELECT jsonb_path_query('{"a":1}','strict $.b');
SELECT jsonb_path_query('{"a":1}','strict $.b',silent=>true);
SELECT jsonb_path_match('{"a":1}','$.a');
SELECT jsonb_path_query('[1]','$x');
SELECT jsonb_path_query('{"a":"x"}','$.a + 1');
SELECT '{"a":[1,2,3]}'::jsonb @? '$.a[*] ? (@ > 2)', '{"a":1}'::jsonb @@ '$.a > 0', '{"a":1}'::jsonb @@ '$.a', '[1,2]'::jsonb @? 'strict $.a';
select * from jsonb_path_query('{"a":["abc","Abd","x"]}','$.a[*] ? (@ like_regex "^ab" flag "i")');
select * from jsonb_path_query('["abc","b"]','$[*] ? (@ starts with "a")');
SELECT jsonb_path_query_array('[1,null,"a",[2]]','$[*] ? (@ == null)'), jsonb_path_query_array('[1,2,3,4,5]','$[1 to 3]'), jsonb_path_query_array('[1,2,3]','$[last - 1]'), jsonb_path_query_array('[[1,2],[3]]','$[*][*]'), jsonb_path_query_array('{"a":[{"b":1},{"b":2}]}','$.a.b'), jsonb_path_query_array('[1,2]','$.size()'), jsonb_path_query_array('5','$[0]'), jsonb_path_query_array('[1,"a"]','$[*] ? ((@ > 0) is unknown)'), jsonb_path_query_array('{"a":{"b":1}}','$.*'), jsonb_path_query_array('[3,1]','$[*] ? (@ != 1)');
