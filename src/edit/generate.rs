//! Generates files for the tests of edits, for those of real readers too.
#![allow(clippy::unwrap_used, unreachable_pub)]

use super::Written;

/// A small generator of numbers (xorshift): the same case for the same number, everywhere.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn of_case(number: u64) -> Self {
        Self(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn of<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[self.below(choices.len())]
    }
}

/// What a slot of the file holds of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Name,
    Tag,
    Digest,
    Reference,
}

/// A piece of a file: text that must stay, or a value that shall change.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    Text(String),
    /// With its quotes, or none.
    Slot(Part, &'static str, String),
}

const TAGS: [&str; 24] = [
    "1.0",
    "1.2.3",
    "v1",
    "1e3",
    "0x1F",
    "017",
    "0o17",
    "1_000",
    "2024-01-01",
    "yes",
    "N",
    "null",
    "on",
    "12e4567",
    "0b11",
    "190",
    "1.2.3-rc.1_2",
    "main-0a1b2c3",
    "build-20240101T101112Z-abc",
    "_1",
    "nan",
    "Inf",
    "20240101",
    "2001-1-1",
];
const NAMES: [&str; 6] = [
    "r.io/a",
    "localhost:5000/a",
    "old.example/team/a",
    "127.0.0.1:5000/a",
    "a",
    "111122223333.dkr.ecr.eu-west-1.amazonaws.com/a",
];

fn digest(dice: &mut Dice) -> String {
    format!("sha256:{}", format!("{:x}", dice.below(16)).repeat(64))
}

pub(super) fn image(dice: &mut Dice) -> Written {
    Written {
        new_name: Some(dice.of(&NAMES).to_owned()),
        new_tag: Some(dice.of(&TAGS).parse().unwrap()),
        digest: Some(digest(dice).parse().unwrap()),
    }
}

pub(super) fn value(part: Part, image: &Written) -> String {
    let (name, tag) = (image.new_name.as_deref().unwrap(), image.new_tag.as_ref().unwrap());
    let digest = image.digest.as_ref().unwrap();
    match part {
        Part::Name => name.to_owned(),
        Part::Tag => tag.to_string(),
        Part::Digest => digest.to_string(),
        Part::Reference => format!("{name}:{tag}@{digest}"),
    }
}

struct File<'d> {
    dice: &'d mut Dice,
    pieces: Vec<Piece>,
    ending: &'static str,
    /// How many lines without meaning there are: their keys differ by it.
    count: usize,
    /// Whether lines without meaning are comments and empty ones alone.
    strict: bool,
}

impl File<'_> {
    fn text(&mut self, text: &str) {
        self.pieces.push(Piece::Text(text.to_owned()));
    }

    fn line(&mut self, text: &str) {
        self.text(text);
        self.end();
    }

    /// Maybe a comment, and the line's end.
    fn end(&mut self) {
        let comment = self.dice.of(&["", "", "", " # c", "   # größe 🎉", "\t# {a: b}", " "]);
        self.text(&format!("{comment}{}", self.ending));
    }

    fn slot(&mut self, part: Part, flow: bool) {
        let old = image(self.dice);
        let style = ["", "'", "\"", "\"", if flow { "\"" } else { "" }][self.dice.below(5)];
        self.pieces.push(Piece::Slot(part, style, value(part, &old)));
    }

    /// Lines that mean nothing to anybody.
    fn noise(&mut self) {
        for _ in 0..self.dice.below(3) {
            self.count += 1;
            let number = self.count;
            match self.dice.below(if self.strict { 2 } else { 9 }) {
                0 => self.line("# images: [{name: a, newTag: '0'}]"),
                1 => self.text(self.ending),
                2 => self.line(&format!("x{number}: &n{number} [1, two, 'three']")),
                3 => {
                    self.line(&format!("x{number}: &n{number} {{newTag: '1.0'}}"));
                    self.line(&format!("y{number}: *n{number}"));
                }
                4 => {
                    self.text(&format!("t{number}: |{}", self.ending));
                    self.text(&format!(
                        "  images:{0}  - name: a{0}{0}    newTag: 1 # no comment{0}",
                        self.ending
                    ));
                }
                5 => self.line(&format!("f{number}: >-{}  newTag: 1", self.ending)),
                6 => self.line(&format!("\"q{number}\": 'it''s: [a' ")),
                7 => self.line(&format!("ü{number}: {{a: 1.20, b: [x, {{c: ~}}]}}")),
                _ => self.line(&format!("long{number}: {}", "word ".repeat(40).trim_end())),
            }
        }
    }

    fn entry(&mut self, indent: usize) {
        let gap = 1 + self.dice.below(3);
        let flow = self.dice.one_in(3);
        let mut fields: Vec<Option<Part>> = vec![None];
        for part in [Part::Name, Part::Tag, Part::Digest] {
            if !self.dice.one_in(4) {
                let at = self.dice.below(fields.len() + 1);
                fields.insert(at, Some(part));
            }
        }
        self.text(&format!("{}-{}", " ".repeat(indent), " ".repeat(gap)));
        if flow {
            self.text("{");
        }
        for (number, field) in fields.iter().enumerate() {
            if number > 0 {
                let between = format!("{}{}", self.ending, " ".repeat(indent + 1 + gap));
                let between = if flow { self.dice.of(&[", ", " , "]).to_owned() } else { between };
                self.text(&between);
            }
            let key = match field {
                None => "name",
                Some(Part::Name) => "newName",
                Some(Part::Tag) => "newTag",
                Some(_) => "digest",
            };
            let quote = self.dice.of(&["", "", "", "\"", "'"]);
            self.text(&format!("{quote}{key}{quote}: "));
            match field {
                None => self.text("a"),
                Some(part) => self.slot(*part, flow),
            }
        }
        if flow {
            self.text("}");
        }
        self.end();
    }

    fn other_entry(&mut self, indent: usize, number: usize) {
        let indent = " ".repeat(indent);
        let text = match self.dice.below(3) {
            0 => format!("{indent}- {{newTag: '1.0', name: b{number}}}"),
            1 => format!("{indent}- name: b{number}{}{indent}  newTag: \"1.0\"", self.ending),
            _ => format!("{indent}-  name: 'b{number}'"),
        };
        self.line(&text);
    }

    fn marked(&mut self, number: usize) {
        let part = [Part::Name, Part::Tag, Part::Digest, Part::Reference][self.dice.below(4)];
        let suffix = match part {
            Part::Name => ":name",
            Part::Tag => ":tag",
            Part::Digest => ":digest",
            Part::Reference => "",
        };
        let other = self.dice.one_in(4);
        let policy = if other { "other:b" } else { "ns:a" };
        let marker = format!("# {{\"$imagepolicy\": \"{policy}{suffix}\"}}");
        let (before, behind, flow) = match self.dice.below(6) {
            0 => (format!("k{number}: "), format!(" {marker}"), false),
            1 => (format!("k{number}:{}  -  ", self.ending), format!("\t {marker}"), false),
            2 => (format!("k{number}: {{a: b, \"c\": "), format!(", {marker}{}  d: e}}", self.ending), true),
            // The line above must be no comment.
            3 => (format!("z{number}: 1{0}{marker}{0}k{number}: ", self.ending), String::new(), false),
            4 => (format!("k{number}: {marker}{}  ", self.ending), " # c".to_owned(), false),
            _ => (format!("k{number}: [x, "), format!(" {marker}{}  ]", self.ending), true),
        };
        self.text(&before);
        if other {
            self.text("\"kept\"");
        } else {
            self.slot(part, flow);
        }
        self.text(&behind);
        self.text(self.ending);
    }
}

/// A file: its pieces, and whether it has the entry `a`. With a `head` it is one document that begins with these lines and
/// has nothing beside its images that kustomize would not know.
pub(super) fn file(dice: &mut Dice, head: &[String]) -> (Vec<Piece>, bool) {
    let ending = if dice.one_in(3) { "\r\n" } else { "\n" };
    let strict = !head.is_empty();
    let mut file = File { dice, pieces: Vec::new(), ending, count: 0, strict };
    if file.dice.one_in(8) {
        file.text("\u{feff}");
    }
    let documents = if strict { 1 } else { 1 + file.dice.below(3) };
    let with_entry = if strict { 0 } else { file.dice.below(documents + 1) };
    for document in 0..documents {
        if document > 0 {
            let ends = if file.dice.one_in(3) { format!("...{ending}") } else { String::new() };
            file.text(&format!("{ends}---{ending}"));
        }
        if strict {
            for line in head {
                file.line(line);
            }
        } else {
            file.line("kind: x");
        }
        file.noise();
        if document == with_entry {
            file.line("images:");
            let indent = file.dice.below(5);
            let (before, behind) = (file.dice.below(3), file.dice.below(3));
            (0..before).for_each(|number| file.other_entry(indent, number));
            file.entry(indent);
            (0..behind).for_each(|number| file.other_entry(indent, 10 + number));
        }
        file.noise();
        if !strict {
            (0..file.dice.below(3)).for_each(|number| file.marked(document * 10 + number));
        }
        file.noise();
        let last = if strict { "namespace: last" } else { "last: 1" };
        file.text(&format!("{last}{ending}"));
    }
    if file.dice.one_in(3) {
        file.text(&format!("# the end{ending}"));
    }
    let (mut pieces, has_entry) = (file.pieces, with_entry < documents);
    if dice.one_in(3)
        && let Some(Piece::Text(text)) = pieces.last_mut()
    {
        text.truncate(text.trim_end().len());
    }
    (pieces, has_entry)
}

pub(super) fn rendered(pieces: &[Piece]) -> String {
    let render = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Slot(_, quote, value) => format!("{quote}{value}{quote}"),
    };
    pieces.iter().map(render).collect()
}
