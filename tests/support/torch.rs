//! Writes what `torch.save` writes, byte by byte: a zip archive with a pickle and one entry a storage.

use flate2::{Compression, Crc, write::DeflateEncoder};
use std::io::Write;

/// How an entry of an archive is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pack {
    Stored,
    Deflated,
    /// Stored, all sizes and offsets in zip64's fields.
    Zip64,
}

/// A zip archive of these entries.
pub fn zip(entries: &[(String, Vec<u8>)], pack: Pack) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    let large = pack == Pack::Zip64;
    for (name, bytes) in entries {
        let mut crc = Crc::new();
        crc.update(bytes);
        let packed = if pack == Pack::Deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        } else {
            bytes.clone()
        };
        let offset = file.len();
        let size = |size: usize| if large { u32::MAX } else { size as u32 }.to_le_bytes();
        let mut sizes = Vec::new();
        if large {
            sizes.extend([bytes.len() as u64, packed.len() as u64].into_iter().flat_map(u64::to_le_bytes));
        }
        let extra = |more: &[u8]| {
            if large {
                [&1u16.to_le_bytes()[..], &((sizes.len() + more.len()) as u16).to_le_bytes(), &sizes, more].concat()
            } else {
                vec![]
            }
        };
        let (local_extra, central_extra) = (extra(&[]), extra(&(offset as u64).to_le_bytes()));
        let common = |extra: &[u8]| {
            let method = u16::from(pack == Pack::Deflated) * 8;
            let mut header = [45u16, 0, method, 0, 0].map(u16::to_le_bytes).concat();
            header.extend(crc.sum().to_le_bytes());
            header.extend([size(packed.len()), size(bytes.len())].concat());
            header.extend([name.len() as u16, extra.len() as u16].map(u16::to_le_bytes).concat());
            header
        };
        file.extend([b"PK\x03\x04", &common(&local_extra)[..], name.as_bytes(), &local_extra, &packed].concat());
        let rest = [&[0u8; 10][..], &size(offset)].concat(); // comment, disk, attributes, offset
        directory.extend([b"PK\x01\x02\x2d\x00", &common(&central_extra)[..], &rest, name.as_bytes(), &central_extra].concat());
    }
    let (start, count) = (file.len(), entries.len());
    file.extend(&directory);
    if large {
        let end = file.len() as u64;
        file.extend([&b"PK\x06\x06"[..], &44u64.to_le_bytes(), &[45, 0, 45, 0], &[0; 8]].concat());
        file.extend([count, count, directory.len(), start].map(|x| (x as u64).to_le_bytes()).concat());
        file.extend([&b"PK\x06\x07"[..], &[0; 4], &end.to_le_bytes(), &1u32.to_le_bytes()].concat());
    }
    let small = |x: usize| if large { u32::MAX } else { x as u32 }.to_le_bytes();
    let counts = if large { u16::MAX } else { count as u16 }.to_le_bytes();
    file.extend([&b"PK\x05\x06"[..], &[0; 4], &counts, &counts, &small(directory.len()), &small(start), &[0; 2]].concat());
    file
}

/// The pickle of `value`s, put together by hand.
#[derive(Clone)]
pub enum Value {
    /// The opcodes themselves.
    Raw(Vec<u8>),
    Text(String),
    Int(i64),
    Tuple(Vec<Value>),
    Dict(Vec<(String, Value)>),
    /// `collections.OrderedDict` with the attribute `_metadata`, as `state_dict()` returns.
    Ordered(Vec<(String, Value)>),
    /// `module name`
    Global(&'static str),
    Call(&'static str, Vec<Value>),
    Persistent(Box<Value>),
}

impl Value {
    pub fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Raw(bytes) => out.extend(bytes),
            Value::Text(text) => {
                out.push(b'X');
                out.extend((text.len() as u32).to_le_bytes());
                out.extend(text.as_bytes());
            }
            Value::Int(value) => {
                out.extend([0x8a, 8]);
                out.extend(value.to_le_bytes());
            }
            Value::Tuple(items) => {
                out.push(b'(');
                items.iter().for_each(|item| item.write(out));
                out.push(b't');
            }
            Value::Dict(entries) => {
                out.extend(b"}(");
                for (key, value) in entries {
                    Value::text(key).write(out);
                    value.write(out);
                }
                out.push(b'u');
            }
            Value::Ordered(entries) => {
                Value::Call("collections OrderedDict", vec![]).write(out);
                out.push(b'(');
                for (key, value) in entries {
                    Value::text(key).write(out);
                    value.write(out);
                }
                out.push(b'u');
                Value::Dict(vec![("_metadata".into(), Value::Call("collections OrderedDict", vec![]))]).write(out);
                out.push(b'b');
            }
            Value::Global(name) => {
                out.push(b'c');
                out.extend(name.replace(' ', "\n").as_bytes());
                out.push(b'\n');
            }
            Value::Call(name, arguments) => {
                Value::Global(name).write(out);
                Value::Tuple(arguments.clone()).write(out);
                out.push(b'R');
            }
            Value::Persistent(id) => {
                id.write(out);
                out.push(b'Q');
            }
        }
    }

    /// The whole pickle, protocol 2.
    pub fn pickle(&self) -> Vec<u8> {
        let mut out = vec![0x80, 2];
        self.write(&mut out);
        out.push(b'.');
        out
    }
}

/// `torch._utils._rebuild_tensor_v2` of `count` numbers in storage `key`.
pub fn tensor(storage: &'static str, key: &str, count: usize, offset: usize, shape: &[usize], strides: &[usize]) -> Value {
    let list = |values: &[usize]| Value::Tuple(values.iter().map(|&value| Value::Int(value as i64)).collect());
    let id = vec![Value::text("storage"), Value::Global(storage), Value::text(key), Value::text("cpu"), Value::Int(count as i64)];
    let hooks = Value::Call("collections OrderedDict", vec![]);
    let place = Value::Persistent(Box::new(Value::Tuple(id)));
    let no = Value::Raw(vec![0x89]);
    Value::Call("torch._utils _rebuild_tensor_v2", vec![place, Value::Int(offset as i64), list(shape), list(strides), no, hooks])
}

/// The strides of a contiguous tensor.
pub fn contiguous(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

/// The entries of a file under `prefix`: the pickle, and storages `0`, `1`, ….
pub fn entries(prefix: &str, root: &Value, storages: &[Vec<u8>]) -> Vec<(String, Vec<u8>)> {
    let mut entries = vec![(format!("{prefix}/data.pkl"), root.pickle()), (format!("{prefix}/byteorder"), b"little".to_vec())];
    entries.extend(storages.iter().enumerate().map(|(key, bytes)| (format!("{prefix}/data/{key}"), bytes.clone())));
    entries.push((format!("{prefix}/version"), b"3\n".to_vec()));
    entries
}
