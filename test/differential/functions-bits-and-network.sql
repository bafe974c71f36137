-- Bit strings and network addresses.
SELECT b'1010', x'1f', b'1010' & b'0110', b'1010' | b'0110', b'1010' # b'0110', ~b'1010', b'1010' << 1, b'1010' >> 1, b'10' || b'11', length(b'1010'), octet_length(b'101010101'), position(b'01' in b'1001'), substring(b'110010' from 2 for 3), get_bit(b'1010',1), set_bit(b'1010',1,1), 44::bit(10), (-44)::bit(12), 5::bit, b'1010'::int, b'101'::bit(5), b'10101'::varbit(3), '101'::bit(3), bit_count(b'1101'), b'10' < b'11', overlay(b'1010' placing b'11' from 2 for 1);
SELECT '101'::bit(2);
SELECT '1012'::bit(4);
SELECT b'10' & b'101';
SELECT bit_and(x), bit_or(x), bit_xor(x) from (values (b'1100'),(b'1010')) v(x);
SELECT '1.2.3.0/24'::cidr, '1.2.3.4/24'::inet, '::1'::inet, '1.2'::cidr, '10'::cidr, '192.168'::cidr, '::ffff:1.2.3.4'::inet, '2001:db8::/32'::cidr, abbrev('10.1.0.0/16'::cidr), abbrev('10.1.0.0/16'::inet), '1:2:0:0:0:0:7:8'::inet,'1:0:0:2:0:0:0:8'::inet, text('1.2.3.4'::inet), host('1.2.3.4/24'::inet), '1.2.3.4/32'::cidr, '1:2:3:4:5:6:7::'::inet, '::1.2.3.4'::inet, '1.2.3.4'::inet::text, '1.2.3.4/24'::inet::cidr;
SELECT '1.2.3.4/24'::cidr;
SELECT '1.2.3'::inet;
SELECT '1.2.3.256'::inet;
SELECT '1.2.3.4/33'::inet;
SELECT '1.2.3.4'::inet - '1.2.3.1'::inet, '1.2.3.4'::inet+5, 5+'1.2.3.4'::inet, '1.2.3.4'::inet-5, '10.0.0.1/8'::inet & '255.0.0.0', '10.0.0.1'::inet | '0.0.0.255', ~'10.0.0.1'::inet, broadcast('192.168.1.5/24'), network('192.168.1.5/24'), netmask('192.168.1.5/20'), hostmask('192.168.1.5/20'), masklen('192.168.1.5/20'), family('::1'), set_masklen('192.168.1.5/24'::inet,16), set_masklen('192.168.1.0/24'::cidr,16), inet_merge('192.168.1.5/24','192.168.2.5/24'), inet_same_family('1.1.1.1','::1');
SELECT '192.168.1.5'::inet << '192.168.1/24'::inet, '192.168.1/24'::inet >>= '192.168.1/24'::inet, '192.168.1/24'::inet && '192.168.1.80/28'::inet, '1.2.3.4'::inet < '1.2.3.5'::inet, '1.2.3.4/8'::inet < '1.2.3.4'::inet, '1.1.1.1'::inet < '::1'::inet, '1.1.1.1'::inet = '1.1.1.1/32'::inet;
