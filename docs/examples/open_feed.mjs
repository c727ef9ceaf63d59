// Opens a feed that is encrypted: one compact JWE a line from standard input, one JSON event a line to standard output.
//
//   kcat -C -b BROKERS -t FEED -e -f '%s\n' | node open_feed.mjs PRIVATE_JWK_FILE
//
// Needs the package `jose` (npm ci in this folder).
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { compactDecrypt, importJWK } from 'jose';

const [file] = process.argv.slice(2);
if (!file) {
  console.error('usage: node open_feed.mjs PRIVATE_JWK_FILE < TOKENS');
  process.exit(2);
}
const jwk = JSON.parse(readFileSync(file, 'utf8'));
const key = await importJWK(jwk, jwk.kty === 'RSA' ? 'RSA-OAEP-256' : 'ECDH-ES');
// Say what may come: a token must not choose its own algorithms.
const only = { keyManagementAlgorithms: ['ECDH-ES', 'RSA-OAEP-256'], contentEncryptionAlgorithms: ['A256GCM'] };

for await (const line of createInterface({ input: process.stdin })) {
  if (line === '') continue; // A tombstone: whoever wrote this event was forgotten.
  try {
    const { plaintext } = await compactDecrypt(line, key, only);
    process.stdout.write(`${new TextDecoder().decode(plaintext)}\n`);
  } catch (cause) {
    console.error(`it does not open: ${cause.code ?? cause.message}`);
    process.exitCode = 1;
  }
}
