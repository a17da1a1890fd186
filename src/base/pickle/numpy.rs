//! numpy arrays in pickles, as every numpy from 1.0 to 2.x writes them.

use super::Value;
use crate::base::{Error, Result, ensure, fail};

/// The globals that arrays need.
pub const NUMPY: [&str; 6] = [
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.numeric._frombuffer",
    "numpy._core.numeric._frombuffer",
];

/// How an array's elements follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The last index runs fastest.
    RowMajor,
    /// The first index runs fastest.
    ColumnMajor,
}

/// An array of numbers, its bytes as they are in the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Array<'p> {
    /// numpy's name of the elements' type, such as `u1` or `f4`.
    pub dtype: &'p str,
    /// `<`, `>` or `|` (which says nothing).
    pub endian: &'p str,
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Order of the elements.
    pub order: Order,
    /// The elements.
    pub bytes: &'p [u8],
}

/// The array in `value`. Errors: something else, Python objects as elements, bytes that do not fill the shape.
pub fn array(value: Value<'_>) -> Result<Array<'_>> {
    let broken = || fail!("{} where a numpy array is wanted", value.kind());
    let call = value.call().ok_or_else(broken)?;
    let arguments = &call.arguments;
    let (shape, dtype, order, bytes) = match call.function.rsplit('.').next() {
        // state = (version, shape, dtype, is_fortran, bytes)
        Some("_reconstruct") => {
            let state: Vec<Value> = call.state.and_then(Value::items).ok_or_else(broken)?.collect();
            let &[_, shape, dtype, fortran, bytes] = &state[..] else { return Err(broken()) };
            (shape, dtype, if fortran.int() == Some(1) { Order::ColumnMajor } else { Order::RowMajor }, bytes)
        }
        // (buffer, dtype, shape, order)
        Some("_frombuffer") => {
            let &[bytes, dtype, shape, order] = &arguments[..] else { return Err(broken()) };
            (shape, dtype, if order.text() == Some("F") { Order::ColumnMajor } else { Order::RowMajor }, bytes)
        }
        _ => return Err(broken()),
    };
    let shape = shape.items().ok_or_else(broken)?.map(Value::count).collect::<Option<Vec<usize>>>().ok_or_else(broken)?;
    let bytes = bytes.bytes().ok_or_else(|| fail!("a numpy array of {}, numbers are wanted", bytes.kind()))?;
    let (dtype, endian) = element(dtype)?;
    let width: usize = dtype.get(1..).and_then(|width| width.parse().ok()).ok_or_else(|| fail!("a numpy array of {dtype}"))?;
    let wanted = shape.iter().try_fold(width, |product, &extent| product.checked_mul(extent));
    ensure!(wanted == Some(bytes.len()), "a numpy array of {shape:?} {dtype} with {} bytes", bytes.len());
    Ok(Array { dtype, endian, shape, order, bytes })
}

/// Name and byte order of a dtype: `dtype('u1', 0, 1)` with the state (3, '|', …).
fn element(dtype: Value<'_>) -> Result<(&str, &str)> {
    let broken = || -> Error { fail!("{} where a numpy dtype is wanted", dtype.kind()) };
    let call = dtype.call().filter(|call| call.function == "numpy.dtype").ok_or_else(broken)?;
    let name = call.arguments.first().and_then(|name| name.text()).ok_or_else(broken)?;
    ensure!(name.len() >= 2 && "biuf".contains(&name[..1]), "a numpy array of {name}, numbers are wanted");
    let endian = call.state.and_then(Value::items).and_then(|mut state| state.nth(1)).and_then(Value::text).unwrap_or("|");
    Ok((name, endian))
}
