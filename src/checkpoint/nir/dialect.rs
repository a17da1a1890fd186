//! What importers of NIR make of a graph, where they differ: docs/nir.md says what each was read from.

use super::graph::{Cells, Leaky, Pool};
use crate::base::{Result, ensure, fail, suggest, usage};
use crate::ops::lif::Reset;

/// How an importer reads a graph.
#[derive(Debug)]
pub struct Dialect {
    /// What is typed.
    pub name: &'static str,
    /// The importer and the version that was read; empty for NIR's own definition.
    pub importer: &'static str,
    /// Its time step.
    dt: f64,
    fires: Fires,
    integrator: Integrator,
    leaky: Decay,
    /// The pool that it knows.
    pub pool: Pool,
    /// What multiplies a signal by numbers.
    pub factor: Factor,
    /// What a linear layer without a bias is.
    pub unbiased: Unbiased,
    /// The resets that its neurons can have.
    resets: &'static [Reset],
}

/// When a neuron fires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fires {
    /// u > v_threshold, as NIR defines it.
    Above,
    /// u ≥ v_threshold.
    At,
}

/// What a neuron without a leak is, and what its membrane gains of a current I in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Integrator {
    /// `IF`: r·dt·I.
    Timed,
    /// `IF`: r·I, whatever the time step.
    Timeless,
    /// A `LIF` whose time constant is so long that nothing leaks in f32.
    Lif,
}

/// What a leak makes of a time constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decay {
    /// leak = 1 − dt/tau, gain r·dt/tau; written with r = tau/dt, so the gain is 1.
    Euler,
    /// As before, written with r = 1 (r is not read), so membranes and threshold are those of the network times 1 − leak.
    EulerUnit,
    /// leak = exp(−dt/tau), gain 1.
    Exponential,
}

/// What multiplies a signal by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factor {
    /// `Scale`.
    Scale,
    /// A `Conv2d` 1x1 that is 0 beside its diagonal.
    Conv,
}

/// What a linear layer without a bias is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unbiased {
    /// `Linear`.
    Linear,
    /// `Affine` with zeros.
    Affine,
}

const STANDARD: Dialect = Dialect {
    name: "standard",
    importer: "",
    dt: 1.0,
    fires: Fires::Above,
    integrator: Integrator::Timed,
    leaky: Decay::Euler,
    pool: Pool::Average,
    factor: Factor::Scale,
    unbiased: Unbiased::Linear,
    resets: &[Reset::Hard],
};

/// The dialects; the first is NIR as it is defined.
pub const DIALECTS: [Dialect; 5] = [
    STANDARD,
    Dialect { name: "snntorch", importer: "snnTorch 1.0.0", dt: 1e-4, integrator: Integrator::Lif, factor: Factor::Conv, ..STANDARD },
    Dialect { name: "spikingjelly", importer: "SpikingJelly 2.0.0", dt: 1e-4, fires: Fires::At, factor: Factor::Conv, ..STANDARD },
    Dialect {
        name: "norse",
        importer: "Norse 1.1.0",
        dt: 1e-3,
        integrator: Integrator::Timeless,
        leaky: Decay::EulerUnit,
        pool: Pool::Sum,
        factor: Factor::Conv,
        ..STANDARD
    },
    Dialect {
        name: "sinabs",
        importer: "Sinabs 3.1.3",
        fires: Fires::At,
        integrator: Integrator::Timeless,
        leaky: Decay::Exponential,
        pool: Pool::Sum,
        factor: Factor::Conv,
        unbiased: Unbiased::Affine,
        resets: &[Reset::Hard, Reset::Soft],
        ..STANDARD
    },
];

/// A neuron: u_t = leak·v_{t−1} + gain·I_t, which fires where u_t ≥ v_th.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dynamics {
    /// Share of the membrane that survives a step.
    pub leak: f64,
    /// What it gains of a current.
    pub gain: f64,
    /// Threshold.
    pub v_th: f64,
}

impl Dialect {
    /// The dialect called `name`. Errors (usage): unknown.
    pub fn named(name: &str) -> Result<&'static Dialect> {
        let names = DIALECTS.iter().map(|dialect| dialect.name);
        DIALECTS
            .iter()
            .find(|dialect| dialect.name == name)
            .ok_or_else(|| usage!("--dialect {name}: no such dialect of NIR{}", suggest(name, names)))
    }

    /// Errors: neurons with this leak and reset cannot be said.
    pub fn can_say(&self, leak: f32, reset: Reset) -> Result<()> {
        ensure!(
            self.can(reset),
            "the neurons have a {reset} reset, and {} knows a reset to v_reset alone; finetune with a hard reset, or write --dialect sinabs, whose neurons subtract",
            if self.importer.is_empty() { "NIR" } else { self.importer }
        );
        ensure!(
            leak >= 1.0 || self.leaky != Decay::Exponential,
            "the neurons leak ({leak}), and {} fails on a LIF of images (it takes v_leak of one dimension alone); use another dialect",
            self.importer
        );
        Ok(())
    }

    /// Whether its neurons can have this reset.
    pub fn can(&self, reset: Reset) -> bool {
        self.resets.contains(&reset)
    }

    /// Neurons of this leak and threshold.
    pub fn cells(&self, shape: Vec<usize>, leak: f32, v_th: f32) -> Cells {
        let (r, tau) = match (leak < 1.0, self.integrator, self.leaky) {
            (false, Integrator::Lif, _) => (NEVER, Some(NEVER * self.dt)),
            (false, Integrator::Timed, _) => (1.0 / self.dt, None),
            (false, Integrator::Timeless, _) => (1.0, None),
            (true, _, Decay::Euler) => (1.0 / lost(leak), Some(self.dt / lost(leak))),
            (true, _, Decay::EulerUnit) => (1.0, Some(self.dt / lost(leak))),
            (true, _, Decay::Exponential) => (1.0, Some(-self.dt / f64::from(leak).ln())),
        };
        let unit = self.leaky == Decay::EulerUnit && leak < 1.0;
        let scaled = if unit { (f64::from(v_th) * lost(leak)) as f32 } else { v_th };
        let v_threshold = if self.fires == Fires::Above { scaled.next_down() } else { scaled };
        let mut cells = Cells {
            shape,
            r: f64::from(r as f32),
            leaky: tau.map(|tau| Leaky { tau: f64::from(tau as f32), v_leak: 0.0 }),
            v_threshold: f64::from(v_threshold),
            v_reset: 0.0,
            said: None,
        };
        // Where rounding loses the last bits of the threshold, the node says them.
        let back = self.dynamics(&cells).map(|dynamics| dynamics.v_th / dynamics.gain);
        cells.said = (back.ok().map(|back| back as f32) != Some(v_th)).then_some(v_th);
        cells
    }

    /// What neurons of a graph do. Errors: a resting or reset potential that is not 0, a leak beyond 0 to 1, a gain or
    /// threshold that is not positive.
    pub fn dynamics(&self, cells: &Cells) -> Result<Dynamics> {
        let Cells { r, v_threshold, v_reset, .. } = *cells;
        ensure!(v_reset == 0.0, "v_reset is {v_reset}; Caltrop's neurons are reset to 0");
        let (leak, gain) = match (cells.leaky, self.leaky, self.integrator) {
            (None, _, Integrator::Timeless) => (1.0, r),
            (None, ..) => (1.0, r * self.dt),
            (Some(Leaky { v_leak, .. }), ..) if v_leak != 0.0 => {
                return Err(fail!("v_leak is {v_leak}; Caltrop's neurons rest at 0"));
            }
            (Some(Leaky { tau, .. }), Decay::Exponential, _) => ((-self.dt / tau).exp(), 1.0),
            (Some(Leaky { tau, .. }), ..) => (1.0 - self.dt / tau, r * self.dt / tau),
        };
        ensure!(
            leak > 0.0 && leak <= 1.0,
            "tau is {} and the time step {}, so a share of {leak} of the membrane would survive a step, which must be above 0 and at most 1; \
             say whose time step is meant: --dialect {}",
            cells.leaky.map_or(0.0, |leaky| leaky.tau),
            self.dt,
            DIALECTS.iter().map(|dialect| format!("{} ({})", dialect.name, dialect.dt)).collect::<Vec<_>>().join(", ")
        );
        ensure!(gain > 0.0 && gain.is_finite(), "r is {r}, so a membrane would gain {gain} times its current; it must be positive");
        ensure!(v_threshold > 0.0 && v_threshold.is_finite(), "v_threshold is {v_threshold}; it must be positive");
        let v_th = if self.fires == Fires::Above { f64::from((v_threshold as f32).next_up()) } else { v_threshold };
        Ok(Dynamics { leak, gain, v_th })
    }
}

/// A time constant of so many steps leaks nothing in f32.
const NEVER: f64 = (1u64 << 30) as f64;

/// The share of a membrane that a step loses.
fn lost(leak: f32) -> f64 {
    1.0 - f64::from(leak)
}
