#!/usr/bin/env bash
# Holds the compiled kernels to kernels/budget.txt on every architecture: registers, no stack (so no spills), and the tensor-core
# and copy instructions they were written for. Reads the fatbins that the build made; needs nvcc's cuobjdump, no GPU.
#   tools/check-kernels.sh [cargo's profile option, such as --release]
set -euo pipefail
cd "$(dirname "$0")/.."
archs="80 86 89 90 100 120"

fail() {
    printf 'check-kernels: %s\n' "$@" >&2
    exit 1
}

messages=$(env -u CALTROP_ARCHS cargo check --lib --message-format=json "$@") || fail "the build failed"
out=$(sed -n 's/.*"reason":"build-script-executed".*[/#]caltrop[@#].*"out_dir":"\([^"]*\)".*/\1/p' <<<"$messages")
[ -d "$out/kernels" ] || fail "cargo named no folder of the build's outputs"
fatbins=("$out"/kernels/*.fatbin)
[ -f "${fatbins[0]}" ] || fail "the build found no nvcc: run tools/get-nvcc.sh, or set NVCC"
for cuobjdump in .cuda/bin/cuobjdump "${CUDA_HOME:-/nowhere}/bin/cuobjdump" "$(command -v cuobjdump || true)"; do
    [ -x "$cuobjdump" ] && break
done
[ -x "$cuobjdump" ] || fail "cuobjdump was not found beside nvcc: run tools/get-nvcc.sh"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
parallel() { xargs -P "$(nproc)" -I {} sh -c "$1"; }

# Facts, one a line: "kernel ARCH NAME REGISTERS STACK LOCAL", "ptx FILE", "has ARCH NAME INSTRUCTION".
export cuobjdump work
printf '%s\n' "${fatbins[@]}" | parallel '"$cuobjdump" -res-usage {} >"$work/$(basename {}).usage"'
awk '
    FNR == 1 { file = FILENAME; sub(/.*\//, "", file); sub(/\.fatbin.*/, "", file) }
    /^Fatbin ptx/ { print "ptx", file }
    /^arch = / { arch = substr($3, 4) }
    /^ Function / { name = $2; sub(/:$/, "", name) }
    /^  REG:/ && name { split($0, part, /[: ]+/); print "kernel", arch, name, part[3], part[5], part[9], file; name = "" }
' "$work"/*.usage >"$work/facts"

# Dumping machine code takes seconds a file: only where the budget asks for instructions.
awk '
    NR == FNR { sub(/#.*/, ""); if (NF > 3) { gsub(/\*/, ".*", $1); wanted["^" $1 "$"] } next }
    $1 == "kernel" { for (pattern in wanted) if ($3 ~ pattern) files[$7] }
    END { for (file in files) print file }
' kernels/budget.txt "$work/facts" | sed "s|.*|$out/kernels/&.fatbin|" | parallel '"$cuobjdump" -sass {} >"$work/$(basename {}).sass"'
find "$work" -name '*.sass' -exec awk '
    /^arch = / { arch = substr($3, 4) }
    $1 == "Function" { name = $3 }
    $1 ~ /^\/\*[0-9a-f]+\*\/$/ { print "has", arch, name, $2 ~ /^@/ ? $3 : $2 }
' {} + | sort -u >>"$work/facts"

awk -v archs="$archs" '
    function complain(arch, what) { if (!(what in bad)) said[++complaints] = what; bad[what] = bad[what] " sm_" arch; failures++ }
    BEGIN { count = split(archs, list, " ") }
    NR == FNR {
        sub(/#.*/, "")
        if (NF == 0) next
        rules++; pattern = $1; gsub(/\*/, ".*", pattern)
        glob[rules] = $1; regex[rules] = "^" pattern "$"; registers[rules] = $2; stack[rules] = $3
        for (i = 4; i <= NF; i++) wants[rules] = wants[rules] " " $i
        next
    }
    $1 == "ptx" { ptx[$2] }
    $1 == "kernel" { if (!($3 in file)) order[++kernels] = $3; file[$3] = $7; regs[$3, $2] = $4; stacks[$3, $2] = $5 + $6 }
    $1 == "has" { has[$3, $2] = has[$3, $2] " " $4 }
    END {
        printf "%-40s", "registers on sm_"; for (i = 1; i <= count; i++) printf "%5s", list[i]; print "   at most"
        for (k = 1; k <= kernels; k++) {
            name = order[k]
            rule = 0; for (r = rules; r > 0; r--) if (name ~ regex[r]) rule = r # the first that fits
            used[rule]
            most = rule ? registers[rule] : 128; room = rule ? stack[rule] : 0
            only = file[name] ~ /_sm90a$/
            printf "%-40s", name
            for (i = 1; i <= count; i++) printf "%5s", only && list[i] != "90" ? "" : regs[name, only ? "90a" : list[i]]
            printf "%10d%s\n", most, rule ? wants[rule] : ""
            for (i = 1; i <= (only ? 1 : count); i++) {
                arch = only ? "90a" : list[i]
                if (!((name, arch) in regs)) { complain(arch, "not in the fatbin"); continue }
                if (regs[name, arch] > most) complain(arch, regs[name, arch] " registers, the budget is " most)
                if (stacks[name, arch] > room) complain(arch, stacks[name, arch] " bytes of stack (spills?), the budget is " room)
                wanted = split(rule ? wants[rule] : "", want, " ")
                for (w = 1; w <= wanted; w++)
                    if (index(has[name, arch], " " want[w]) == 0) complain(arch, "no " want[w] " among its instructions")
            }
            if (!only && !(file[name] in ptx)) complain("80", "no PTX for GPUs to come in " file[name] ".fatbin")
            for (c = 1; c <= complaints; c++) printf "FAILED %s: %s, on%s\n", name, said[c], bad[said[c]]
            complaints = 0; split("", bad)
        }
        for (r = 1; r <= rules; r++) if (!(r in used)) { printf "FAILED budget.txt: %s is not the first to fit any kernel\n", glob[r]; failures++ }
        if (failures) { printf "%d of the expectations in kernels/budget.txt failed\n", failures; exit 1 }
        printf "%d kernels within their budgets on %d architectures\n", kernels, count
    }
' kernels/budget.txt "$work/facts"
