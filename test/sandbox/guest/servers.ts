/**
 * Run in the guest: HTTP on port 80 of an address, whose every page is the server's name, and a resolver on port 53
 * (of another address, when one is given) that knows one host, `known.test`.
 */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';

const [name = '', address = '', resolver = address] = process.argv.slice(2);

createServer((_, response) => void response.end(`${name}\n`)).listen(80, address);

const known = Buffer.from('\x05known\x04test\x00', 'latin1');
const headerSize = 12;
const ipv4 = 1;

const socket = createSocket('udp4');
socket.on('message', (query, from) => {
  const end = query.indexOf(0, headerSize) + 1;
  const question = query.subarray(headerSize, end + 4);
  const isKnown = query.subarray(headerSize, end).equals(known);
  const answers = isKnown && query.readUInt16BE(end) === ipv4 ? 1 : 0;
  const header = Buffer.alloc(headerSize);
  query.copy(header, 0, 0, 2);
  // An answer, recursion available; NXDOMAIN for every other host (RFC 1035, 4.1.1).
  header.writeUInt16BE(0x8180 | (isKnown ? 0 : 3), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answers, 6);
  const record = [0xc0, headerSize, 0, ipv4, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];
  socket.send(Buffer.concat([header, question, Buffer.from(answers === 1 ? record : [])]), from.port, from.address);
});
socket.bind(53, resolver);
