// Reads an AsyncAPI document, with everything it refers to, by AsyncAPI's own parser. Prints what it holds, and ends with 1 when
// the parser finds an error or warns.
// usage: node asyncapi.mjs FILE
import { Parser, fromFile } from '@asyncapi/parser';

const file = process.argv[2];
if (!file) {
  console.error('usage: node asyncapi.mjs FILE');
  process.exit(2);
}
const { document, diagnostics } = await fromFile(new Parser(), file).parse();
// 0 is an error, 1 a warning; what is below says that there is a newer version.
const wrong = diagnostics.filter((one) => one.severity <= 1);
for (const one of wrong) {
  console.error(`${file}: ${one.path.join('.')}: ${one.message} (${one.code})`);
}
if (!document || wrong.length > 0) {
  process.exit(1);
}
const [channels, messages] = [document.channels().all().length, document.messages().all().length];
console.log(JSON.stringify({ asyncapi: document.version(), channels, messages }));
