//! Recipes that inherit, and the resolved recipe that a run keeps.

use super::house::{House, RECIPE};

#[test]
fn recipes_are_listed_by_data_set_and_printed() {
    let house = House::new("list");
    let list = house.good("recipes").out;
    for dataset in ["cifar10", "cifar100", "svhn", "tinyimagenet", "fashion-mnist", "fashion-mnist-7k"] {
        assert_eq!(list.lines().filter(|line| *line == dataset).count(), 1, "{list}");
    }
    assert!(list.lines().any(|line| line.starts_with("  cifar100-wrn16_4-mart ") && line.contains("MART")), "{list}");
    assert!(!list.contains("paper"), "a part that is no recipe is listed:\n{list}");
    let short = house.good("recipes cifar10-vgg11-trades").out;
    assert!(short.lines().count() <= 6 && short.contains("inherits"), "{short}");
    let long = house.good("recipes cifar10-vgg11-trades --resolved").out;
    for line in ["arch = \"vgg11\"", "lambda = 6", "epochs = 200", "epochs = 60", "last_batch = \"keep\"", "[convert]", "percentile = 99.7"]
    {
        assert!(long.lines().any(|found| found == line), "no {line} in\n{long}");
    }
    house.refused(2, "recipes cifar10-vgg11-trade", &["did you mean \"cifar10-vgg11-trades\"?"]);
    house.refused(2, "recipes paper --resolved", &["no such recipe"]);
    house.refused(2, "recipes --resolved", &["NAME"]);
}

#[test]
fn inherited_settings_can_be_set_and_the_kept_recipe_alone_makes_the_same_run() {
    let house = House::new("inherit");
    house.data();
    house.write("base/mini.toml", RECIPE);
    house.write("my.toml", "inherits = [\"base/mini.toml\", \"mart\"]\n[ann]\nlr = 0.05\n");
    house.good("run my.toml --data data --out out --set ann.epochs=1 --set snn.lr=0.002 --seed 3 --quiet");
    let kept = String::from_utf8(house.read("out/recipe.toml")).unwrap();
    let table: toml::Table = kept.parse().unwrap();
    let get = |section: &str, key: &str| table[section][key].to_string();
    assert_eq!((get("ann", "epochs"), get("ann", "lr"), get("ann", "defense")), ("1".into(), "0.05".into(), "\"mart\"".into()));
    assert_eq!((get("snn", "lr"), get("snn", "steps"), table["seed"].to_string()), ("0.002".into(), "4".into(), "3".into()));
    assert_eq!((get("ann", "momentum"), get("convert", "percentile")), ("0.9".into(), "99.7".into()), "defaults are written out");

    // Without the files that it came from.
    house.write("elsewhere/recipe.toml", &kept);
    std::fs::remove_dir_all(house.root.join("base")).unwrap();
    house.good("run elsewhere/recipe.toml --data data --out again --quiet");
    for name in ["recipe.toml", "ann.safetensors", "converted.safetensors", "snn.safetensors"] {
        assert!(house.read(&format!("out/{name}")) == house.read(&format!("again/{name}")), "{name} differs");
    }
    assert_eq!(house.json("out/report.json")["results"], house.json("again/report.json")["results"]);
    // A resume compares settings, wherever they are written.
    house.good("run out/recipe.toml --data data --out out --resume --quiet");
    house.refused(
        2,
        "run elsewhere/recipe.toml --data data --out out --set ann.epochs=2 --resume --quiet",
        &["another recipe or other settings", "ann.epochs was 1 and is 2"],
    );
}

#[test]
fn what_cannot_be_inherited_is_one_line() {
    let house = House::new("badinherit");
    house.data();
    for (text, code, words) in [
        ("inherits = \"papr\"\n", 2, &["bad.toml", "\"papr\"", "did you mean \"paper\"?"][..]),
        ("inherits = \"absent.toml\"\n", 1, &["absent.toml", "bad.toml inherits"]),
        ("inherits = 7\n", 2, &["inherits = 7", "a list of names"]),
        ("inherits = \"bad.toml\"\n", 2, &["inherits itself: bad.toml -> bad.toml"]),
        ("inherits = \"other.toml\"\n", 2, &["inherits itself", "other.toml"]),
        ("inherits = \"broken.toml\"\n", 2, &["broken.toml:2:"]),
        ("inherits = [\"paper\", \"mnist\"]\n", 2, &["\"mnist\""]),
        ("inherits = [\"paper\", \"vgg11\"]\n", 2, &["\"dataset\" is needed"]),
        ("inherits = [\"paper\", \"vgg11\"]\ndataset = \"mnist\"\n[ann]\nlambd = 3\n", 2, &["did you mean \"lambda\"?"]),
    ] {
        println!("{text}");
        house.write("bad.toml", text);
        house.write("other.toml", "inherits = \"bad.toml\"\n");
        house.write("broken.toml", "a = 1\nb = \n");
        house.refused(code, "run bad.toml --data data --out new", words);
    }
}
