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
const kafka = (model) => model.bindings().get("kafka")?.value() ?? null;
const names = (schema) => Object.keys(schema?.properties() ?? {});
const message = (it) => ({
  contentType: it.contentType() ?? null,
  kafka: kafka(it),
  headers: names(it.headers()),
  required: it.headers()?.required() ?? [],
  fields: names(it.payload()),
});
console.log(
  JSON.stringify({
    version: document?.version(),
    problems,
    servers: document?.servers().all().map((server) => [server.host(), server.protocol(), kafka(server)]),
    actions: document?.operations().all().map((operation) => operation.action()),
    channels: channels.map((channel) => ({
      address: channel.address(),
      kafka: kafka(channel),
      messages: Object.fromEntries(channel.messages().all().map((it) => [it.id(), message(it)])),
    })),
  }),
);
