//! A tensor in a file: shape, strides and offset into a storage that others may share.

use super::archive::{Archive, Endian};
use super::numbers::Dtype;
use crate::base::pickle::{Call, Value};
use crate::base::{Result, ensure, fail};
use crate::checkpoint::container::Kind;
use std::collections::BTreeMap;

/// More axes than a tensor of a network has.
const MOST_AXES: usize = 8;

/// The storages of a file by their keys; each is unpacked once.
#[derive(Default)]
pub struct Storages {
    bytes: BTreeMap<String, Vec<u8>>,
    endian: Option<Endian>,
}

/// A tensor, checked: every element lies within its storage.
pub struct View {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    storage: String,
}

/// The call that makes a tensor: of a parameter, that of the tensor within.
fn rebuild(value: Value<'_>) -> Option<Call<'_>> {
    let call = value.call()?;
    match call.function {
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
            call.arguments.first()?.call().filter(|inner| is_rebuild(inner.function))
        }
        function => is_rebuild(function).then_some(call),
    }
}

fn is_rebuild(function: &str) -> bool {
    ["torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3"].contains(&function)
}

/// Whether `value` is a tensor or a parameter.
pub fn is_tensor(value: Value) -> bool {
    rebuild(value).is_some()
}

impl View {
    /// The tensor `value`, its storage unpacked. Errors: an unknown dtype, a shape that its storage does not hold.
    pub fn of(value: Value, storages: &mut Storages, archive: &mut Archive) -> Result<View> {
        let strange = || fail!("its description is not one of torch.save's");
        let call = rebuild(value).ok_or_else(strange)?;
        // (storage, offset, shape, strides, requires_grad, hooks, …); version 3 has the dtype behind them.
        let &[storage, offset, shape, strides, ..] = &call.arguments[..] else { return Err(strange()) };
        let counts = |value: Value| -> Option<Vec<usize>> { value.items()?.map(Value::count).collect() };
        let (shape, strides) = (counts(shape).ok_or_else(strange)?, counts(strides).ok_or_else(strange)?);
        let offset = offset.count().ok_or_else(strange)?;
        ensure!(shape.len() == strides.len() && shape.len() <= MOST_AXES, "{} axes and {} strides", shape.len(), strides.len());
        // ("storage", type, key, device, elements)
        let reference: Vec<Value> = storage.persistent().and_then(Value::items).ok_or_else(strange)?.collect();
        let &[_, kind, key, _, _] = &reference[..] else { return Err(strange()) };
        let (kind, key) = (kind.global().ok_or_else(strange)?, key.text().ok_or_else(strange)?);
        let named =
            if kind == "torch.storage.UntypedStorage" { call.arguments.get(6).and_then(|dtype| dtype.global()) } else { Some(kind) };
        let dtype = named.and_then(Dtype::named).ok_or_else(|| fail!("a dtype that no network has ({})", named.unwrap_or(kind)))?;
        let held = storages.load(key, archive)? / dtype.width();
        let view = View { dtype, shape, strides, offset, storage: key.to_string() };
        view.check(held)?;
        Ok(view)
    }

    /// Errors where an element lies beyond the `held` elements of the storage, or where there are more elements than those.
    fn check(&self, held: usize) -> Result<()> {
        let count = self.shape.iter().try_fold(1usize, |count, &extent| count.checked_mul(extent));
        if count == Some(0) {
            return Ok(());
        }
        let reach = |last: usize, (&extent, &stride): (&usize, &usize)| last.checked_add((extent - 1).checked_mul(stride)?);
        let last = self.shape.iter().zip(&self.strides).try_fold(self.offset, reach);
        let (shape, strides) = (&self.shape, &self.strides);
        ensure!(
            last.is_some_and(|last| last < held),
            "shape {shape:?}, strides {strides:?} and offset {} reach beyond its {held} numbers; the file is corrupt",
            self.offset
        );
        ensure!(
            count.is_some_and(|count| count <= held),
            "shape {shape:?} repeats its {held} numbers (an expanded tensor); save it .contiguous()"
        );
        Ok(())
    }

    /// The numbers in row-major order.
    pub fn numbers(&self, storages: &Storages) -> Kind {
        let empty = Vec::new();
        let bytes = storages.bytes.get(&self.storage).unwrap_or(&empty);
        self.dtype.numbers(bytes, storages.endian.unwrap_or(Endian::Little), self.elements())
    }

    /// The index in the storage of every element, in row-major order.
    fn elements(&self) -> impl Iterator<Item = usize> {
        let count: usize = self.shape.iter().product();
        (0..count).map(|index| {
            let digit = |(rest, at): (usize, usize), (&extent, &stride): (&usize, &usize)| (rest / extent, at + rest % extent * stride);
            self.shape.iter().zip(&self.strides).rev().fold((index, self.offset), digit).1
        })
    }
}

impl Storages {
    /// Unpack storage `key` where it is not yet; its bytes.
    fn load(&mut self, key: &str, archive: &mut Archive) -> Result<usize> {
        self.endian = Some(archive.endian);
        if let Some(bytes) = self.bytes.get(key) {
            return Ok(bytes.len());
        }
        let bytes = archive.storage(key)?;
        let count = bytes.len();
        self.bytes.insert(key.to_string(), bytes);
        Ok(count)
    }

    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.bytes.len()
    }
}
