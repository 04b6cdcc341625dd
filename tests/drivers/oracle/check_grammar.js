// Reads a JSON list of statements, writes a JSON list of what the PL/SQL grammar has against each.
// The grammar is the one of antlr/grammars-v4, as the npm package antlr4ts-sql has compiled it.
const { antlr4tsSQL, SQLDialect } = require("antlr4ts-sql");

const grammar = new antlr4tsSQL(SQLDialect.PLSQL);
const statements = JSON.parse(require("fs").readFileSync(0, "utf8"));

function complaints(statement) {
  const found = [];
  const listener = { syntaxError: (_recognizer, _symbol, _line, column, message) => found.push(`${column}: ${message}`) };
  const parser = grammar.getParser(grammar.getTokens(statement + ";", [listener]), []);
  parser.removeErrorListeners();
  parser.addErrorListener(listener);
  parser.sql_script();
  return found.map((text) => text.slice(0, 160));
}

process.stdout.write(JSON.stringify(statements.map(complaints)));
