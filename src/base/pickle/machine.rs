//! The stack machine: one pass over the opcodes. Every length is held against the bytes that are left before anything is
//! made of it, and an opcode makes at most one node, so memory is bounded by a small multiple of the input.

use super::{Id, Node, Pickle};
use crate::base::{Error, Result, ensure, fail};
use std::borrow::Cow;
use std::collections::HashMap;

/// More opcodes than any file of numbers has (CIFAR-100's training set: a quarter of a million).
const MOST_OPCODES: usize = 1 << 22;

/// Globals that every caller may meet: they become dicts and bytes on the way.
const PLAIN: [&str; 6] =
    ["collections.OrderedDict", "collections.defaultdict", "collections.Counter", "_codecs.encode", "builtins.bytes", "builtins.bytearray"];

pub(super) struct Machine<'b, 'g> {
    bytes: &'b [u8],
    at: usize,
    globals: &'g [&'g str],
    nodes: Vec<Node<'b>>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Values that were copied, all together.
    copied: usize,
}

impl<'b, 'g> Machine<'b, 'g> {
    pub fn new(bytes: &'b [u8], globals: &'g [&'g str]) -> Self {
        Machine { bytes, at: 0, globals, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new(), copied: 0 }
    }

    pub fn run(mut self) -> Result<Pickle<'b>> {
        for _ in 0..MOST_OPCODES {
            let at = self.at;
            if let Some(root) = self.opcode().map_err(|error| error.within(format!("pickle, byte {at}")))? {
                return Ok(Pickle { nodes: self.nodes, root });
            }
        }
        Err(fail!("pickle: more than {MOST_OPCODES} opcodes; this is no file of numbers"))
    }

    /// Do one opcode; the root where it was STOP.
    fn opcode(&mut self) -> Result<Option<Id>> {
        match self.byte()? {
            b'.' => return self.pop().map(Some),
            // PROTO, FRAME: the lengths of frames say nothing that the opcodes do not.
            0x80 => {
                let protocol = self.byte()?;
                ensure!(protocol <= 5, "protocol {protocol}, this program reads 0 to 5; pickle it with protocol 2");
            }
            0x95 => drop(self.take(8)?),
            // Constants.
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            // Numbers.
            b'I' | b'L' => self.decimal()?,
            b'J' => self.integer(4)?,
            b'K' => self.natural(1)?,
            b'M' => self.natural(2)?,
            0x8a => self.long(1)?,
            0x8b => self.long(4)?,
            b'F' => {
                let line = self.line()?;
                let number = line.trim().parse().map_err(|_| fail!("\"{}\" is no number", shown(line)))?;
                self.push(Node::Float(number));
            }
            b'G' => {
                let bits = self.take(8)?.iter().fold(0, |bits, &byte| bits << 8 | u64::from(byte));
                self.push(Node::Float(f64::from_bits(bits)));
            }
            // Strings and bytes: protocol 0, Python 2's str, unicode, bytes, bytearray.
            b'S' => self.quoted()?,
            b'V' => self.escaped()?,
            b'U' | b'C' => self.raw(1)?,
            b'T' | b'B' => self.raw(4)?,
            0x8e | 0x96 => self.raw(8)?,
            0x8c => self.unicode(1)?,
            b'X' => self.unicode(4)?,
            0x8d => self.unicode(8)?,
            other => self.structure(other)?,
        }
        Ok(None)
    }

    /// The opcodes that put values together.
    fn structure(&mut self, code: u8) -> Result<()> {
        match code {
            b'(' => self.marks.push(self.stack.len()),
            b'1' => drop(self.marked()?),
            b'0' => drop(self.pop()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b')' => self.push(Node::Tuple(Vec::new())),
            b't' => {
                let items = self.marked()?;
                self.push(Node::Tuple(items));
            }
            0x85..=0x87 => {
                let items = self.popped(usize::from(code) - 0x84)?;
                self.push(Node::Tuple(items));
            }
            b']' => self.push(Node::List(Vec::new())),
            b'l' => {
                let items = self.marked()?;
                self.push(Node::List(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.list()?.push(item);
            }
            b'e' => {
                let items = self.marked()?;
                self.list()?.extend(items);
            }
            b'}' => self.push(Node::Dict(Vec::new())),
            b'd' => {
                let items = self.marked()?;
                self.push(Node::Dict(pairs(&items)?));
            }
            b's' => {
                let items = self.popped(2)?;
                self.dict()?.push((items[0], items[1]));
            }
            b'u' => {
                let items = pairs(&self.marked()?)?;
                self.dict()?.extend(items);
            }
            other => self.reference(other)?,
        }
        Ok(())
    }

    /// The opcodes that refer to values made before, and to things outside.
    fn reference(&mut self, code: u8) -> Result<()> {
        match code {
            b'p' => self.line()?.trim().parse().map_err(|_| fail!("a memo index that is no number")).and_then(|index| self.put(index)),
            b'q' => self.size(1).and_then(|index| self.put(index)),
            b'r' => self.size(4).and_then(|index| self.put(index)),
            0x94 => self.put(self.memo.len() as u64),
            b'g' => self.line()?.trim().parse().map_err(|_| fail!("a memo index that is no number")).and_then(|index| self.get(index)),
            b'h' => self.size(1).and_then(|index| self.get(index)),
            b'j' => self.size(4).and_then(|index| self.get(index)),
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id: Id| match &self.nodes[id as usize] {
                    Node::Text(text) => Ok(text.clone()),
                    _ => Err(fail!("the name of a global is no string")),
                };
                let (module, name) = (text(module)?, text(name)?);
                self.global(&module, &name)
            }
            b'R' => self.call(),
            b'b' => self.build(),
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::Persistent(id));
                Ok(())
            }
            other => Err(refused(other)),
        }
    }

    // What an opcode reads.

    fn take(&mut self, count: usize) -> Result<&'b [u8]> {
        let left = &self.bytes[self.at..];
        ensure!(count <= left.len(), "{count} bytes are wanted, {} are left; the file is truncated or no pickle", left.len());
        self.at += count;
        Ok(&left[..count])
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// A little-endian number of `width` bytes.
    fn size(&mut self, width: usize) -> Result<u64> {
        Ok(self.take(width)?.iter().rev().fold(0, |size, &byte| size << 8 | u64::from(byte)))
    }

    /// Bytes behind their length of `width` bytes.
    fn counted(&mut self, width: usize) -> Result<&'b [u8]> {
        let size = self.size(width)?;
        self.take(usize::try_from(size).unwrap_or(usize::MAX))
    }

    /// Bytes up to a line break, which is dropped.
    fn until_break(&mut self) -> Result<&'b [u8]> {
        let left = &self.bytes[self.at..];
        let end = left.iter().position(|&byte| byte == b'\n').ok_or_else(|| fail!("a line without an end; the file is truncated"))?;
        self.at += end + 1;
        Ok(&left[..end])
    }

    fn line(&mut self) -> Result<&'b str> {
        let line = std::str::from_utf8(self.until_break()?).map_err(|_| fail!("a line that is no text"))?;
        Ok(line.trim_end_matches('\r'))
    }

    // Leaves.

    fn push(&mut self, node: Node<'b>) {
        self.stack.push(self.nodes.len() as Id); // below MOST_OPCODES
        self.nodes.push(node);
    }

    fn natural(&mut self, width: usize) -> Result<()> {
        let value = self.size(width)?;
        self.push(Node::Int(value as i64)); // at most 16 bits
        Ok(())
    }

    fn integer(&mut self, width: usize) -> Result<()> {
        let bytes = self.take(width)?;
        self.push(signed(bytes));
        Ok(())
    }

    fn long(&mut self, width: usize) -> Result<()> {
        let bytes = self.counted(width)?;
        self.push(signed(bytes));
        Ok(())
    }

    /// Protocol 0's integers; `00` and `01` are its bools.
    fn decimal(&mut self) -> Result<()> {
        let line = self.line()?;
        let digits = line.trim().trim_end_matches('L');
        let whole = digits.strip_prefix('-').unwrap_or(digits);
        ensure!(!whole.is_empty() && whole.bytes().all(|byte| byte.is_ascii_digit()), "\"{}\" is no integer", shown(line));
        self.push(match line {
            "00" => Node::Bool(false),
            "01" => Node::Bool(true),
            _ => digits.parse().map_or(Node::Large, Node::Int),
        });
        Ok(())
    }

    fn raw(&mut self, width: usize) -> Result<()> {
        let bytes = self.counted(width)?;
        self.push(Node::Bytes(Cow::Borrowed(bytes)));
        Ok(())
    }

    fn unicode(&mut self, width: usize) -> Result<()> {
        let bytes = self.counted(width)?;
        let text = std::str::from_utf8(bytes).map_err(|_| fail!("a string that is no UTF-8"))?;
        self.push(Node::Text(Cow::Borrowed(text)));
        Ok(())
    }

    /// Protocol 0's str: in quotes, with Python's escapes.
    fn quoted(&mut self) -> Result<()> {
        let line = self.line()?.trim();
        let inside = ['\'', '"'].into_iter().find_map(|quote| line.strip_prefix(quote)?.strip_suffix(quote));
        let inside = inside.ok_or_else(|| fail!("a string without quotes: {}", shown(line)))?;
        let mut bytes = Vec::with_capacity(inside.len());
        let mut rest = inside.as_bytes();
        loop {
            let (byte, after) = match rest {
                [] => break,
                [b'\\', b'x', high, low, after @ ..] => {
                    let digit = |byte: &u8| (*byte as char).to_digit(16).ok_or_else(|| fail!("a broken \\x escape"));
                    ((digit(high)? << 4 | digit(low)?) as u8, after)
                }
                [b'\\', b'n', after @ ..] => (b'\n', after),
                [b'\\', b'r', after @ ..] => (b'\r', after),
                [b'\\', b't', after @ ..] => (b'\t', after),
                [b'\\', byte, after @ ..] | [byte, after @ ..] => (*byte, after),
            };
            bytes.push(byte);
            rest = after;
        }
        self.push(Node::Bytes(Cow::Owned(bytes)));
        Ok(())
    }

    /// Protocol 0's unicode: Latin-1, and \u escapes.
    fn escaped(&mut self) -> Result<()> {
        let mut rest = self.until_break()?;
        let mut text = String::with_capacity(rest.len());
        while let [byte, after @ ..] = rest {
            let width = match (byte, after.first()) {
                (b'\\', Some(b'u')) => 4,
                (b'\\', Some(b'U')) => 8,
                _ => {
                    text.push(char::from(*byte));
                    rest = after;
                    continue;
                }
            };
            let digits = after.get(1..=width).and_then(|digits| std::str::from_utf8(digits).ok());
            let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
            text.push(code.ok_or_else(|| fail!("a broken \\u escape"))?);
            rest = &after[1 + width..];
        }
        self.push(Node::Text(Cow::Owned(text)));
        Ok(())
    }

    // The stack and the memo.

    /// How low the stack may be emptied: to the last open mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Id> {
        ensure!(self.stack.len() > self.floor(), "a value is wanted where there is none; this is no whole pickle");
        Ok(self.stack[self.stack.len() - 1])
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn popped(&mut self, count: usize) -> Result<Vec<Id>> {
        ensure!(self.stack.len() >= self.floor() + count, "{count} values are wanted where there are fewer; this is no whole pickle");
        Ok(self.stack.split_off(self.stack.len() - count))
    }

    /// What stands above the last mark, which goes.
    fn marked(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| fail!("a mark is wanted where there is none; this is no whole pickle"))?;
        Ok(self.stack.split_off(mark))
    }

    fn list(&mut self) -> Result<&mut Vec<Id>> {
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::List(items) => Ok(items),
            _ => Err(fail!("items for something that is no list")),
        }
    }

    fn dict(&mut self) -> Result<&mut Vec<(Id, Id)>> {
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::Dict(entries) => Ok(entries),
            _ => Err(fail!("entries for something that is no dict")),
        }
    }

    fn put(&mut self, index: u64) -> Result<()> {
        let top = self.top()?;
        let index = u32::try_from(index).map_err(|_| fail!("a memo index of {index}"))?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn get(&mut self, index: u64) -> Result<()> {
        let found = u32::try_from(index).ok().and_then(|index| self.memo.get(&index));
        self.stack.push(*found.ok_or_else(|| fail!("nothing was remembered as {index}"))?);
        Ok(())
    }

    // What stays a symbol.

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let module = if module == "__builtin__" { "builtins" } else { module }; // Python 2's name
        let whole = format!("{module}.{name}");
        let known = PLAIN.iter().chain(self.globals).any(|known| *known == whole);
        ensure!(
            known,
            "the file wants {} of Python, which plain numbers do not need; it is refused, and nothing of it was run",
            shown(&whole)
        );
        self.push(Node::Global(whole));
        Ok(())
    }

    fn call(&mut self) -> Result<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Node::Global(name) = &self.nodes[function as usize] else { return Err(fail!("a call of something that is no function")) };
        let Node::Tuple(given) = &self.nodes[arguments as usize] else {
            return Err(fail!("a call of {name} without a tuple of arguments"));
        };
        let first = given.first().copied();
        let node = match name.as_str() {
            "collections.defaultdict" => Node::Dict(Vec::new()),
            "collections.OrderedDict" | "collections.Counter" => match first.map(|id| &self.nodes[id as usize]) {
                Some(Node::Dict(_)) => {
                    self.stack.extend(first); // nobody reads it as anything else
                    return Ok(());
                }
                _ => Node::Dict(self.filled(first)?),
            },
            "_codecs.encode" | "builtins.bytes" | "builtins.bytearray" => Node::Bytes(Cow::Owned(self.encoded(first)?)),
            _ => Node::Call { function, arguments, state: None },
        };
        self.push(node);
        Ok(())
    }

    /// Allow for `count` values to be copied. A value may be remembered and copied again and again; honest files copy each once.
    fn copy(&mut self, count: usize) -> Result<()> {
        self.copied = self.copied.saturating_add(count);
        ensure!(self.copied <= self.bytes.len(), "the same values are copied again and again; this is no file of numbers");
        Ok(())
    }

    /// The entries of a dict of nothing (they follow), or of a list of pairs, as Python 2 wrote an OrderedDict.
    fn filled(&mut self, given: Option<Id>) -> Result<Vec<(Id, Id)>> {
        let wrong = || fail!("a dict of something that is no list of pairs");
        let Some(id) = given else { return Ok(Vec::new()) };
        self.copy(if let Node::List(items) = &self.nodes[id as usize] { items.len() } else { 0 })?;
        let Node::List(items) = &self.nodes[id as usize] else { return Err(wrong()) };
        let pair = |&id: &Id| match &self.nodes[id as usize] {
            Node::List(pair) | Node::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
            _ => Err(wrong()),
        };
        items.iter().map(pair).collect()
    }

    /// Bytes as Python 3 writes them for Python 2: a string whose characters are the bytes.
    fn encoded(&mut self, given: Option<Id>) -> Result<Vec<u8>> {
        let Some(id) = given else { return Ok(Vec::new()) };
        self.copy(if let Node::Text(text) = &self.nodes[id as usize] { text.len() } else { 0 })?;
        let Node::Text(text) = &self.nodes[id as usize] else { return Err(fail!("bytes of something that is no string")) };
        let byte = |c: char| u8::try_from(u32::from(c)).map_err(|_| fail!("bytes with a character beyond Latin-1"));
        text.chars().map(byte).collect()
    }

    /// State for the value below it. A dict's (attributes of an OrderedDict) is dropped.
    fn build(&mut self) -> Result<()> {
        let given = self.pop()?;
        let top = self.top()?;
        match &mut self.nodes[top as usize] {
            Node::Call { state, .. } => *state = Some(given),
            Node::Dict(_) => {}
            _ => return Err(fail!("a state for something that is no object")),
        }
        Ok(())
    }
}

fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>> {
    ensure!(items.len().is_multiple_of(2), "a dict with a key that has no value");
    Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// A little-endian integer in two's complement.
fn signed(bytes: &[u8]) -> Node<'static> {
    if bytes.len() > 8 {
        return Node::Large;
    }
    let fill = if bytes.last().is_some_and(|&byte| byte >= 0x80) { 0xff } else { 0 };
    let mut whole = [fill; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    Node::Int(i64::from_le_bytes(whole))
}

/// A piece of the file, short and printable.
fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let mut shown: String = text.chars().take(MOST).map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

fn refused(code: u8) -> Error {
    let name = match code {
        b'i' => "INST",
        b'o' => "OBJ",
        0x81 => "NEWOBJ",
        0x92 => "NEWOBJ_EX",
        0x82..=0x84 => "EXT",
        0x8f => "EMPTY_SET",
        0x90 => "ADDITEMS",
        0x91 => "FROZENSET",
        0x97 => "NEXT_BUFFER",
        0x98 => "READONLY_BUFFER",
        b'P' => "PERSID",
        _ => return fail!("0x{code:02x} is no opcode; the file is corrupt or no pickle"),
    };
    fail!("the opcode {name} makes more than plain numbers; the file is refused, and nothing of it was run")
}
