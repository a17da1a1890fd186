//! Files that are missing, cut, foreign or wrong inside: one line with the file, the values and the cure.

use super::house::{ARCH, House, RECIPE, T, gzip, idx, state_dict};

const IMAGES: &str = "data/train-images-idx3-ubyte";
const LABELS: &str = "data/train-labels-idx1-ubyte";
/// The cure of what was cut.
const AGAIN: &str = "copy or download it again";

#[test]
fn data_folders_are_checked() {
    let house = House::new("data");
    house.write("mini.toml", RECIPE);
    std::fs::create_dir(house.root.join("empty")).unwrap();
    house.write("plain", "a file");
    let run = |data: &str, words: &[&str]| house.refused(1, &format!("run mini.toml --data {data} --out new --quiet"), words);
    run("absent", &["the data folder absent", "train-images-idx3-ubyte"]);
    run("empty", &["the data folder empty is empty", "train-images-idx3-ubyte"]);
    run("plain", &["the data folder plain"]);
    house.data();
    std::fs::remove_file(house.root.join("data/t10k-labels-idx1-ubyte.gz")).unwrap();
    run("data", &["lacks t10k-labels-idx1-ubyte"]);
    house.refused(2, "run mini.toml --out new", &["mnist is not part of the program", "--data"]);
}

#[test]
fn broken_idx_files_are_named() {
    let house = House::new("idx");
    house.data();
    house.write("mini.toml", RECIPE);
    let images = house.read(IMAGES);
    let labels = vec![3u8; 200];
    let packed = gzip(&images);
    let mut flipped = packed.clone();
    flipped[packed.len() / 2] ^= 0x55;
    let mut checksum = packed.clone();
    let at = packed.len() - 6;
    checksum[at] ^= 1;
    let header = |count: u32| [0x803u32, count, 8, 8].into_iter().flat_map(u32::to_be_bytes).collect::<Vec<u8>>();
    let mut magic = images.clone();
    magic[3] = 1;
    let huge = [header(u32::MAX), vec![0; 100]].concat();
    let wide = [[0x803u32, 2, u32::MAX, u32::MAX].into_iter().flat_map(u32::to_be_bytes).collect::<Vec<u8>>(), vec![0; 9]].concat();
    for (what, bytes, words) in [
        ("cut gzip", packed[..packed.len() / 2].to_vec(), &["truncated gzip", "download it again"][..]),
        ("flipped gzip", flipped, &["download it again"]),
        ("wrong checksum", checksum, &["corrupt gzip"]),
        ("foreign", b"<html>not found</html>".to_vec(), &["magic number 0x3c68746d", "0x00000803"]),
        ("labels instead", magic, &["magic number 0x00000801", "0x00000803"]),
        ("no bytes", Vec::new(), &["only 0 bytes"]),
        ("half a header", images[..9].to_vec(), &["only 9 bytes"]),
        ("cut", images[..images.len() - 1].to_vec(), &["truncated: 12799 bytes", "12800"]),
        ("too long", [images.clone(), vec![0]].concat(), &["left over"]),
        ("zero images", header(0), &["zero images"]),
        ("too many", huge, &["4294967295x8x8", "cannot be"]),
        ("too large", wide, &["4294967295", "cannot be"]),
        ("fewer images", idx(&[199, 8, 8], &images[16..16 + 199 * 64]), &["200 labels, more than the 199 images"]),
        ("other size", idx(&[200, 4, 8], &images[16..16 + 200 * 32]), &["4x8", "8x8"]),
    ] {
        println!("{what}");
        // The first two bytes tell a gzip file, whatever its name.
        house.write(IMAGES, bytes);
        house.refused(1, "run mini.toml --data data --out new --quiet", words);
    }
    house.write(IMAGES, &images);
    std::fs::remove_file(house.root.join(format!("{LABELS}.gz"))).unwrap();
    let mut eleven = labels.clone();
    eleven[7] = 10;
    for (bytes, words) in [
        (idx(&[199], &labels[1..]), &["199 labels, fewer than the 200 images"][..]),
        (idx(&[200], &eleven), &["label 10 at index 7", "classes 0 to 9"]),
        (idx(&[0], &[]), &["zero labels"]),
    ] {
        house.write(LABELS, bytes);
        house.refused(1, "run mini.toml --data data --out new --quiet", words);
    }
}

#[test]
fn state_dicts_are_checked_and_all_that_is_wrong_is_named_at_once() {
    let house = House::new("dicts");
    house.tensors("weights", &state_dict());
    let import = |words: &[&str]| house.refused(1, &format!("import bad {ARCH} --steps 4 --out new"), words);
    let whole = house.read("weights");
    let (size, header) = (whole.len(), 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()));
    for (bytes, words) in [
        (whole[..size - 1].to_vec(), &["bad: truncated: ", &format!("{} bytes of {size};", size - 1), AGAIN][..]),
        (whole[..20].to_vec(), &["truncated: 20 bytes of at least ", &format!(" {header}, where its header ends"), AGAIN]),
        (whole[..8].to_vec(), &["truncated: 8 bytes of at least", AGAIN]),
        (whole[..5].to_vec(), &["truncated: 5 bytes", AGAIN]),
        (Vec::new(), &["truncated: 0 bytes", AGAIN]),
        ([&whole[..], b"more"].concat(), &[&format!("{} bytes, where its header speaks of {size}", size + 4), AGAIN]),
        ([&whole[..9], b"?", &whole[10..]].concat(), &["a corrupt safetensors file", AGAIN]),
        ([&u64::MAX.to_le_bytes()[..], b"{}"].concat(), &["a corrupt safetensors file", "18446744073709551615", AGAIN]),
        (b"<html>not found</html>".to_vec(), &["no safetensors file and none of torch.save's, but a web page"]),
        (gzip(&whole), &["a gzip file; unpack it"]),
        (b"\x93NUMPY\x01\x00 weights".to_vec(), &["a NumPy array"]),
        (RECIPE.into(), &["a text file"]),
        (b"RIFF\xff\xff\xff\xff weights".to_vec(), &["something that is not known"]),
        ([&2u64.to_le_bytes()[..], b"{}"].concat(), &["missing: features.0.weight"]),
    ] {
        house.write("bad", bytes);
        import(words);
    }
    // An HDF5 file is taken for a NIR graph, which says its normalisation itself.
    house.write("bad", b"\x89HDF\r\n\x1a\n weights");
    house.refused(2, &format!("import bad {ARCH} --out new"), &["--mean", "bad is an HDF5 file"]);
    house.refused(1, "import bad --out new", &["a truncated or corrupt HDF5 file", AGAIN]);
    std::fs::remove_file(house.root.join("bad")).unwrap();
    import(&["cannot read bad"]);
    std::fs::create_dir(house.root.join("bad")).unwrap();
    import(&["bad is a folder"]);
    std::fs::remove_dir(house.root.join("bad")).unwrap();

    let mut dict = state_dict();
    dict.remove(0);
    dict[0] = T::floats("features.1.weight", &[4], &[1.0; 4]);
    dict[1] = T::doubles("features.1.bias", &[3], &[0.1; 3]);
    dict[2] = T::floats("features.1.running_mean", &[3], &[0.1, f32::NAN, 0.0]);
    dict.push(T::floats("fc.weight", &[2], &[0.0; 2]));
    house.tensors("bad", &dict);
    import(&[
        "missing: features.0.weight",
        "left over: fc.weight",
        "other shape: features.1.weight 4 (wanted 3)",
        "other dtype: features.1.bias F64 (wanted F32)",
        "NaN or infinity in: features.1.running_mean",
    ]);
    // One fault alone, of each kind.
    let with = |name: &str, tensor: Option<T>| -> Vec<T> {
        state_dict().into_iter().filter_map(|old| if old.name == name { tensor.clone() } else { Some(old) }).collect()
    };
    for (dict, words) in [
        (with("features.2.v_th", None), &["missing: features.2.v_th"][..]),
        (with("features.1.running_var", None), &["missing: features.1.running_var"]),
        (with("features.2.v_th", Some(T::floats("features.2.v_th", &[3], &[1.0; 3]))), &["features.2.v_th 3 (wanted scalar)"]),
        (with("features.2.v_th", Some(T::floats("features.2.v_th", &[], &[f32::INFINITY]))), &["features.2.v_th"]),
        (with("classifier.4.weight", Some(T::floats("classifier.4.weight", &[5, 3], &[0.0; 15]))), &["5x3 (wanted 3x5)"]),
        (with("features.1.running_var", Some(T::floats("features.1.running_var", &[3], &[1.0, -0.1, 1.0]))), &["negative variance"]),
        (with("features.1.num_batches_tracked", Some(T::floats("features.1.num_batches_tracked", &[], &[1.0]))), &["F32 (wanted I64)"]),
    ] {
        house.tensors("bad", &dict);
        import(words);
    }
    house.refused(
        1,
        &format!("import weights {ARCH} --bias --out new"),
        &["missing: features.0.bias, classifier.1.bias, classifier.4.bias", "bias true", "leave --bias out"],
    );
    let mut biased = state_dict();
    biased.push(T::floats("classifier.4.bias", &[3], &[0.1; 3]));
    house.tensors("bad", &biased);
    import(&["left over: classifier.4.bias", "bias false", "give --bias"]);
    // Where some are there, the flag is right and the file is not.
    let said = house.run(&format!("import bad {ARCH} --bias --out new")).err;
    assert!(said.contains("missing: features.0.bias, classifier.1.bias") && !said.contains("--bias"), "{said}");
}

#[test]
fn checkpoints_are_checked() {
    let house = House::new("checkpoints");
    house.nets();
    house.images("pictures", 2);
    let predict = |words: &[&str]| house.refused(1, "predict bad --images pictures --out new", words);
    predict(&["cannot read bad"]);
    house.write("bad", house.read("weights"));
    predict(&["bad: no caltrop checkpoint", "caltrop import", "--arch"]);
    // What others write of their format is none of ours.
    let weights = safetensors::SafeTensors::deserialize(&house.read("weights")).map(|file| {
        let views = file.names().into_iter().map(|name| (name.to_string(), file.tensor(name).unwrap())).collect::<Vec<_>>();
        safetensors::serialize(views, Some([("format".to_string(), "pt".to_string())].into())).unwrap()
    });
    house.write("bad", weights.unwrap());
    predict(&["bad: no caltrop checkpoint", "caltrop import", "--arch"]);
    let whole = house.read("snn");
    house.write("bad", &whole[..whole.len() / 2]);
    predict(&["bad: truncated: ", &format!("{} bytes", whole.len() / 2), AGAIN]);
    house.write("bad", &whole[..whole.len() - 3]);
    predict(&[&format!("bad: truncated: {} bytes of {}", whole.len() - 3, whole.len()), AGAIN]);
    let text = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = whole.windows(from.len()).position(|window| window == from.as_bytes()).unwrap_or_else(|| panic!("no {from}"));
        [&whole[..at], to.as_bytes(), &whole[at + from.len()..]].concat()
    };
    for (from, to, words) in [
        ("caltrop-1", "caltrop-9", &["bad: checkpoint format caltrop-9", "reads caltrop-1", "use caltrop"][..]),
        ("\"reset\":\"hard\"", "\"reset\":\"none\"", &["\"reset\" is \"none\"", "hard and soft"]),
        ("\"classes\":\"3\"", "\"classes\":\"x\"", &["\"classes\" is \"x\""]),
        ("\"classes\":\"3\"", "\"classes\":\"4\"", &["classifier.4.weight 3x5 (wanted 4x5)"]),
        ("\"steps\":\"4\"", "\"stepz\":\"4\"", &["lacks \"steps\""]),
        ("\"vgg:3,A/5\"", "\"vgg:3;A/5\"", &["3;A"]),
        ("\"2x4x6\"", "\"2x4,6\"", &["input"]),
        ("\"classifier.1.weight\"", "\"classifier.9.weight\"", &["missing: classifier.1.weight", "left over: classifier.9.weight"]),
    ] {
        house.write("bad", text(from, to));
        predict(words);
    }
    // A key of another year is nobody's business.
    house.write("bad", text("\"epoch\":", "\"epocx\":"));
    house.good("predict bad --images pictures --out new");
}

#[test]
fn images_to_predict_are_checked() {
    let house = House::new("pictures");
    house.nets();
    let grey = |shape: &[usize]| T::floats("images", shape, &vec![0.5; shape.iter().product()]);
    let with = |value: f32| {
        let mut values = vec![0.5; 2 * 48];
        values[50] = value;
        T::floats("images", &[2, 2, 4, 6], &values)
    };
    let pair = || grey(&[2, 2, 4, 6]);
    for (what, tensors, words) in [
        ("none", vec![], &["no tensor \"images\""][..]),
        ("another name", vec![T::floats("x", &[1], &[0.0])], &["no tensor \"images\"", "x"]),
        ("zero", vec![grey(&[0, 2, 4, 6])], &["zero images"]),
        ("another size", vec![grey(&[1, 2, 6, 4])], &["[1, 2, 6, 4]", "[N, 2, 4, 6]"]),
        ("channels last", vec![grey(&[1, 4, 6, 2])], &["[N, 2, 4, 6]"]),
        ("no batch axis", vec![grey(&[2, 4, 6])], &["[N, 2, 4, 6]"]),
        ("doubles", vec![T::doubles("images", &[1, 2, 4, 6], &[0.5; 48])], &["F64", "F32"]),
        ("bytes", vec![with(255.0)], &["element 50 is 255", "[0, 1]"]),
        ("negative", vec![with(-0.01)], &["element 50 is -0.01"]),
        ("NaN", vec![with(f32::NAN)], &["element 50 is NaN"]),
        ("no labels", vec![pair()], &["no tensor \"labels\""]),
        ("one label", vec![pair(), T::longs("labels", &[1], &[0])], &["1 labels for 2 images"]),
        ("a large label", vec![pair(), T::longs("labels", &[2], &[0, 3])], &["label 3 of image 1", "3 classes"]),
        ("a huge label", vec![pair(), T::longs("labels", &[2], &[0, 1 << 32])], &["label 4294967296"]),
        ("a negative label", vec![pair(), T::ints("labels", &[2], &[-1, 0])], &["label -1 of image 0"]),
        ("float labels", vec![pair(), T::floats("labels", &[2], &[0.0, 1.0])], &["F32", "I64"]),
    ] {
        println!("{what}");
        house.tensors("pictures", &tensors);
        house.refused(1, "predict snn --images pictures --gradients --out new", &[words, &["pictures"]].concat());
    }
    house.refused(1, "predict snn --images absent --out new", &["cannot read absent"]);
}
