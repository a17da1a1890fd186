//! How the build reads the `KERNEL(...)` lines.

#[path = "../build/table.rs"]
mod table;

use table::{no_twins, rust, scan};

#[test]
fn a_declaration_is_read_with_its_comments_and_over_lines() {
    let text = "#define KERNEL(name, ...) x
KERNEL(relu_forward, 256, 1, const float* x /* [n, c] */, float* y, uint64_t n) {
// KERNEL(not_this, 1, 1) {
/* and
KERNEL(not_this, 1, 1) { */
KERNEL(lif_forward, 128, 2, Lif lif,       // the geometry
       const float* y,     // [n, c], maybe (null)
       const float (&table)[4]) {
KERNEL(nothing, 1024, 1) {}
";
    let found = scan("ops", text).expect("it is well formed");
    let names: Vec<_> = found.iter().map(|kernel| (kernel.name.as_str(), kernel.threads, kernel.args.len())).collect();
    assert_eq!(names, [("relu_forward", 256, 3), ("lif_forward", 128, 3), ("nothing", 1024, 0)]);
    assert_eq!(found[1].args, ["Lif lif", "const float* y", "const float (&table)[4]"]);
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    for (text, part) in [
        ("\n  KERNEL(a, 256, 1) {", "kernels/ops.cu:2: KERNEL( must start its line"),
        ("KERNEL(a, 256, 1", "not closed"),
        ("KERNEL(a##b, 256, 1) {", "\"a##b\" is not a plain name"),
        ("KERNEL(a, BLOCK, 1) {", "must be a number"),
        ("KERNEL(a, 2048, 1) {", "1 to 1024"),
        ("KERNEL(a, 256) {", "fewest blocks"),
    ] {
        let error = scan("ops", text).expect_err(text);
        assert!(error.contains(part), "{error}");
    }
    let twins = [scan("one", "KERNEL(a, 32, 1) {").unwrap(), scan("two", "KERNEL(a, 32, 1) {").unwrap()].concat();
    assert_eq!(no_twins(&twins).unwrap_err(), "kernel a stands twice: in kernels/one.cu and in kernels/two.cu");
}

#[test]
fn a_build_without_compilers_has_empty_hands() {
    let text = rust(&scan("ops", "KERNEL(a, 32, 1, float* x) {").unwrap(), &[], None);
    for part in [
        "pub static a: Kernel = Kernel { name: c\"a\", file: \"ops\", args: 1, threads: 32 };",
        "pub static ALL: &[&Kernel] = &[&kernel::a];",
        "pub static FATBINS: &[(&str, &[u8])] = &[];",
        "pub static EMULATOR: Option<&[u8]> = None;",
        "pub static CHECKED: Option<&[u8]> = None;",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}
