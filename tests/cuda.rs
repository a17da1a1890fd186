//! A real GPU, where there is one; the line that says why not, where there is none. `CALTROP_REQUIRE_GPU=1` makes the
//! absence of one a failure.

mod support;

use caltrop::device::{Address, Device, Gpu, Grid, KERNELS, OnGpu, catch, kernel};
use caltrop::ops::relu;
use caltrop::tensor::{Array, Tensor};
use support::devices::{self, same_bits};

/// The GPU, or None where this machine has none and need not have one.
fn gpu() -> Option<(Device, Gpu)> {
    match devices::cuda() {
        Some(Device::Gpu(gpu)) => Some((Device::Gpu(gpu.clone()), gpu)),
        _ => {
            let why = Gpu::cuda(0).err().map_or(String::new(), |error| error.to_string());
            assert!(std::env::var_os("CALTROP_REQUIRE_GPU").is_none(), "CALTROP_REQUIRE_GPU is set, but: {why}");
            None
        }
    }
}

#[test]
fn a_machine_without_a_gpu_gets_a_reason_in_one_line() {
    if gpu().is_some() {
        let many = Gpu::cuda(99).expect_err("a hundredth GPU").to_string();
        assert!(many.starts_with("--device cuda:99: no such device; this machine has "), "{many}");
        assert!(!Gpu::list().unwrap().is_empty());
        return;
    }
    for result in [Gpu::cuda(0).map(drop), Gpu::cuda(3).map(drop), Gpu::list().map(drop), Device::named("cuda:1", None).map(drop)] {
        let error = result.expect_err("there is none");
        let text = error.to_string();
        assert!(text.starts_with("--device cuda") && !text.contains('\n') && error.exit_code() == 1, "{text}");
        let cures = ["use --device cpu", "run tools/get-nvcc.sh"];
        assert!(cures.iter().any(|cure| text.contains(cure)), "{text}");
    }
    assert!(matches!(Device::named("auto", None), Ok(Device::Cpu(_))), "auto falls back");
}

/// Around the sizes of the staging memory, small and large.
#[test]
fn what_goes_up_comes_down() {
    let Some((device, _)) = gpu() else { return };
    for count in [0, 1, 3, 65_535, 65_536, 65_537, 8 << 20, (8 << 20) + 1, (40 << 20) + 13] {
        let bytes: Vec<u8> = (0..count).map(|i: usize| (i * 31 + i / 251) as u8).collect();
        assert!(Array::from_slice(&device, [count], &bytes).to_vec() == bytes, "{count} bytes");
    }
}

#[test]
fn fills_and_copies() {
    let Some((device, gpu)) = gpu() else { return };
    let filled = Tensor::full(&device, [1000], 1.5);
    let other = Tensor::zeros(&device, [1000]);
    gpu.launcher().copy(other.address().offset(40), filled.address(), 400).unwrap();
    let want: Vec<f32> = (0..1000).map(|i| if (10..110).contains(&i) { 1.5 } else { 0.0 }).collect();
    same_bits("copied", &other.to_vec(), &want);
    assert_eq!(Array::full(&device, [5], 7u8).to_vec(), [7; 5]);
}

/// The next batch is uploaded into the block of the last while launches that read that are still waiting.
#[test]
fn uploads_overtake_nobody() {
    let Some((device, gpu)) = gpu() else { return };
    let count = 1 << 20;
    let batch = |round: usize| vec![round as f32; count];
    let mut results = Vec::new();
    for round in 0..40 {
        let x = Tensor::from_slice(&device, [1, 1, 1, 1, count], &batch(round));
        let mut z = relu::forward(&x, None);
        for _ in 0..8 {
            z = relu::forward(&z, None);
        }
        results.push((z, relu::forward(&x, None)));
    }
    let mut x = Tensor::from_slice(&device, [1, 1, 1, 1, count], &batch(40));
    for round in 40..80 {
        x.overwrite(&batch(round));
        results.push((relu::forward(&x, None), relu::forward(&x, None)));
    }
    gpu.wait();
    for (round, (late, early)) in results.iter().enumerate() {
        same_bits("at the end of a chain", &late.to_vec(), &batch(round));
        same_bits("at once", &early.to_vec(), &batch(round));
    }
}

#[test]
fn threads_may_share_a_gpu() {
    let Some((device, _)) = gpu() else { return };
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let device = device.clone();
            scope.spawn(move || {
                for round in 0..50 {
                    let values: Vec<f32> = (0..999).map(|i| ((i * 7 + round * 13 + seed * 29) % 100) as f32 - 50.0).collect();
                    let want: Vec<f32> = values.iter().map(|v| v.max(0.0)).collect();
                    let x = Tensor::from_slice(&device, [1, 1, 1, 1, 999], &values);
                    same_bits("beside other threads", &relu::forward(&x, None).to_vec(), &want);
                }
            });
        }
    });
}

#[test]
fn memory_that_is_not_there_is_refused_with_the_numbers() {
    let Some((device, gpu)) = gpu() else { return };
    let total = gpu.launcher().memory().unwrap().total;
    let asked = catch(|| {
        let _memory = Array::<u8>::unspecified(&device, [4 * total as usize]);
        Ok(())
    });
    let text = asked.expect_err("four times the memory").to_string();
    assert!(
        text.starts_with("gpu: out of memory: asked for ") && text.contains(" free of ") && text.contains("lower the batch size"),
        "{text}"
    );
    assert_eq!(Tensor::full(&device, [4], 2.0).to_vec(), [2.0; 4], "and on");
}

#[test]
fn a_wrong_argument_is_named_before_the_launch() {
    let Some((device, gpu)) = gpu() else { return };
    let x = Tensor::zeros(&device, [4]);
    let launch = || {
        gpu.run(&kernel::relu_forward, Grid::blocks(1, 256))
            .array(&x)
            .value(Address(0))
            .value(Address(0))
            .array(&x)
            .value(4u32)
            .value(4u32)
            .go();
        Ok(())
    };
    assert_eq!(catch(launch).unwrap_err().to_string(), "gpu: relu_forward was given 4 bytes for its argument 5, which has 8");
}

#[test]
fn every_kernel_is_in_the_build() {
    assert!(KERNELS.iter().any(|entry| entry.name() == "relu_forward"));
    let Some((_, gpu)) = gpu() else { return };
    // Refused for its arguments, so it was found.
    for entry in KERNELS {
        let text = gpu.launcher().launch(entry, Grid::blocks(1, 256), &[]).unwrap_err().to_string();
        assert_eq!(text, format!("gpu: {} was given 0 arguments, it has {}", entry.name(), entry.args));
    }
}

#[test]
fn stamps_tell_the_time_between_launches() {
    let Some((device, gpu)) = gpu() else { return };
    let x = Tensor::zeros(&device, [1 << 20, 1, 1, 1, 4]);
    let begin = gpu.launcher().stamp().unwrap();
    for _ in 0..20 {
        relu::forward(&x, None);
    }
    let end = gpu.launcher().stamp().unwrap();
    let seconds = end.since(&*begin).unwrap();
    assert!(seconds > 0.0 && seconds < 10.0, "{seconds} s");
}
