//! `caltrop inspect`: its numbers against `predict` and the neuron's equations, its page under clicks, what it refuses.

use super::house::{House, open};
use std::process::Command;

const T: usize = 4;
/// The layers of neurons of `House::nets`: name, channels, height, width.
const LAYERS: [(&str, [usize; 3]); 2] = [("features.2", [3, 4, 6]), ("classifier.2", [5, 1, 1])];

/// A house with networks, images, and an inspection of three of them in `out`.
fn inspected(name: &str, more: &str) -> House {
    let house = House::new(name);
    house.nets();
    house.images("images", 3);
    house.good(&format!("inspect snn --images images --attack pgd --eps 24 --iterations 3 --out out {more}"));
    house
}

#[test]
fn spikes_currents_and_membranes_follow_the_neuron() {
    let house = inspected("inspect-arrays", "--format safetensors,npy,csv,svg");
    let arrays = open(&house.read("out/inside.safetensors"));
    house.good("predict snn --images images --out clean");
    let clean = open(&house.read("clean"));
    assert_eq!((&arrays["logits_t"].shape, arrays["logits_t"].floats()), (&vec![T, 3, 3], clean["logits_t"].floats()));
    for prefix in ["", "adversarial."] {
        for (at, (layer, [channels, height, width])) in LAYERS.into_iter().enumerate() {
            let get = |what: &str| &arrays[&format!("{prefix}{layer}.{what}")];
            let (spikes, x, u) = (&get("spikes").bytes, get("current").floats(), get("membrane").floats());
            assert_eq!(get("spikes").shape, [T, 3, channels, height, width]);
            let v_th = arrays[&format!("{layer}.v_th")].floats()[0];
            let step = 3 * channels * height * width;
            for neuron in 0..step {
                let mut v = 0.0f32;
                for t in 0..T {
                    let i = t * step + neuron;
                    assert!(
                        (v + x[i] - u[i]).abs() <= 1e-6 * (1.0 + u[i].abs()),
                        "{layer} {neuron} at {t}: {v} + {} is not {}",
                        x[i],
                        u[i]
                    );
                    assert_eq!(spikes[i] == 1, u[i] >= v_th, "{layer} {neuron} at {t}");
                    v = if spikes[i] == 1 { 0.0 } else { u[i] };
                }
            }
            if prefix.is_empty() {
                // As many as `predict` counts.
                let fired: i64 = spikes.iter().map(|&spike| i64::from(spike)).sum();
                assert_eq!(clean["spikes"].longs()[at], fired, "{layer}");
            }
        }
    }
    // The adversarial images are near the clean ones, and some spikes are others.
    let (a, b) = (arrays["images"].floats(), arrays["adversarial.images"].floats());
    let far = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(far > 0.01 && far <= 24.0 / 255.0 + 1e-6, "{far}");
    assert_ne!(arrays["features.2.spikes"].bytes, arrays["adversarial.features.2.spikes"].bytes);
    // The tables say the same.
    let (neurons, layers) = (text(&house, "out/neurons.csv"), text(&house, "out/layers.csv"));
    for (layer, [channels, height, width]) in LAYERS {
        for (input, prefix) in [("clean", ""), ("attacked", "adversarial.")] {
            let told = |column: usize| move |line: &&str| line.split(',').nth(column).map(String::from);
            let mine: Vec<&str> =
                neurons.lines().filter(|line| told(1)(line).as_deref() == Some(input) && told(2)(line).as_deref() == Some(layer)).collect();
            let fired: usize = mine.iter().map(|line| told(6)(line).unwrap().parse::<usize>().unwrap()).sum();
            let spikes = &arrays[&format!("{prefix}{layer}.spikes")].bytes;
            assert_eq!(
                (mine.len(), fired),
                (3 * channels * height * width, spikes.iter().map(|&s| usize::from(s)).sum()),
                "{layer} {input}"
            );
            let row = layers.lines().find(|line| line.starts_with(layer) && line.contains(&format!(",{input},"))).unwrap();
            let rate: f64 = told(6)(&row).unwrap().parse().unwrap();
            assert!((rate - fired as f64 / spikes.len() as f64).abs() < 1e-9, "{row}");
            let flips = arrays[&format!("{layer}.spikes")].bytes.iter().zip(&arrays[&format!("adversarial.{layer}.spikes")].bytes);
            let flipped: f64 = told(9)(&row).unwrap().parse().unwrap();
            assert!((flipped - flips.filter(|(a, b)| a != b).count() as f64 / spikes.len() as f64).abs() < 1e-9, "{row}");
        }
    }
    // One image, layer, neuron: the array in a file of its own has the same bytes behind its header.
    let npy = house.read("out/features.2.membrane.npy");
    assert!(npy.ends_with(&arrays["features.2.membrane"].bytes) && npy.starts_with(b"\x93NUMPY"));
    assert!(text(&house, "out/traces-0.svg").starts_with("<svg xmlns"));
}

fn text(house: &House, name: &str) -> String {
    String::from_utf8(house.read(name)).unwrap()
}

#[test]
fn it_draws_what_it_is_asked_for() {
    let house = House::new("inspect-files");
    house.nets();
    house.images("images", 2);
    let said = house.good("inspect snn --images images --attack none --out one --layer features.2 --neuron 5,3,2 --neuron 0,0,0");
    assert!(said.out.contains("features.2") && said.out.contains("classifier.2") && !said.out.contains("attacked"), "{}", said.out);
    for file in ["index.html", "layers.png", "histograms.png", "raster-1.png", "traces-1.png", "inside.safetensors", "layers.csv"] {
        assert!(house.has(&format!("one/{file}")), "{file}");
    }
    let traces = text(&house, "one/traces.csv");
    assert_eq!(traces.lines().count(), 1 + 2 * 2 * T, "{traces}");
    assert!(traces.contains("0,clean,features.2,5,3,2,1,"), "{traces}");
    assert!(!open(&house.read("one/inside.safetensors")).keys().any(|name| name.starts_with("adversarial")));
    // Fewer kinds, other steps, without labels.
    let few = open(&house.read("images"));
    house.tensors("bare", &[super::house::T::floats("images", &[2, 2, 4, 6], &few["images"].floats())]);
    house.good("inspect snn --images bare --steps 9 --attack fgsm --format csv --out two");
    assert!(!house.has("two/index.html") && text(&house, "two/traces.csv").contains(",9,"));
}

#[test]
fn the_page_answers_clicks_without_a_network() {
    let house = inspected("inspect-page", "--format html,safetensors");
    let page = text(&house, "out/index.html");
    for outside in ["http://", "https://", "src=", "@import", "url("] {
        let allowed = ["http://www.w3.org/2000/svg"];
        let found = page.match_indices(outside).find(|(at, _)| !allowed.iter().any(|whole| page[*at..].starts_with(whole)));
        assert_eq!(found, None, "the page asks for something outside");
    }
    let Some(browser) = browser() else {
        eprintln!("no Chromium here: the page was not clicked");
        return;
    };
    // The second layer, the third image, step 3; then what the script drew, as text.
    let clicks = r##"<script>addEventListener("load", () => {
        const all = (what) => [...document.querySelectorAll(what)];
        const before = all(".layer-name")[0].textContent;
        all("#layers button")[1].click();
        all("#images button")[2].click();
        const slider = document.getElementById("time");
        slider.value = 3;
        slider.dispatchEvent(new Event("input"));
        const inks = ["robust", "natural"].map((name) => {
            const canvas = document.createElement("canvas").getContext("2d");
            canvas.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--" + name);
            canvas.fillRect(0, 0, 1, 1);
            return canvas.getImageData(0, 0, 1, 1).data.join();
        });
        const marked = all("#maps canvas").slice(0, 2).map((canvas, take) => {
            const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
            let count = 0;
            for (let i = 0; i < data.length; i += 4) count += data.slice(i, i + 4).join() === inks[take] ? 1 : 0;
            return count;
        });
        const pressed = all("[aria-pressed=true]").map((button) => button.textContent).join(";");
        all("table.layers button")[0].click();
        const after = all(".layer-name")[0].textContent;
        document.body.innerHTML = ["told", before, pressed, document.title && marked.join(), slider.value, after, all("#now").length].join("|");
    });</script></body>"##;
    house.write("clicked.html", page.replace("</body>", clicks));
    let profile = house.root.join("profile");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("file://{}", house.root.join("clicked.html").display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).to_string();
    let told = dom.split("told|").nth(1).unwrap_or_else(|| panic!("the page broke: {dom}")).split('<').next().unwrap().to_string();
    let arrays = open(&house.read("out/inside.safetensors"));
    // Step 3 of image 2 of the second layer: 5 neurons.
    let spiking = |name: &str| arrays[name].bytes[(2 * 3 + 2) * 5..(2 * 3 + 2) * 5 + 5].iter().map(|&s| usize::from(s)).sum::<usize>();
    let wanted = format!(
        "features.2|2: 2;classifier.2|{},{}|3|features.2|1",
        spiking("classifier.2.spikes"),
        spiking("adversarial.classifier.2.spikes")
    );
    assert_eq!(told, wanted);
}

/// Chromium or what is built of it, where there is one.
fn browser() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
    names.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success()))
}

#[test]
fn what_cannot_be_seen_is_one_line() {
    let house = House::new("inspect-bad");
    house.nets();
    house.images("images", 3);
    let refused = |words: &str, told: &[&str]| house.refused(2, &format!("inspect {words}"), told);
    refused("ann --images images", &["T = 0", "caltrop convert"]);
    refused("snn --images images --layer features.3", &["features.3", "features.2 (3x4x6)", "classifier.2 (5x1x1)"]);
    refused("snn --images images --layer features.2 --neuron 6,0,0", &["6,0,0", "x from 0 to 5", "y from 0 to 3", "c from 0 to 2"]);
    refused("snn --images images --layer features.2 --neuron 1,2", &["x,y,c"]);
    refused("snn --images images --neuron 1,2,1", &["--layer"]);
    refused("snn --images images --attack autoattack", &["apgd-ce"]);
    refused("snn --images images --attack pdg", &["pgd"]);
    refused("snn --images images --eps 0", &["--attack none"]);
    refused("snn --images images --steps 0", &["--steps 0"]);
    refused("snn --images images --traces 1000", &["64"]);
    refused("snn --images images --format gif", &["gif", "png"]);
    refused("snn --images images --layer features.2 --neuron 0,0,0 --neuron 0,0,0", &["named twice"]);
    refused("snn --images images --dataset mnist", &["this file's", "--dataset"]);
    refused("snn --images nowhere", &["nowhere", "0,3,7..9"]);
    refused("snn", &["names no data set", "--dataset"]);
    house.good(&format!("import weights {} --steps 4 --dataset fashion-mnist-7k --out named", super::house::ARCH));
    house.refused(1, "inspect named", &["2x4x6", "28x28"]);
    // Images of a data set: none twice, none backwards, none beyond the last.
    house.tensors("plain", &[super::house::T::floats("classifier.1.weight", &[10, 196], &[0.0; 1960])]);
    let arch = "--arch vgg:A/ --classes 10 --input 1x28x28 --mean 0.3 --std 0.3";
    house.good(&format!("import plain {arch} --steps 4 --dataset fashion-mnist-7k --out tiny"));
    let tiny = |images: &str, told: &[&str]| house.refused(2, &format!("anytime tiny --attack none --images {images}"), told);
    tiny("3,3", &["--images 3", "twice"]);
    tiny("0..4,2", &["--images 2", "twice"]);
    tiny("0,5..3", &["5..3"]);
    tiny("0,1000", &["1000", "0 to 999"]);
    tiny("1001", &["1001", "1000 test images"]);
    tiny("0", &["no image"]);
    tiny("18446744073709551615,", &["neither a file nor images"]);
}

#[test]
fn what_overflows_or_has_no_neurons_is_told() {
    let house = House::new("inspect-broken");
    let mut dict = super::house::state_dict();
    // A current of 1e38 and more, from pixels of every kind; the logits stay finite, since a spike is a spike.
    let huge = vec![3e38; 54];
    dict[0] = super::house::T::floats("features.0.weight", &[3, 2, 3, 3], &huge);
    house.tensors("weights", &dict);
    house.good(&format!("import weights {} --steps 4 --out huge", super::house::ARCH));
    house.images("images", 2);
    std::fs::create_dir(house.root.join("seen")).unwrap(); // or it is made, and left empty
    for command in ["inspect huge --images images --attack none --out seen", "trace huge --images images --layer features.2"] {
        house.refused(1, command, &["features.2", "not finite", "overflows"]);
    }
    house.tensors("bare", &[super::house::T::floats("classifier.1.weight", &[3, 12], &[0.1; 36])]);
    let arch = "--arch vgg:A/ --classes 3 --input 2x4x6 --mean 0.4,0.5 --std 0.2,0.3 --dataset fashion-mnist-7k";
    house.good(&format!("import bare {arch} --steps 4 --out plain"));
    house.good(&format!("import bare {arch} --out plain-ann"));
    for command in ["inspect plain --images images", "trace plain --images images", "anytime plain --images images", "doctor plain-ann"] {
        house.refused(2, command, &["no layer of neurons"]);
    }
}

#[test]
fn no_result_takes_the_place_of_another_or_of_an_input() {
    let house = House::new("outputs");
    house.nets();
    house.images("images", 2);
    for (line, words) in [
        ("energy snn --images images --json snn", &["--json snn", "an input"][..]),
        ("energy snn --images images --json a --csv ./a", &["--csv ./a", "--json"]),
        ("energy snn --images images --csv -", &["--csv -", "only --json"]),
        ("energy snn --images images --ann ann --csv ann", &["--csv ann", "an input"]),
        ("anytime snn --images images --report c.html --csv c.html", &["c.html"]),
        ("anytime snn --images images --plot images.gif", &[".png or .svg"]),
        ("doctor ann --report ann", &["--report ann", "an input"]),
        ("eval snn --attack none --dataset mnist --json snn", &["--json snn", "an input"]),
        ("eval snn --attack none --dataset mnist --json q --report q", &["--report q", "--json"]),
    ] {
        house.refused(2, line, words);
    }
}
