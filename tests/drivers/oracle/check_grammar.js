// Reads a JSON list of statements, writes a JSON list of what the PL/SQL grammar has against each.
// The grammar is the one of antlr/grammars-v4, as the npm package antlr4ts-sql has compiled it.
const { antlr4tsSQL, SQLDialect } = require("antlr4ts-sql");
const { PredictionMode } = require("antlr4ts/atn/PredictionMode");

const grammar = new antlr4tsSQL(SQLDialect.PLSQL);
const statements = JSON.parse(require("fs").readFileSync(0, "utf8"));

function parsed(statement, mode) {
  const found = [];
  const listener = { syntaxError: (_recognizer, _symbol, _line, column, message) => found.push(`${column}: ${message}`) };
  const parser = grammar.getParser(grammar.getTokens(statement + ";", [listener]), []);
  parser.buildParseTree = false;
  parser.interpreter.setPredictionMode(mode);
  parser.removeErrorListeners();
  parser.addErrorListener(listener);
  parser.sql_script();
  return found.map((text) => text.slice(0, 160));
}

// The fast mode may refuse what the grammar takes; it never takes what the grammar refuses.
function complaints(statement) {
  const found = parsed(statement, PredictionMode.SLL);
  return found.length ? parsed(statement, PredictionMode.LL) : found;
}

process.stdout.write(JSON.stringify(statements.map(complaints)));
