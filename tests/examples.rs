//! The examples of `examples/`, run: what they print is what they return.

#![allow(clippy::duplicate_mod)] // each example is a program of its own, and two of them take the network of the first

#[allow(dead_code)] // `main` is cargo's
#[path = "../examples/own_attack.rs"]
mod own_attack;
#[allow(dead_code)]
#[path = "../examples/own_network.rs"]
mod own_network;
#[allow(dead_code)]
#[path = "../examples/own_surrogate.rs"]
mod own_surrogate;

/// The network learns, an attack costs it something, and finetuning leaves it a network.
#[test]
fn own_network() {
    let found = own_network::run().expect("the example");
    for (name, own_network::Accuracy { clean, robust }) in [("ann", found.ann), ("snn", found.snn)] {
        assert!(clean > 55.0, "{name}: clean {clean} %, where guessing has 10 %");
        assert!(robust > 25.0 && robust < clean, "{name}: {robust} % under attack, {clean} % clean");
    }
}

/// The attack stays in the ball and is about as strong as PGD, through every lens.
#[test]
fn own_attack() {
    let found = own_attack::run().expect("the example");
    assert!(found.farthest <= own_network::EPS + 1e-3 && found.farthest > 0.9 * own_network::EPS, "{} / 255", found.farthest);
    assert_eq!(found.rows.len(), 3);
    for own_attack::Row { lens, pgd, own } in found.rows {
        assert!(own < found.clean && pgd < found.clean, "{lens}: PGD {pgd}, own {own}, clean {}", found.clean);
        assert!((own - pgd).abs() <= 15.0, "{lens}: PGD {pgd}, own {own}");
    }
}

/// A bell that is wide enough shows an attack what PCW shows it; one that is too narrow hides it.
#[test]
fn own_surrogate() {
    let found = own_surrogate::run().expect("the example");
    assert!(found.built_in < found.clean, "PCW {}, clean {}", found.built_in, found.clean);
    let best = found.bells.iter().map(|&(_, percent)| percent).fold(f64::INFINITY, f64::min);
    assert!((best - found.built_in).abs() <= 10.0, "the best bell leaves {best} %, PCW {} %", found.built_in);
    assert!(found.bells[0].1 > best, "the narrowest bell leaves {} %, the best {best} %", found.bells[0].1);
}
