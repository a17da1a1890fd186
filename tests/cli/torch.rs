//! Files of `torch.save`: read like safetensors where they hold a state dict, refused by name where they hold more.

use super::house::{ARCH, House, T, state_dict};
use super::torch_file::{Pack, Value, contiguous, entries, tensor, zip};
use safetensors::tensor::Dtype;

/// The tensors of a state dict as a dict of `torch.save`, names behind `wrapper`; and their storages.
fn dict(tensors: &[T], wrapper: &str) -> (Vec<(String, Value)>, Vec<Vec<u8>>) {
    let entry = |(key, t): (usize, &T)| {
        let storage = if t.dtype == Dtype::I64 { "torch LongStorage" } else { "torch FloatStorage" };
        let count = t.shape.iter().product();
        (format!("{wrapper}{}", t.name), tensor(storage, &key.to_string(), count, 0, &t.shape, &contiguous(&t.shape)))
    };
    (tensors.iter().enumerate().map(entry).collect(), tensors.iter().map(|t| t.bytes.clone()).collect())
}

fn archive(root: &Value, storages: &[Vec<u8>], pack: Pack) -> Vec<u8> {
    zip(&entries("weights", root, storages), pack)
}

#[test]
fn a_pth_becomes_the_checkpoint_that_its_safetensors_twin_becomes() {
    let house = House::new("pth");
    house.tensors("twin", &state_dict());
    house.good(&format!("import twin {ARCH} --steps 4 --out wanted"));
    let (plain, storages) = dict(&state_dict(), "");
    let (wrapped, _) = dict(&state_dict(), "module.");
    let nested = |key: &str, inside: Value| {
        let epoch = ("epoch".to_string(), Value::Int(60));
        let adam = ("optimizer".to_string(), Value::Dict(vec![("lr".into(), Value::Raw(b"F0.1\n".to_vec()))]));
        Value::Dict(vec![epoch, (key.into(), inside), adam])
    };
    for (root, pack, said) in [
        (Value::Ordered(plain.clone()), Pack::Stored, ""),
        (Value::Dict(plain.clone()), Pack::Deflated, ""),
        (Value::Ordered(plain.clone()), Pack::Zip64, ""),
        (Value::Ordered(wrapped.clone()), Pack::Stored, "(names without \"module.\")"),
        (nested("state_dict", Value::Ordered(wrapped)), Pack::Stored, "(taken from \"state_dict\"; names without \"module.\")"),
        (nested("net", Value::Ordered(plain)), Pack::Stored, "(taken from \"net\")"),
    ] {
        // Its first bytes say what it is, not its name.
        house.write("weights", archive(&root, &storages, pack));
        let out = house.good(&format!("import weights {ARCH} --steps 4 --out got")).out;
        assert!(out.trim_end().ends_with(if said.is_empty() { "parameters" } else { said }), "{out}");
        assert_eq!(house.read("got"), house.read("wanted"));
    }
}

/// v_th as 0-dim or `[1]`, counts as i32 or absent, safetensors of a wrapped network.
#[test]
fn what_public_checkpoints_do_otherwise_is_taken() {
    let house = House::new("quirks");
    house.tensors("twin", &state_dict());
    house.good(&format!("import twin {ARCH} --steps 4 --out wanted"));
    let mut tensors = state_dict();
    for t in &mut tensors {
        if t.name.ends_with("v_th") {
            t.shape = vec![1];
        }
    }
    let (plain, storages) = dict(&tensors, "");
    house.write("weights", archive(&Value::Ordered(plain), &storages, Pack::Stored));
    house.good(&format!("import weights {ARCH} --steps 4 --out got"));
    assert_eq!(house.read("got"), house.read("wanted"));
    tensors.iter_mut().for_each(|t| t.name = format!("module.{}", t.name));
    house.tensors("weights", &tensors);
    assert!(house.good(&format!("import weights {ARCH} --steps 4 --out got")).out.contains("names without \"module.\""));
    assert_eq!(house.read("got"), house.read("wanted"));
}

#[test]
fn what_is_more_than_tensors_is_refused_by_name_and_never_run() {
    let house = House::new("malice");
    let refused = |words: &[&str]| house.refused(1, &format!("import bad {ARCH} --steps 4 --out new"), &[words, &["bad: "]].concat());
    let (plain, storages) = dict(&state_dict(), "");
    let with = |value: Value| Value::Ordered([plain.clone(), vec![("evil".to_string(), value)]].concat());
    let touch = || vec![Value::text("touch ran")];
    let eval = |text: &str| Value::Call("__builtin__ eval", vec![Value::text(text)]);
    for (root, words) in [
        (with(Value::Call("os system", touch())), &["os.system", "nothing of it was run", "torch.save(model.state_dict()"][..]),
        (with(Value::Call("posix system", touch())), &["posix.system"]),
        (with(eval("open('ran', 'w')")), &["builtins.eval"]),
        (with(Value::Call("builtins exec", touch())), &["builtins.exec"]),
        (with(Value::Call("subprocess Popen", touch())), &["subprocess.Popen"]),
        (with(Value::Call("torch.storage _load_from_bytes", touch())), &["torch.storage._load_from_bytes"]),
        (Value::Call("torch._utils _rebuild_parameter", vec![eval("1")]), &["builtins.eval"]),
        (Value::Call("torch._utils _rebuild_tensor_v2", vec![Value::Call("os system", touch())]), &["os.system"]),
        (Value::Call("__main__ Net", vec![]), &["__main__.Net", "state_dict"]),
        (with(Value::Call("argparse Namespace", vec![])), &["argparse.Namespace"]),
        (Value::Raw(b"(S'touch ran'\nios\nsystem\n".to_vec()), &["INST"]),
        (Value::Raw(b"\x8c\x02os\x8c\x06system\x93\x8c\x09touch ran\x85R".to_vec()), &["os.system"]),
        (Value::Raw(b"\x82\x01".to_vec()), &["EXT"]),
        (Value::Raw(b"X\xff\xff\xff\x7fweights".to_vec()), &["2147483647 bytes are wanted"]),
        (Value::Raw(b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffw".to_vec()), &["are left"]),
        (Value::Int(3), &["the file holds an integer", "a dict of tensors is wanted"]),
        (Value::Dict(vec![("epoch".into(), Value::Int(3))]), &["no tensors in the file's dict (epoch)"]),
    ] {
        house.write("bad", archive(&root, &storages, Pack::Stored));
        refused(words);
        assert!(!house.has("ran"));
    }
    let (mut other, _) = dict(&state_dict(), "");
    other[0].1 = tensor("torch FloatStorage", "0", 54, 0, &[3, 2, 3, 4], &[24, 12, 4, 1]);
    house.write("bad", archive(&Value::Ordered(other), &storages, Pack::Stored));
    refused(&["tensor features.0.weight: ", "beyond its 54 numbers"]);
}

#[test]
fn files_that_are_cut_corrupt_or_old_say_so() {
    let house = House::new("cut");
    let refused = |words: &[&str]| house.refused(1, &format!("import bad {ARCH} --steps 4 --out new"), &[words, &["bad: "]].concat());
    let (plain, storages) = dict(&state_dict(), "");
    let whole = archive(&Value::Ordered(plain.clone()), &storages, Pack::Stored);
    let mut flipped = whole.clone();
    let at = whole.windows(11).position(|window| window == b"data/0PK\x03\x04").or(whole.windows(6).position(|window| window == b"data/0"));
    flipped[at.unwrap() + 9] ^= 1;
    let without = |name: &str| {
        let mut all = entries("weights", &Value::Ordered(plain.clone()), &storages);
        all.retain(|(entry, _)| !entry.ends_with(name));
        zip(&all, Pack::Stored)
    };
    let mut script = entries("weights", &Value::Ordered(plain.clone()), &storages);
    script.push(("weights/constants.pkl".into(), vec![]));
    for (bytes, words) in [
        (whole[..whole.len() / 2].to_vec(), &["no whole PyTorch file", "truncated: ", "copy or download it again"][..]),
        (whole[..whole.len() - 1].to_vec(), &["no whole PyTorch file"]),
        (b"PK\x03\x04".to_vec(), &["no whole PyTorch file"]),
        (flipped, &["no whole PyTorch file", "data/0"]),
        (without("data.pkl"), &["without data.pkl"]),
        (without("data/3"), &["data/3", "no whole PyTorch file"]),
        (zip(&script, Pack::Stored), &["TorchScript"]),
        (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.".to_vec(), &["before 1.6", "weights_only=True"]),
    ] {
        house.write("bad", bytes);
        refused(words);
    }
    house.write("bad", &whole);
    house.refused(
        1,
        &format!("import bad {ARCH} --steps 4 --bias --out new"),
        &["missing: features.0.bias", "bias true", "leave --bias out"],
    );
    house.refused(1, "predict bad --images bad --out new", &["bad: no caltrop checkpoint", "caltrop import"]);
}
