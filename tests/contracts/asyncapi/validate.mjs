// Reads an AsyncAPI document; prints each error of the official parser and fails when there is one.
import { readFileSync } from "node:fs";
import { DiagnosticSeverity, Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
const errors = diagnostics.filter((found) => found.severity === DiagnosticSeverity.Error);
for (const { path, message } of errors) console.log(`${path.join("/")}: ${message}`);
if (!document || errors.length > 0) process.exit(1);
console.log(JSON.stringify(document.messages().all().map((message) => message.name())));
