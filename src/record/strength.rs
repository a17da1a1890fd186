//! Which of several attacks says most.

/// How much the result of `attack`, the part of its key behind the network (`pgd20`, `ensemble_fgsm`, `autoattack`), is to be
/// trusted, to compare: whether it follows gradients; 2 for an ensemble of many steps, 1 for AutoAttack, else 0; how many steps (or
/// queries); whether it is an ensemble. None where no network is asked.
pub fn strength(attack: &str) -> Option<(bool, u8, usize, bool)> {
    let (member, joined) = attack.strip_prefix("ensemble_").map_or((attack, false), |member| (member, true));
    let name = member.trim_end_matches(|c: char| c.is_ascii_digit());
    let steps = member[name.len()..].parse().unwrap_or(1);
    match name {
        "clean" | "none" | "noise" | "gaussian" => None,
        "autoattack" => Some((true, 1, steps, joined)),
        _ => Some((name != "square", if joined && steps > 1 { 2 } else { 0 }, steps, joined)),
    }
}
