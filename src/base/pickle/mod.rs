//! Python pickles as data. A pickle is a program for a stack machine that may call anything; this reader builds plain
//! values only. Names of functions and their arguments stay symbols for the caller to interpret: no code is ever run.
//!
//! Protocols 0 to 5 (Python's `pickletools` has the opcodes), as far as numbers need them: what Python's `pickle`, numpy and
//! `torch.save` write of plain values. Every other opcode, and every global that the caller does not name, is refused.

mod machine;
mod numpy;

pub use numpy::{Array, NUMPY, Order, array};

use super::Result;
use std::borrow::Cow;

/// A pickle's values. They refer to each other by index, since a pickle may share values, or nest them in themselves: a few
/// bytes that would be a tree of gigabytes stay a few bytes, and no depth costs stack.
pub struct Pickle<'b> {
    nodes: Vec<Node<'b>>,
    root: Id,
}

/// An index into the nodes.
type Id = u32;

enum Node<'b> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond 64 bits: known to be there, not readable.
    Large,
    Float(f64),
    Text(Cow<'b, str>),
    Bytes(Cow<'b, [u8]>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(String),
    Call {
        function: Id,
        arguments: Id,
        state: Option<Id>,
    },
    Persistent(Id),
}

/// Read the pickle at the start of `bytes`; what follows its end is left alone. `globals` are the names (`module.name`) that
/// may occur beside those of `collections` and Python's own ways to write bytes, which become dicts and bytes.
///
/// Errors: an opcode or a global that is not allowed (named), bytes that end too early, more opcodes than a file of numbers has.
pub fn parse<'b>(bytes: &'b [u8], globals: &[&str]) -> Result<Pickle<'b>> {
    machine::Machine::new(bytes, globals).run()
}

impl Pickle<'_> {
    /// The value that was pickled.
    pub fn root(&self) -> Value<'_> {
        Value { nodes: &self.nodes, id: self.root }
    }
}

/// A value of a pickle, as a handle.
#[derive(Clone, Copy)]
pub struct Value<'p> {
    nodes: &'p [Node<'p>],
    id: Id,
}

/// A function that the pickle asks to be called, which nobody does.
#[derive(Clone)]
pub struct Call<'p> {
    /// `module.name`.
    pub function: &'p str,
    /// The arguments.
    pub arguments: Vec<Value<'p>>,
    /// What its result's `__setstate__` would be given.
    pub state: Option<Value<'p>>,
}

impl<'p> Value<'p> {
    fn node(self) -> &'p Node<'p> {
        &self.nodes[self.id as usize]
    }

    fn at(self, id: Id) -> Value<'p> {
        Value { id, ..self }
    }

    /// What kind of value it is, for messages.
    pub fn kind(self) -> &'static str {
        match self.node() {
            Node::None => "None",
            Node::Bool(_) => "a bool",
            Node::Int(_) | Node::Large => "an integer",
            Node::Float(_) => "a float",
            Node::Text(_) => "a string",
            Node::Bytes(_) => "bytes",
            Node::Tuple(_) => "a tuple",
            Node::List(_) => "a list",
            Node::Dict(_) => "a dict",
            Node::Global(_) => "a function or class",
            Node::Call { .. } => "an object",
            Node::Persistent(_) => "a persistent object",
        }
    }

    /// Whether it is None.
    pub fn is_none(self) -> bool {
        matches!(self.node(), Node::None)
    }

    /// An integer or a bool, as an integer.
    pub fn int(self) -> Option<i64> {
        match self.node() {
            Node::Int(value) => Some(*value),
            Node::Bool(value) => Some(i64::from(*value)),
            _ => None,
        }
    }

    /// A number that counts something.
    pub fn count(self) -> Option<usize> {
        self.int().and_then(|value| usize::try_from(value).ok())
    }

    /// A float.
    pub fn float(self) -> Option<f64> {
        if let Node::Float(value) = self.node() { Some(*value) } else { None }
    }

    /// A string; bytes too where they are UTF-8, since Python 2 had one type for both.
    pub fn text(self) -> Option<&'p str> {
        match self.node() {
            Node::Text(text) => Some(text),
            Node::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Bytes (Python 2: a string).
    pub fn bytes(self) -> Option<&'p [u8]> {
        if let Node::Bytes(bytes) = self.node() { Some(bytes) } else { None }
    }

    /// The items of a tuple or a list.
    pub fn items(self) -> Option<impl ExactSizeIterator<Item = Value<'p>>> {
        match self.node() {
            Node::Tuple(items) | Node::List(items) => Some(items.iter().map(move |&id| self.at(id))),
            _ => None,
        }
    }

    /// The entries of a dict, in order, as they were set (a key may come again: the last counts).
    pub fn entries(self) -> Option<impl ExactSizeIterator<Item = (Value<'p>, Value<'p>)>> {
        match self.node() {
            Node::Dict(entries) => Some(entries.iter().map(move |&(key, value)| (self.at(key), self.at(value)))),
            _ => None,
        }
    }

    /// The value of a dict at the key `name` (str or bytes).
    pub fn get(self, name: &str) -> Option<Value<'p>> {
        self.entries()?.filter(|(key, _)| key.text() == Some(name)).last().map(|(_, value)| value)
    }

    /// The name, `module.name`, of a global.
    pub fn global(self) -> Option<&'p str> {
        if let Node::Global(name) = self.node() { Some(name) } else { None }
    }

    /// A call that was asked for.
    pub fn call(self) -> Option<Call<'p>> {
        let Node::Call { function, arguments, state } = self.node() else { return None };
        Some(Call {
            function: self.at(*function).global()?,
            arguments: self.at(*arguments).items()?.collect(),
            state: state.map(|id| self.at(id)),
        })
    }

    /// The id of an object that is kept outside the pickle.
    pub fn persistent(self) -> Option<Value<'p>> {
        if let Node::Persistent(id) = self.node() { Some(self.at(*id)) } else { None }
    }
}

#[cfg(test)]
mod tests;
