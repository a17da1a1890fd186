use super::*;
use proptest::prelude::*;

#[path = "../../../tests/support/torch.rs"]
#[allow(dead_code)] // other tests use the rest
mod torch;
use torch::{Pack, contiguous, entries, tensor, zip};

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Two tensors that share a storage (one of them transposed and behind an offset), a half, a count.
fn sample(pack: Pack) -> Vec<u8> {
    let root = torch::Value::Ordered(vec![
        ("a".into(), tensor("torch FloatStorage", "0", 8, 0, &[2, 2], &contiguous(&[2, 2]))),
        ("b".into(), tensor("torch FloatStorage", "0", 8, 2, &[2, 3], &[1, 2])),
        ("c".into(), torch::Value::Call("torch._utils _rebuild_parameter", vec![tensor("torch HalfStorage", "1", 2, 0, &[2], &[1])])),
        ("n".into(), tensor("torch LongStorage", "2", 1, 0, &[], &[])),
    ]);
    let storages = [bytes(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]), vec![0, 0x3c, 0, 0xc0], 41i64.to_le_bytes().to_vec()];
    zip(&entries("any name", &root, &storages), pack)
}

fn floats(values: &[f32]) -> Option<Kind> {
    Some(Kind::Floats(values.to_vec()))
}

#[test]
fn strides_offsets_and_shared_storages_are_followed() {
    for pack in [Pack::Stored, Pack::Deflated, Pack::Zip64] {
        let dict = StateDict::parse(&sample(pack)).unwrap();
        assert_eq!(dict.names().collect::<Vec<_>>(), ["a", "b", "c", "n"]);
        assert_eq!(dict.numbers("a"), floats(&[0.0, 1.0, 2.0, 3.0]));
        assert_eq!((dict.shape("b"), dict.numbers("b")), (Some(vec![2, 3]), floats(&[2.0, 4.0, 6.0, 3.0, 5.0, 7.0])));
        assert_eq!((dict.dtype("c"), dict.numbers("c")), (Some("F32"), floats(&[1.0, -2.0])));
        assert_eq!((dict.shape("n"), dict.numbers("n")), (Some(vec![]), Some(Kind::Integers(vec![41]))));
        assert_eq!(dict.notes, ["float16 read as float32"]);
        assert_eq!(dict.storages.count(), 3);
    }
}

#[test]
fn big_endian_files_are_read() {
    let root = torch::Value::Dict(vec![("a".into(), tensor("torch FloatStorage", "0", 2, 0, &[2], &[1]))]);
    let mut entries = entries("", &root, &[[1.5f32.to_be_bytes(), (-2f32).to_be_bytes()].concat()]);
    entries.iter_mut().for_each(|(name, _)| *name = name.trim_start_matches('/').into());
    entries[1].1 = b"big".to_vec();
    assert_eq!(StateDict::parse(&zip(&entries, Pack::Stored)).unwrap().numbers("a"), floats(&[1.5, -2.0]));
    entries[1].1 = b"middle".to_vec();
    assert!(StateDict::parse(&zip(&entries, Pack::Stored)).is_err_and(|error| error.to_string().contains("\"middle\"")));
}

/// An untyped storage, the dtype behind the tensor: version 3 of the rebuilding function.
#[test]
fn untyped_storages_are_read() {
    let torch::Value::Call(_, mut arguments) = tensor("torch.storage UntypedStorage", "0", 8, 0, &[2], &[1]) else { unreachable!() };
    arguments.push(torch::Value::Global("torch float32"));
    let root = |arguments: Vec<torch::Value>| {
        let tensor = torch::Value::Call("torch._utils _rebuild_tensor_v3", arguments);
        zip(&entries("x", &torch::Value::Dict(vec![("a".into(), tensor)]), &[bytes(&[1.0, 2.0])]), Pack::Stored)
    };
    assert_eq!(StateDict::parse(&root(arguments.clone())).unwrap().numbers("a"), floats(&[1.0, 2.0]));
    arguments.pop();
    assert!(StateDict::parse(&root(arguments)).is_err_and(|error| error.to_string().contains("tensor a: a dtype that no network has")));
}

#[test]
fn tensors_beyond_their_storage_are_refused() {
    let refused = |offset: usize, shape: &[usize], strides: &[usize], word: &str| {
        let root = torch::Value::Dict(vec![("a".into(), tensor("torch FloatStorage", "0", 8, offset, shape, strides))]);
        let file = zip(&entries("x", &root, &[bytes(&[0.0; 8])]), Pack::Stored);
        let error = StateDict::parse(&file).err().expect("refused").to_string();
        assert!(error.contains("tensor a: ") && error.contains(word), "{error}");
    };
    refused(0, &[9], &[1], "beyond its 8 numbers");
    refused(8, &[1], &[1], "beyond its 8 numbers");
    refused(0, &[2, 2], &[7, 1], "reach beyond");
    refused(0, &[1 << 40, 1 << 40], &[1 << 40, 1], "reach beyond");
    refused(usize::MAX >> 1, &[2], &[usize::MAX >> 1], "reach beyond");
    refused(0, &[1 << 40], &[0], "expanded tensor");
    refused(0, &[1 << 40, 1 << 40], &[0, 0], "expanded tensor");
    refused(0, &[2], &[1, 1], "1 axes and 2 strides");
    refused(0, &[1; 9], &[1; 9], "9 axes");
}

#[test]
fn a_trap_is_not_unpacked() {
    let root = torch::Value::Dict(vec![("a".into(), tensor("torch FloatStorage", "0", 1 << 25, 0, &[1 << 25], &[1]))]);
    let file = zip(&entries("x", &root, &[vec![0; 1 << 27]]), Pack::Deflated);
    assert!(file.len() < 1 << 18);
    assert!(StateDict::parse(&file).is_err_and(|error| error.to_string().contains("far more than the file has")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// A file with a few bytes changed, or cut: an answer, whichever.
    #[test]
    fn mutated_files_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), cut: prop::sample::Index) {
        let mut bytes = sample(Pack::Stored);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            if let Ok(dict) = StateDict::parse(bytes) {
                for name in dict.names() {
                    let _ = dict.numbers(name);
                }
            }
        }
    }

    /// The pickle alone changed, so that no checksum stands before it.
    #[test]
    fn mutated_pickles_never_panic(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut archive = Archive::open(Box::leak(sample(Pack::Stored).into_boxed_slice())).unwrap();
        let mut pickle = archive.pickle().unwrap();
        for (at, byte) in changes {
            let at = at.index(pickle.len());
            pickle[at] = byte;
        }
        let storages = ["0", "1", "2"].map(|key| archive.storage(key).unwrap());
        let mut entries = entries("x", &torch::Value::Raw(vec![]), &storages);
        entries[0].1 = pickle;
        if let Ok(dict) = StateDict::parse(&zip(&entries, Pack::Stored)) {
            for name in dict.names() {
                let _ = dict.numbers(name);
            }
        }
    }
}
