//! Work recorded once and done again, on every device that runs kernels.

mod support;

use caltrop::base::{Result, fail};
use caltrop::device::{Device, Gpu, OnGpu, OnGpuMut};
use caltrop::ops::norm::Affine;
use caltrop::ops::relu;
use caltrop::tensor::Tensor;
use support::devices::{self, same_bits};

/// An odd size and one that goes four numbers at a time.
const SHAPES: [[usize; 5]; 2] = [[2, 3, 5, 1, 3], [3, 4, 4, 2, 8]];

fn gpus() -> Vec<(Device, Gpu)> {
    let gpu = |device: Device| match &device {
        Device::Gpu(gpu) => (device.clone(), gpu.clone()),
        Device::Cpu(_) => panic!("a CPU among the GPUs"),
    };
    // A CUDA device of its own for every test: while one records, nobody else may use that device.
    let own = Gpu::cuda(0).ok().map(Device::Gpu);
    devices::emulated().into_iter().chain(own).map(gpu).collect()
}

/// Two steps whose order and whose numbers matter: ReLU of -0.5·x + 1, twice.
struct Chain(Affine);

impl Chain {
    fn new(device: &Device, channels: usize) -> Chain {
        Chain(Affine { scale: Tensor::full(device, [channels], -0.5), shift: Tensor::full(device, [channels], 1.0) })
    }

    fn run(&self, x: &Tensor) -> Tensor {
        relu::forward(&relu::forward(x, Some(&self.0)), Some(&self.0))
    }
}

/// Numbers that differ from place to place and from round to round.
fn numbers(count: usize, round: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + round * 101) % 64) as f32 / 8.0 - 4.0).collect()
}

fn want(x: &[f32]) -> Vec<f32> {
    let step = |x: f32| (-0.5 * x + 1.0).max(0.0);
    x.iter().map(|&x| step(step(x))).collect()
}

#[test]
fn a_replay_does_what_the_launches_did_on_what_the_input_holds_now() {
    for (device, gpu) in gpus() {
        for shape in SHAPES {
            let (count, chain) = (shape.iter().product(), Chain::new(&device, shape[4]));
            let mut x = Tensor::from_slice(&device, shape, &numbers(count, 0));
            same_bits("directly", &chain.run(&x).to_vec(), &want(&numbers(count, 0)));
            let (z, recording) = gpu.record(|| Ok(chain.run(&x))).unwrap();
            assert!(recording.len() == 2 && !recording.is_empty(), "{} launches", recording.len());
            for round in 1..4 {
                x.overwrite(&numbers(count, round));
                recording.replay();
                same_bits(&format!("{}, replay {round}", device.describe()), &z.to_vec(), &want(&numbers(count, round)));
            }
            recording.replay();
            recording.replay();
            same_bits("again and again", &z.to_vec(), &want(&numbers(count, 3)));
        }
    }
}

#[test]
fn copies_and_fills_are_recorded_like_launches() {
    for (device, gpu) in gpus() {
        let mut x = Tensor::from_slice(&device, [1, 1, 1, 1, 6], &numbers(6, 0));
        let work = || {
            let mut copied = x.clone();
            copied.address_mut(); // whoever writes to a shared array gets a copy
            Ok((copied, Tensor::full(&device, [3], 2.5)))
        };
        let ((copied, filled), recording) = gpu.record(work).unwrap();
        x.overwrite(&numbers(6, 1));
        recording.replay();
        same_bits("copied", &copied.to_vec(), &numbers(6, 1));
        same_bits("filled", &filled.to_vec(), &[2.5; 3]);
    }
}

#[test]
fn the_memory_of_a_recording_is_its_own_while_it_lives() {
    for (device, gpu) in gpus() {
        let (shape, count) = (SHAPES[1], SHAPES[1].iter().product());
        let chain = Chain::new(&device, shape[4]);
        let mut x = Tensor::from_slice(&device, shape, &numbers(count, 0));
        drop(chain.run(&x));
        let ((middle, z), recording) = gpu
            .record(|| {
                let middle = relu::forward(&x, Some(&chain.0));
                let place = middle.address();
                let z = relu::forward(&middle, Some(&chain.0));
                Ok((place, z))
            })
            .unwrap();
        // As many others of that size as there could be blocks waiting.
        let others: Vec<Tensor> = (0..4).map(|_| Tensor::full(&device, shape, 7.0)).collect();
        assert!(others.iter().all(|other| ![middle, z.address(), x.address()].contains(&other.address())), "{}", device.describe());
        x.overwrite(&numbers(count, 1));
        recording.replay();
        same_bits("the result", &z.to_vec(), &want(&numbers(count, 1)));
        others.iter().for_each(|other| same_bits("an array beside it", &other.to_vec(), &vec![7.0; count]));
        // The result outlives the recording; the memory of both then serves again.
        drop(recording);
        let more: Vec<Tensor> = (0..4).map(|_| Tensor::full(&device, shape, 8.0)).collect();
        same_bits("the result, later", &z.to_vec(), &want(&numbers(count, 1)));
        drop((more, others, z));
        same_bits("directly, later", &chain.run(&x).to_vec(), &want(&numbers(count, 1)));
    }
}

#[test]
fn what_cannot_be_recorded_is_refused_in_one_line_and_the_device_works_on() {
    for (device, gpu) in gpus() {
        let x = Tensor::from_slice(&device, [1, 1, 1, 1, 4], &[1.0, -2.0, 3.0, -4.0]);
        let refused = |what: &str, work: &dyn Fn() -> Result<()>| {
            let text = gpu.record(work).err().expect(what).to_string();
            assert_eq!(text, format!("gpu: {what} while a graph is recorded; do it before or after"), "{}", device.describe());
            same_bits(what, &relu::forward(&x, None).to_vec(), &[1.0, 0.0, 3.0, 0.0]);
        };
        refused("an upload", &|| {
            Tensor::from_slice(&device, [1], &[1.0]);
            Ok(())
        });
        refused("a download", &|| {
            x.to_vec();
            Ok(())
        });
        refused("a wait", &|| {
            gpu.wait();
            Ok(())
        });
        refused("a second recording", &|| gpu.record(|| Ok(())).map(drop));
        let own = gpu.record(|| -> Result<()> {
            relu::forward(&x, None);
            Err(fail!("work: gave up"))
        });
        assert_eq!(own.err().expect("its own error").to_string(), "work: gave up");
        same_bits("after an error of the work", &relu::forward(&x, None).to_vec(), &[1.0, 0.0, 3.0, 0.0]);
    }
}

#[test]
fn a_bug_in_the_work_leaves_the_device_as_it_was() {
    for (device, gpu) in gpus() {
        let x = Tensor::from_slice(&device, [1, 1, 1, 1, 4], &[1.0, -2.0, 3.0, -4.0]);
        let bug = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = gpu.record(|| -> Result<()> {
                relu::forward(&x, None);
                panic!("a bug")
            });
        }));
        assert!(bug.is_err());
        same_bits("after a panic", &relu::forward(&x, None).to_vec(), &[1.0, 0.0, 3.0, 0.0]);
    }
}

#[test]
fn an_empty_recording_does_nothing() {
    for (_, gpu) in gpus() {
        let ((), recording) = gpu.record(|| Ok(())).unwrap();
        assert!(recording.is_empty());
        recording.replay();
        gpu.wait();
    }
}

#[test]
#[should_panic(expected = "which is shared")]
fn an_array_that_is_shared_is_not_overwritten() {
    let mut x = Tensor::zeros(&devices::first(), [3]);
    let other = x.clone();
    x.overwrite(&[1.0, 2.0, 3.0]);
    drop(other);
}

#[test]
fn an_array_is_overwritten_where_it_is() {
    for device in devices::all() {
        let mut x = Tensor::zeros(&device, [3]);
        x.overwrite(&[1.0, 2.0, 3.0]);
        assert_eq!(x.to_vec(), [1.0, 2.0, 3.0], "{}", device.describe());
    }
}
