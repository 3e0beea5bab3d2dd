//! What keeps cells possible: a topic can go whole into a database of its own, because the topic comes
//! first in the key and in the condition of every table that an append or a settlement touches, none
//! needs to span topics, and those tables refer to no definition.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// What lanes run between the begin and the end of a transaction.
const HOT: [&str; 5] = ["commit", "lane", "settled", "sync", "write"];
/// Of the database itself: where a cell puts its events, who holds its work, how its lanes end.
const OF_THE_DATABASE: [&str; 3] = ["commits", "held", "slots"];
/// Statements that are of no topic: the health of an endpoint is no settlement, and how much waits is
/// bounded for a database as a whole.
const OF_NO_TOPIC: [&str; 2] = ["health", "pending count"];
const WORDS: [&str; 21] = [
    "AND",
    "AS",
    "DO",
    "EXISTS",
    "FOR",
    "FROM",
    "GROUP",
    "INNER",
    "JOIN",
    "LEFT",
    "LIMIT",
    "NOT",
    "ON",
    "OR",
    "ORDER",
    "RETURNING",
    "SELECT",
    "SET",
    "UNION",
    "USING",
    "WHERE",
];

/// A table as the migrations make it.
#[derive(Debug, Default)]
struct Table {
    columns: BTreeSet<String>,
    /// The primary key, and the indexes that are unique.
    keys: Vec<Vec<String>>,
    refers: bool,
}

impl Table {
    fn is_of_topics(&self) -> bool {
        self.columns.contains("topic")
    }
}

type Tables = BTreeMap<String, Table>;

#[test]
fn appends_and_settlements_keep_within_topics() {
    let tables = tables(&migrations());
    let statements: Vec<String> = HOT.iter().flat_map(|name| statements(&source(name))).collect();
    let mut wrong = wrong_keys(&tables, &touched(&tables, &statements));
    wrong.extend(statements.iter().flat_map(|sql| wrong_statement(&tables, sql)));
    assert_eq!(wrong, [""; 0]);
    // So that nothing was missed: of the tables with a topic these alone are touched by neither.
    let touched = touched(&tables, &statements);
    let with_topic = tables.iter().filter(|(_, table)| table.is_of_topics()).map(|(name, _)| name);
    let rest: Vec<&String> = with_topic.filter(|name| !touched.contains(*name)).collect();
    assert_eq!(rest, ["attempts", "holes", "jobs"]);
}

#[test]
fn what_spans_topics_is_seen() {
    let kept = tables(
        "CREATE TABLE topics (id bigint PRIMARY KEY);\n-- Letters.\nCREATE TABLE letters (topic bigint,\n \
         id bigint, PRIMARY KEY (topic, id));\nCREATE TABLE names (id bigint PRIMARY KEY);",
    );
    let good = [
        "-- a\nDELETE FROM letters WHERE (topic, id) IN (SELECT * FROM UNNEST($1, $2))",
        "-- b\nUPDATE letters l SET id = 1 FROM UNNEST($1) AS new (topic) WHERE l.topic = new.topic",
        "-- c\nINSERT INTO letters (topic, id) SELECT 1, 2 ON CONFLICT (topic, id) DO NOTHING",
        "-- d\nSELECT * FROM topics WHERE name = ANY($1) OR id = ANY($2)",
    ];
    for sql in good {
        assert_eq!(wrong_statement(&kept, sql), [""; 0], "{sql}");
    }
    let bad = [
        "-- a\nDELETE FROM letters WHERE id = $1",
        "-- b\nDELETE FROM letters WHERE id = $1 AND topic = $2",
        "-- c\nSELECT count(*) FROM letters",
        "-- d\nSELECT * FROM letters WHERE topic > $1",
        "-- e\nSELECT * FROM letters a JOIN letters b ON b.id = a.id WHERE a.topic = $1",
        "-- f\nSELECT * FROM letters a JOIN letters b ON b.topic = $2 WHERE a.topic = $1",
        "-- g\nSELECT * FROM letters l JOIN names n ON n.id = l.id WHERE l.topic = $1",
        "-- h\nINSERT INTO letters (topic, id) SELECT 1, 2 ON CONFLICT (id) DO NOTHING",
        "-- i\nSELECT * FROM letters a WHERE a.topic = $1 \
         AND NOT EXISTS (SELECT 1 FROM letters b WHERE b.id = a.id)",
        "-- j\nSELECT * FROM letters WHERE topic = $1 OR id = $2",
    ];
    for sql in bad {
        assert_eq!(wrong_statement(&kept, sql).len(), 1, "{sql}");
    }
    let letters = BTreeSet::from(["letters".to_owned()]);
    let keys = [
        "CREATE TABLE letters (topic bigint, id bigint PRIMARY KEY)",
        "CREATE TABLE letters (topic bigint, id bigint, PRIMARY KEY (id, topic))",
        "CREATE TABLE letters (topic bigint PRIMARY KEY REFERENCES topics (id))",
        "CREATE TABLE letters (topic bigint PRIMARY KEY); CREATE UNIQUE INDEX i ON letters (id)",
        "CREATE TABLE letters (topic bigint PRIMARY KEY); \
         ALTER TABLE letters ADD FOREIGN KEY (topic) REFERENCES topics (id)",
        "CREATE TABLE letters (id bigint PRIMARY KEY)",
    ];
    for sql in keys {
        assert_eq!(wrong_keys(&tables(sql), &letters).len(), 1, "{sql}");
    }
    assert_eq!(wrong_keys(&kept, &letters), [""; 0]);
}

/// What is wrong with the tables of these names.
fn wrong_keys(tables: &Tables, names: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in names.iter().filter(|name| !OF_THE_DATABASE.contains(&name.as_str())) {
        let table = &tables[name];
        let first = if name == "topics" { "id" } else { "topic" };
        let is_of_topics = table.is_of_topics() || name == "topics";
        let is_first = |key: &Vec<String>| key[0] == first;
        if !is_of_topics || table.keys.is_empty() || !table.keys.iter().all(is_first) {
            wrong.push(format!("{name}: `{first}` is not first in {:?}", table.keys));
        }
        if table.refers {
            wrong.push(format!("{name}: refers to another table"));
        }
    }
    wrong
}

/// What is wrong with a statement.
fn wrong_statement(tables: &Tables, sql: &str) -> Vec<String> {
    let (label, words) = (label(sql), words(sql));
    if OF_NO_TOPIC.contains(&label) {
        return Vec::new();
    }
    let named = named(tables, &words);
    let is_of_topics = |table: &str| tables[table].is_of_topics();
    let mut wrong = Vec::new();
    let mut which = BTreeSet::new();
    for one in named.iter().filter(|one| one.is_read && is_of_topics(&one.table)) {
        // The first condition on it is the one that says which topic.
        let of = |name: &&[String]| match name[0].split_once('.') {
            Some((owner, _)) => owner == one.alias,
            None => one.alias == one.table,
        };
        let conditions = conditions(&words);
        let first = conditions.iter().map(|it| &it[..]).find(of);
        let part = |at: usize| first.and_then(|it| it.get(at)).map_or("", String::as_str);
        let is_topic = part(0).rsplit('.').next() == Some("topic");
        match part(1) {
            "=" if is_topic => which.insert(part(2).to_owned()),
            "," if is_topic && first.is_some_and(|it| it.iter().any(|word| word == "IN")) => {
                which.insert("IN".to_owned())
            }
            _ => {
                wrong.push(format!("-- {label}: the topic of {} is not given first", one.alias));
                false
            }
        };
    }
    if which.len() > 1 {
        wrong.push(format!("-- {label}: is about more than one topic: {which:?}"));
    }
    if named.iter().any(|one| is_of_topics(&one.table)) {
        let other = |name: &str| !is_of_topics(name) && !OF_THE_DATABASE.contains(&name);
        let others = named.iter().filter(|one| other(&one.table));
        wrong.extend(others.map(|one| format!("-- {label}: reads {} beside it", one.table)));
        if words.iter().any(|word| word == "OR") {
            wrong.push(format!("-- {label}: rows of a topic, or others"));
        }
        let target = words.windows(4).find(|part| part[0] == "ON" && part[1] == "CONFLICT");
        if target.is_some_and(|part| part[2] == "(" && part[3] != "topic") {
            wrong.push(format!("-- {label}: a conflict without the topic"));
        }
    }
    wrong
}

/// A table that a statement names.
struct Named {
    table: String,
    alias: String,
    /// Rows of it are looked for.
    is_read: bool,
}

fn named(tables: &Tables, words: &[String]) -> Vec<Named> {
    let mut named = Vec::new();
    let mut lists = false;
    for (at, word) in words.iter().enumerate() {
        let begins = ["FROM", "JOIN", "UPDATE", "INTO", "USING"].contains(&word.as_str());
        let Some(table) = words.get(at + 1).filter(|_| begins || (lists && word == ",")) else {
            continue;
        };
        lists = tables.contains_key(table);
        if lists {
            let alias = match words.get(at + 2).map(String::as_str) {
                Some("AS") => &words[at + 3],
                Some(next) if is_name(next) && next != "VALUES" => &words[at + 2],
                _ => table,
            };
            let (table, alias) = (table.clone(), alias.clone());
            named.push(Named { table, alias, is_read: word != "INTO" });
        }
    }
    named
}

fn is_name(word: &str) -> bool {
    !WORDS.contains(&word) && word.starts_with(|letter: char| letter.is_ascii_lowercase())
}

/// The conditions of a statement in order: each from the first name in it on.
fn conditions(words: &[String]) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = Vec::new();
    let mut is_condition = false;
    for (at, word) in words.iter().enumerate() {
        let next = words.get(at + 1).map_or("", String::as_str);
        match word.as_str() {
            "WHERE" | "AND" => is_condition = true,
            "ON" => is_condition = next != "CONFLICT",
            "(" | "NOT" if is_condition => continue,
            _ if is_condition && is_name(word) => {
                all.push(Vec::new());
                is_condition = false;
            }
            _ => is_condition = false,
        }
        if let Some(last) = all.last_mut()
            && !is_condition
        {
            last.push(word.clone());
        }
    }
    all
}

/// The tables that the statements name.
fn touched(tables: &Tables, statements: &[String]) -> BTreeSet<String> {
    let of_topics = statements.iter().filter(|sql| !OF_NO_TOPIC.contains(&label(sql)));
    of_topics.flat_map(|sql| named(tables, &words(sql))).map(|one| one.table).collect()
}

fn label(sql: &str) -> &str {
    sql.strip_prefix("-- ").and_then(|rest| rest.lines().next()).unwrap_or(sql)
}

/// The words of a statement, and what stands between them.
fn words(sql: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for line in sql.lines().map(|line| line.split("--").next().unwrap_or_default()) {
        let mut goes_on = false;
        for letter in line.chars() {
            let is_part = letter.is_alphanumeric() || "_.$'".contains(letter);
            match words.last_mut() {
                Some(word) if is_part && goes_on => word.push(letter),
                _ if !letter.is_whitespace() => words.push(letter.to_string()),
                _ => {}
            }
            goes_on = is_part;
        }
    }
    words
}

/// The statements among the texts of a source file.
fn statements(rust: &str) -> Vec<String> {
    let begins = ["-- ", "SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "];
    let texts = texts(rust).into_iter().flat_map(|text| {
        let parts = text.split("; ").map(str::to_owned);
        parts.collect::<Vec<_>>()
    });
    texts.filter(|text| begins.iter().any(|begin| text.starts_with(begin))).collect()
}

/// What a source file has in double quotes.
fn texts(rust: &str) -> Vec<String> {
    let code = rust.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    let (mut texts, mut letters) = (Vec::new(), code.chars().peekable());
    while letters.any(|letter| letter == '"') {
        let mut text = String::new();
        while let Some(letter) = letters.next_if(|letter| *letter != '"') {
            match if letter == '\\' { letters.next() } else { None } {
                None => text.push(letter),
                Some('n') => text.push('\n'),
                Some('\n') => while letters.next_if(|next| next.is_whitespace()).is_some() {},
                Some(other) => text.push(other),
            }
        }
        letters.next();
        texts.push(text);
    }
    texts
}

/// The tables that migrations make.
fn tables(sql: &str) -> Tables {
    let mut tables = Tables::new();
    let lines = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    for statement in lines.collect::<Vec<_>>().join("\n").split(';') {
        let words = words(statement);
        let text: Vec<&str> = words.iter().map(String::as_str).collect();
        match &text[..] {
            ["CREATE", "TABLE", name, "(", rest @ ..] => {
                *tables.entry((*name).to_owned()).or_default() = table(rest);
            }
            ["CREATE", "UNIQUE", "INDEX", _, "ON", name, "(", rest @ ..] => {
                tables.get_mut(*name).expect("a table").keys.push(names(rest));
            }
            ["ALTER", "TABLE", name, rest @ ..] if rest.contains(&"REFERENCES") => {
                tables.get_mut(*name).expect("a table").refers = true;
            }
            _ => {}
        }
    }
    tables
}

fn table(words: &[&str]) -> Table {
    let mut table = Table { refers: words.contains(&"REFERENCES"), ..Table::default() };
    let mut depth = 0_i32;
    let mut is_first = true;
    let mut column = "";
    for (at, word) in words.iter().enumerate() {
        match *word {
            "(" => depth += 1,
            ")" => depth -= 1,
            "PRIMARY" if is_first => table.keys.push(names(&words[at + 3..])),
            "PRIMARY" => table.keys.push(vec![column.to_owned()]),
            name if is_first && is_name(name) => {
                column = name;
                table.columns.insert(name.to_owned());
            }
            _ => {}
        }
        if depth < 0 {
            break;
        }
        is_first = depth == 0 && *word == ",";
    }
    table
}

/// The names up to the end of a list.
fn names(words: &[&str]) -> Vec<String> {
    let list = words.iter().take_while(|word| **word != ")").filter(|word| is_name(word));
    list.map(|word| (*word).to_owned()).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source(name: &str) -> String {
    fs::read_to_string(root().join(format!("src/store/postgres/{name}.rs"))).expect(name)
}

/// All migrations, in order.
fn migrations() -> String {
    let files = fs::read_dir(root().join("migrations/postgres")).unwrap();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
}
