// Parses an AsyncAPI document with the official parser, Avro payloads included, and prints what it understood.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";
import { AvroSchemaParser } from "@asyncapi/avro-schema-parser";

const parser = new Parser();
parser.registerSchemaParser(AvroSchemaParser());
const { document, diagnostics } = await parser.parse(readFileSync(process.argv[2], "utf8"));
// 0 is an error, 1 a warning; what is below is advice.
const problems = diagnostics
  .filter(({ severity }) => severity === 0)
  .map(({ code, message, path }) => `${code}: ${path.join(".")}: ${message}`);
const channels = document?.channels().all() ?? [];
console.log(
  JSON.stringify({
    version: document?.version(),
    problems,
    channels: channels.map((channel) => channel.address()),
    actions: document?.operations().all().map((operation) => operation.action()),
    fields: Object.fromEntries(
      channels.flatMap((channel) =>
        channel.messages().all().map((message) => [
          channel.address(),
          Object.keys(message.payload()?.properties() ?? {}),
        ]),
      ),
    ),
  }),
);
