//! Words that cannot be meant: one line, exit 2 (1 where a file or the machine is to blame), nothing written.

use super::house::{ARCH, House, RECIPE, T, state_dict};
use crate::datasets::folder;

#[test]
fn words_that_are_no_command_are_refused_in_one_line() {
    let house = House::new("words");
    house.nets();
    for (line, words) in [
        ("frobnicate", &["unrecognized subcommand 'frobnicate'", "caltrop --help"][..]),
        ("evla snn", &["evla", "eval"]),
        ("eval", &["--attack", "<CHECKPOINT>", "caltrop eval --help"]),
        ("eval snn --attack pgd --bogus 1", &["--bogus", "caltrop eval --help"]),
        ("import weights", &["--out", "caltrop import --help"]),
        ("import weights --out new", &["--arch, --classes, --input", "needed"]),
        ("demo --full --quick", &["--full", "--quick"]),
        ("devices --threads -1", &["-1"]),
        ("devices --threads 0", &["--threads 0", "at least one"]),
        ("devices --threads 18446744073709551615", &["18446744073709551615", "at most 1024"]),
        ("devices --threads two", &["--threads", "two"]),
        ("devices --device gpu", &["--device gpu", "did you mean \"cpu\"?"]),
        ("devices --device cuda:one", &["--device cuda:one", "no device index"]),
        ("devices --precision f16", &["f16", "bf16"]),
        ("recipes fashion-mnist-7", &["did you mean \"fashion-mnist-7k\"?"]),
        ("run fashion-mnist-7", &["did you mean \"fashion-mnist-7k\"?"]),
        ("export snn --format onnx --out new", &["--format onnx", "torch"]),
    ] {
        house.refused(2, line, words);
    }
    if caltrop::device::Gpu::cuda(0).is_err() {
        house.refused(1, "eval snn --attack none --device cuda", &["--device cuda: "]);
    }
}

#[test]
fn attacks_and_lenses_that_cannot_be_are_refused() {
    let house = House::new("attacks");
    house.nets();
    house.images("pictures", 3);
    for (line, words) in [
        ("eval snn --attack pdg", &["pdg", "did you mean \"pgd\"?"][..]),
        ("eval snn --attack pgd --eps -1", &["--eps -1", "between 0 and 255"]),
        ("eval snn --attack pgd --eps 255.5", &["--eps 255.5"]),
        ("eval snn --attack pgd --eps nan", &["--eps NaN"]),
        ("eval snn --attack pgd --eps inf", &["--eps inf"]),
        ("eval snn --attack pgd --eps eight", &["eight"]),
        ("eval snn --attack pgd --eps 0", &["--eps 0", "--attack none"]),
        ("eval snn --attack pgd --norm l3", &["l3", "linf, l2"]),
        ("eval snn --attack pgd --norm l2 --eps -1", &["--eps -1", "in l2"]),
        ("eval snn --attack pgd --norm l2 --eps nan", &["--eps NaN", "in l2"]),
        ("eval snn --attack pgd --norm l2 --eps inf", &["--eps inf", "in l2"]),
        ("eval snn --attack pgd --eps 1e-50", &["--eps 0.0000000", "--attack none"]),
        ("eval snn --attack pgd --norm l2 --eps 0", &["--eps 0", "--attack none"]),
        ("eval snn --attack pgd --norm l2 --eps 8", &["--eps 8", "between 0 and 6.9", "2x4x6", "in l2"]),
        ("eval snn --attack sa-pgd --norm l2", &["sa-pgd: has no l2 form", "apgd-ce", "--norm linf"]),
        ("eval snn --attack pgd --restarts 0", &["--restarts 0", "between 1 and 1000"]),
        ("eval snn --attack pgd --restarts 1001", &["--restarts 1001", "between 1 and 1000"]),
        ("eval snn --attack fgsm --restarts 2", &["--restarts", "fgsm draws nothing"]),
        ("eval snn --attack none --restarts 2", &["--restarts", "none draws nothing"]),
        ("eval snn --attack autoattack --restarts 2", &["--restarts", "runs of its own"]),
        ("eval snn --attack autoatack", &["did you mean \"autoattack\"?"]),
        ("eval snn --attack autoattack --iterations 3", &["--iterations", "lengths of its own"]),
        ("eval snn --attack autoattack --ensemble", &["--ensemble", "apgd-ce"]),
        ("eval snn --attack noise --curve", &["--curve", "leave it out"]),
        ("eval snn --attack autoattack", &["names no data set", "--dataset"]),
        ("eval snn --attack pgd --iterations 0", &["0 iterations"]),
        ("eval snn --attack pgd --iterations -3", &["-3"]),
        ("eval snn --attack fgsm --iterations 3", &["--iterations", "fgsm"]),
        ("eval snn --attack pgd --iterations 18446744073709551615", &["18446744073709551615", "at most"]),
        ("eval snn --attack pgd99999999999999999999", &["pgd99999999999999999999"]),
        ("eval snn --attack pgd --steps 0", &["--steps 0", "T = 0"]),
        ("eval snn --attack pgd --steps 1000000000", &["--steps 1000000000", "at most 1000"]),
        ("eval ann --attack pgd --steps 4", &["T = 0", "convert"]),
        ("eval snn --attack pgd --images 0", &["--images 0", "at least 1"]),
        ("eval ann --attack pgd --surrogate PCW", &["--surrogate PCW", "T = 0"]),
        ("eval ann --attack pgd --credit rate", &["--credit rate", "T = 0"]),
        ("eval snn --attack pgd --surrogate PWC", &["did you mean \"PCW\"?"]),
        ("eval snn --attack pgd --surrogate PCW --gamma 0", &["--gamma 0", "positive"]),
        ("eval snn --attack pgd --surrogate PCW --gamma -1", &["--gamma -1"]),
        ("eval snn --attack pgd --surrogate PCW --gamma nan", &["--gamma NaN"]),
        ("eval snn --attack pgd --gamma 1", &["--surrogate"]),
        ("eval snn --attack pgd --credit rat", &["did you mean \"rate\"?"]),
        ("eval snn --attack pgd --credit pdgs", &["did you mean \"pdsg\"?"]),
        ("eval snn --attack pgd --credit pdsg --gamma 2", &["--gamma 2", "pdsg"]),
        ("eval snn --attack apgd-t --credit assg", &["--credit assg", "apgd-t", "apgd-ce"]),
        ("eval snn --attack fab-t --credit assg", &["--credit assg", "fab-t"]),
        ("eval snn --attack pgd --eot 2 --credit assg", &["--credit assg", "--eot"]),
        ("predict snn --images pictures --gradients --credit assg --out new", &["--credit assg", "attack"]),
        ("eval snn --attack pgd --credit hart --gamma 0", &["--gamma 0", "positive"]),
        ("eval snn --attack pgd --lens atc", &["did you mean \"act\"?"]),
        ("eval snn --attack pgd --lens act --credit rate", &["--lens", "--credit"]),
        ("eval snn --attack none --ensemble", &["--ensemble", "none"]),
        ("eval snn --attack pgd --fast", &["--fast", "--ensemble"]),
        ("eval snn --attack square --ensemble", &["--ensemble", "square"]),
        ("eval snn --attack square --iterations 0", &["0 iterations"]),
        ("eval snn --attack noise --source snn", &["--source", "noise"]),
        ("eval snn --attack pgd --source-steps 3", &["--source"]),
        ("eval snn --attack pgd --source snn --source-steps 0", &["--source-steps 0"]),
        ("eval snn --attack pgd --source ann --source-steps 3", &["--source-steps 3", "T = 0"]),
        ("eval snn --attack pgd --eot 0", &["--eot 0"]),
        ("eval snn --attack square --eot 2", &["--eot", "square"]),
        ("eval snn --attack pgd", &["names no data set", "--dataset"]),
        ("eval snn --attack pgd --dataset mnits", &["mnits", "did you mean \"mnist\"?"]),
        ("eval snn --attack pgd --dataset mnist", &["--data DIR"]),
        ("predict ann --images pictures --surrogate PCW --out new", &["--surrogate PCW", "T = 0"]),
        ("predict ann --images pictures --credit rate --out new", &["--credit rate", "T = 0"]),
        ("predict snn --images pictures --statistics bach --out new", &["bach", "batch"]),
    ] {
        house.refused(2, line, words);
    }
    house.refused(1, "eval snn --attack pgd --dataset fashion-mnist-7k", &["1x28x28", "2x4x6"]);
}

#[test]
fn an_ensemble_needs_spikes() {
    let house = House::new("ensemble");
    house.data();
    house.write("mini.toml", RECIPE);
    house.good("train mini.toml --data data --out run --quiet --set epochs=1");
    house.refused(2, "eval run/ann.safetensors --data data --attack fgsm --ensemble --images 2", &["--ensemble", "T = 0"]);
    house.refused(2, "eval run/ann.safetensors --data data --attack fgsm --images 61", &["--images 61", "60 test images"]);
    house.refused(2, "finetune run/ann.safetensors mini.toml --data data --out new", &["T = 0", "caltrop convert"]);
    for (line, words) in [
        ("--steps 0", &["--steps 0"][..]),
        ("--steps 1000000000", &["--steps 1000000000", "at most"]),
        ("--batch 0", &["--batch 0"]),
        ("--batches 0", &["--batches 0"]),
        ("--calibration-steps 0", &["--calibration-steps 0"]),
        ("--calibration-steps 1000000000", &["--calibration-steps 1000000000", "at most"]),
        ("--percentile 101", &["--percentile 101", "between 0 and 100"]),
        ("--percentile nan", &["--percentile NaN"]),
        ("--scale 0", &["--scale 0", "positive"]),
        ("--scale nan", &["--scale NaN"]),
        ("--scale -1", &["-1"]),
        ("--dataset mnits", &["did you mean \"mnist\"?"]),
    ] {
        house.refused(2, &format!("convert run/ann.safetensors --data data {line} --out new"), words);
    }
    house.good("convert run/ann.safetensors --data data --batch 18446744073709551615 --batches 18446744073709551615 --calibration-steps 2 --out snn --quiet");
    house.refused(2, "convert snn --data data --out new", &["spiking one already", "T = 8"]);
    // A run never replaces the network that it starts from.
    house.good("finetune snn mini.toml --data data --out run --quiet --set epochs=1");
    assert!(house.has("run/ann.safetensors"), "finetuning removed the ANN beside it");
    house.refused(2, "finetune run/snn.safetensors mini.toml --data data --out run", &["run/snn.safetensors", "--out"]);
}

#[test]
fn sizes_beyond_reason_are_refused_before_memory_is_asked_for() {
    let house = House::new("sizes");
    house.nets();
    let huge = "18446744073709551615";
    for (line, words) in [
        (format!("--arch vgg:3,A/5 --classes {huge} --input 2x4x6"), vec![huge, "at most"]),
        ("--arch vgg:3,A/5 --classes 0 --input 2x4x6".into(), vec!["0 classes"]),
        ("--arch vgg:3,A/5 --classes -3 --input 2x4x6".into(), vec!["-3"]),
        ("--arch vgg:3,A/5 --classes 3 --input 2x0x6".into(), vec!["2x0x6"]),
        ("--arch vgg:3,A/5 --classes 3 --input 2x4".into(), vec!["--input 2x4", "CxHxW"]),
        ("--arch vgg:3,A/5 --classes 3 --input 2x4x-6".into(), vec!["2x4x-6"]),
        (format!("--arch vgg:3,A/5 --classes 3 --input 2x{huge}x{huge}"), vec![huge, "at most"]),
        ("--arch vgg:3,A/5 --classes 3 --input 2x1x6".into(), vec!["1x6", "too small"]),
        ("--arch vgg:16,A,32,A,64/256 --classes 10 --input 2x4096x4096".into(), vec!["2x4096x4096", "at most"]),
        ("--arch vgg:1000000,1000000/1000000 --classes 3 --input 2x4x6".into(), vec!["vgg:1000000", "at most"]),
        (format!("--arch vgg:{huge} --classes 3 --input 2x4x6"), vec![huge, "no width"]),
        ("--arch vgg:3,B/5 --classes 3 --input 2x4x6".into(), vec!["\"B\"", "vgg:16,A,32,A,64/256"]),
        ("--arch vgg: --classes 3 --input 2x4x6".into(), vec!["no width is given behind", "such as vgg:16,A,32,A,64/256"]),
        ("--arch vgg:3,,A/5 --classes 3 --input 2x4x6".into(), vec!["a width is missing", "such as vgg:16,A,32,A,64/256"]),
        ("--arch vgg:/5 --classes 3 --input 2x4x6".into(), vec!["a width is missing", "before the slash"]),
        ("--arch resnet21 --classes 3 --input 2x4x6".into(), vec!["a depth of 21", "6n + 2"]),
        ("--arch resnet2 --classes 3 --input 2x4x6".into(), vec!["a depth of 2", "6n + 2"]),
        (format!("--arch resnet{huge} --classes 3 --input 2x4x6"), vec!["6n + 2"]),
        ("--arch wrn16_0 --classes 3 --input 2x4x6".into(), vec!["0 times the width"]),
        ("--arch wrn20_4 --classes 3 --input 2x4x6".into(), vec!["a depth of 20", "6n + 4"]),
        ("--arch wrn1204_64 --classes 3 --input 2x4x6".into(), vec!["wrn1204_64", "at most 268435456"]),
        ("--arch wrn16 --classes 3 --input 2x4x6".into(), vec!["no such architecture", "wrn16_4"]),
        ("--arch resnet20 --classes 3 --input 2x3x6".into(), vec!["3x6", "too small"]),
        ("--arch vgg12 --classes 3 --input 2x4x6".into(), vec!["did you mean \"vgg11\"?"]),
        ("--arch vgg:3,A/5 --classes 3 --input 2x4x6 --steps 1000000000".into(), vec!["1000000000", "at most 1000"]),
        ("--arch vgg:3,A/5 --classes 3 --input 2x4x6 --leak 0".into(), vec!["leak 0"]),
        ("--arch vgg:3,A/5 --classes 3 --input 2x4x6 --leak nan".into(), vec!["leak NaN"]),
        ("--arch vgg:3,A/5 --classes 3 --input 2x4x6 --dropout 1".into(), vec!["dropout 1"]),
        ("--arch vgg:3,A/5 --classes 3 --input 2x4x6 --reset sofd".into(), vec!["did you mean \"soft\"?"]),
        ("--arch vgg:3,A/5 --classes 3 --input 2x4x6 --dataset mnits".into(), vec!["did you mean \"mnist\"?"]),
    ] {
        house.refused(2, &format!("import weights --mean 0,0 --std 1,1 {line} --out new"), &words);
    }
    for (line, words) in [
        ("--mean 0.4 --std 1,1", &["--mean", "1 values for 2 channels"][..]),
        ("--mean nan,0 --std 1,1", &["mean of NaN"]),
        ("--mean 0,0 --std 0,1", &["deviation of 0"]),
        ("--mean 0,0 --std 1,nan", &["deviation of NaN"]),
        ("--mean 0,0", &["--std is needed"]),
    ] {
        house.refused(2, &format!("import weights --arch vgg:3,A/5 --classes 3 --input 2x4x6 {line} --out new"), words);
    }
}

#[test]
fn recipes_are_checked_before_anything_runs() {
    let house = House::new("recipes");
    house.data();
    house.write("mini.toml", RECIPE);
    house.write("typo.toml", RECIPE.replace("attack_steps", "attack_step"));
    house.write("broken.toml", "arch = \"vgg:4\"\ndataset = \n");
    house.write("bare.toml", "dataset = \"mnist\"\n");
    for (line, words) in [
        ("run typo.toml", &["typo.toml [ann]: ", "attack_step", "did you mean \"attack_steps\"?"][..]),
        ("run broken.toml", &["broken.toml:2:11: "]),
        ("run bare.toml", &["\"arch\" is needed"]),
        ("run mini.toml --set ann.epoch=1", &["\"epoch\"", "did you mean \"epochs\"?"]),
        ("train mini.toml --set epoch=1", &["\"epoch\"", "did you mean \"epochs\"?"]),
        ("run mini.toml --set epochs=1", &["\"epochs\"", "ann.epochs or snn.epochs"]),
        ("run mini.toml --set nonsense", &["KEY=VALUE"]),
        ("run mini.toml --set =1", &["key is empty"]),
        ("run mini.toml --set amn.epochs=1", &["\"amn\"", "did you mean \"ann\"?"]),
        ("run mini.toml --set arch=vgg12", &["vgg12", "did you mean \"vgg11\"?"]),
        ("run mini.toml --set arch=vgg:4,A,A,A,A/8", &["8x8", "too small"]),
        ("run mini.toml --set arch=vgg:1000000,1000000", &["vgg:1000000,1000000", "at most"]),
        ("run mini.toml --set dataset=mnits", &["did you mean \"mnist\"?"]),
        ("run mini.toml --set ann.defense=trade", &["mini.toml [ann]: defense trade", "did you mean \"trades\"?"]),
        ("run mini.toml --set snn.defense=mart", &["natural and trades"]),
        ("run mini.toml --set ann.eps=-1", &["eps = -1", "between 0 and 255"]),
        ("run mini.toml --set ann.eps=256", &["eps = 256"]),
        ("run mini.toml --set ann.eps=nan", &["eps = NaN"]),
        ("run mini.toml --set ann.lr=nan", &["lr = NaN"]),
        ("run mini.toml --set ann.lr=fast", &["lr", "\"fast\"", "a number"]),
        ("run mini.toml --set ann.epochs=0", &["epochs = 0"]),
        ("run mini.toml --set ann.epochs=1.5", &["epochs = 1.5", "whole number"]),
        ("run mini.toml --set ann.batch=0", &["batch = 0"]),
        ("run mini.toml --set snn.steps=0", &["steps = 0"]),
        ("run mini.toml --set snn.steps=1000000000", &["steps = 1000000000"]),
        ("run mini.toml --set convert.percentile=100.1", &["percentile = 100.1"]),
        ("run mini.toml --set convert.scale=0", &["scale = 0"]),
        ("run mini.toml --set ann.schedule=cosin", &["mini.toml [ann]: schedule cosin", "did you mean \"cosine\"?"]),
        ("run cifar10-vgg11-at --set snn.schedule=cosin", &["cifar10-vgg11-at [snn]: schedule cosin"]),
        ("run mini.toml --set ann.milestones=[1]", &["mini.toml [ann]: milestones", "\"step\"", "\"cosine\"", "milestones = []"]),
        ("run mini.toml --set ann.milestones=[1] --set ann.schedule=constant", &["milestones", "\"step\"", "\"constant\""]),
        ("run mini.toml --set ann.decay=0.5", &["decay = 0.5", "\"step\"", "decay = 0.1"]),
        ("run mini.toml --set ann.augment=flop", &["mini.toml [ann]: augment: \"flop\"", "did you mean \"flip\"?"]),
        ("run mini.toml --set leak=0", &["leak = 0"]),
        ("run mini.toml --set reset=herd", &["did you mean \"hard\"?"]),
        ("run mini.toml --set eval.snn=ensemble-none", &["mini.toml [eval]: snn: ", "none"]),
        ("run mini.toml --set augment=flop", &["mini.toml: augment: \"flop\"", "did you mean \"flip\"?"]),
        ("run mini.toml --set eval.curve_attack=pdg", &["mini.toml [eval]: curve_attack: attack pdg", "did you mean \"pgd\"?"]),
        ("run mini.toml --set eval.snn=pdg20", &["did you mean \"pgd\"?"]),
        ("run mini.toml --set eval.snn=pgd:0", &["0 images"]),
        ("run mini.toml --set eval.snn=fgsm,zzzzzz", &["mini.toml [eval]: snn: attack zzzzzz", "valid: none, noise", "autoattack"]),
        ("run mini.toml --set eval.snn=ensemble-autoattack", &["one lens", "leave ensemble- out"]),
        ("run mini.toml --set eval.ann=ensemble-fgsm", &["mini.toml [eval]: ann: ensemble-fgsm", "no spikes", "leave ensemble- out"]),
        ("run mini.toml --set eval.ann=fgsm,pgd20,fgsm:5", &["mini.toml [eval]: ann: fgsm is there twice"]),
        ("run mini.toml --set eval.checks=3", &["checks = 3", "true or false"]),
        ("run mini.toml --set eval.curve=[0,300]", &["curve = 300"]),
        ("run mini.toml --set eval.curve=[0,8,8.0]", &["mini.toml [eval]: curve: 8 is there twice"]),
        ("run mini.toml --set ann=3", &["ann = 3", "a table"]),
        ("run mini.toml --set arch.x=3", &["\"arch\""]),
    ] {
        house.refused(2, &format!("{line} --data data --out new --quiet"), words);
    }
    house.refused(1, "run no-such.toml --data data --out new", &["cannot read the recipe no-such.toml"]);
    house.refused(1, "run mini.toml --data data --out new --set ann.batch=201 --set ann.last_batch=drop", &["196 training images", "201"]);
    house.refused(1, "run mini.toml --data data --out new --resume", &["new holds no run", "without --resume"]);
}

/// A run attacks after hours of training; what its data cannot be attacked with is refused before, and an earlier run stays.
#[test]
fn attacks_that_need_more_classes_than_there_are_are_refused_before_anything_runs() {
    let house = House::new("classes");
    folder(&house.root.join("data"), 2, 8);
    house.write(
        "mini.toml",
        RECIPE.replace("\"mnist\"", "\"folder\"").replace("epochs = 2", "epochs = 1").replace("batch = 32", "batch = 8"),
    );
    let line = "run mini.toml --data data --quiet";
    // An attack of no curve attacks nothing.
    let fine = "--set eval.snn=fgsm:5 --set eval.curve=[] --set eval.curve_attack=apgd-t --set eval.checks=false";
    house.good(&format!("{line} {fine} --out out"));
    for (setting, words) in [
        ("ann=pgd2:5,apgd-dlr", ["apgd-dlr: 2 classes", "at least 3: use apgd-ce"]),
        ("snn=fgsm:5,ensemble-apgd-t2", ["apgd-t: 2 classes", "at least 4: use apgd-ce"]),
        ("snn=autoattack:5", ["apgd-t: 2 classes", "at least 4"]),
        ("curve_attack=apgd-t2:5", ["apgd-t: 2 classes", "at least 4"]),
    ] {
        for out in ["new", "out"] {
            house.refused(2, &format!("{line} --set eval.{setting} --out {out}"), &words);
        }
    }
}

#[test]
fn what_cannot_be_written_is_said_and_leaves_nothing() {
    let house = House::new("unwritable");
    house.nets();
    house.data();
    house.images("pictures", 3);
    house.write("mini.toml", RECIPE);
    house.write("plain", "a file");
    house.good("train mini.toml --data data --out run --quiet --set epochs=1");
    let import = format!("import weights {ARCH}");
    let commands = [
        (import.as_str(), "--out"),
        ("export ann", "--out"),
        ("predict snn --images pictures --gradients", "--out"),
        ("convert run/ann.safetensors --data data --batches 1 --calibration-steps 4", "--out"),
        ("eval run/ann.safetensors --data data --attack fgsm --images 3", "--json"),
        ("eval run/ann.safetensors --data data --attack fgsm --images 3", "--save"),
    ];
    for (command, flag) in commands {
        house.refused(1, &format!("{command} {flag} plain/new --quiet"), &["cannot write plain/new"]);
        house.refused(1, &format!("{command} {flag} absent/new --quiet"), &["cannot write absent/new"]);
        house.refused(1, &format!("{command} {flag} data --quiet"), &["cannot write data", "folder"]);
        if cfg!(target_os = "linux") {
            house.refused(1, &format!("{command} {flag} /dev/full --quiet"), &["cannot write /dev/full"]);
        }
    }
    for command in ["run mini.toml", "train mini.toml", "demo --quick"] {
        let data = if command.starts_with("demo") { "" } else { "--data data" };
        house.refused(1, &format!("{command} {data} --out plain/run --quiet"), &["plain/run", "--out"]);
        house.refused(1, &format!("{command} {data} --out plain --quiet"), &["plain", "--out"]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_or_closed_standard_output_is_no_panic() {
    use std::process::Stdio;
    let house = House::new("stdout");
    house.nets();
    let full = || Stdio::from(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    for line in ["recipes", "recipes fashion-mnist-7k", "devices", "export ann --out new"] {
        let output = house.command(line).stdout(full()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{line}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("caltrop: cannot write to the standard output") && said.lines().count() == 1, "{line}: {said}");
    }
    let status = house.command("eval ann --attack pdg").stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(2));
    // A reader that went away.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = house.command("recipes fashion-mnist-7k").stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn a_network_that_overflows_is_refused_where_it_answers() {
    let house = House::new("overflow");
    let mut dict = state_dict();
    dict.iter_mut().filter(|tensor| tensor.name.contains("classifier")).for_each(|tensor| {
        let floats = tensor.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
        let huge: Vec<f32> = floats.map(|x| x * 1e30).collect();
        *tensor = T::floats(&tensor.name, &tensor.shape, &huge);
    });
    house.tensors("weights", &dict);
    house.good(&format!("import weights {ARCH} --out net"));
    house.images("pictures", 4);
    house.refused(1, "predict net --images pictures --out out", &["not finite", "selftest"]);
}
