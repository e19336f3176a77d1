//! Autocorrelation of a record: lags, autoregressive fit, integrated correlation time.

/// Lags kept and looked at.
pub const LAGS: usize = 32;

/// Highest order of the autoregressive fit.
pub const MAX_ORDER: usize = 4;

/// Autocorrelation of `x` about its mean at lags 0..=[`LAGS`]; 1 and then zeros when `x` does not vary.
pub(super) fn autocorrelation(x: &[f64]) -> Vec<f64> {
    let n = x.len().max(1) as f64;
    let mean = x.iter().sum::<f64>() / n;
    let at =
        |lag: usize| x.iter().zip(x.iter().skip(lag)).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / n;
    let variance = at(0);
    if variance <= 0.0 || !variance.is_finite() {
        return (0..=LAGS).map(|lag| if lag == 0 { 1.0 } else { 0.0 }).collect();
    }
    (0..=LAGS).map(|lag| at(lag) / variance).collect()
}

/// `1 + 2 sum rho`, in samples: so many samples carry as much about the mean as one independent one. The sum
/// ends where the window is five times the sum (Sokal 1997), or at [`LAGS`].
pub(super) fn correlation_time(rho: &[f64]) -> f64 {
    let mut time = 1.0;
    for (lag, r) in rho.iter().enumerate().skip(1) {
        time += 2.0 * r;
        if lag as f64 >= 5.0 * time {
            break;
        }
    }
    time
}

/// Autoregressive coefficients of the order with the least Bayesian information criterion for `n` samples, by
/// the Levinson-Durbin recursion; empty when the samples are as good as independent.
pub(super) fn fit(rho: &[f64], n: usize) -> Vec<f64> {
    let penalty = (n.max(2) as f64).ln();
    let (mut best, mut best_score) = (Vec::new(), 0.0);
    let (mut a, mut left): (Vec<f64>, f64) = (Vec::new(), 1.0);
    for order in 1..=MAX_ORDER.min(rho.len().saturating_sub(1)) {
        let predicted: f64 = a.iter().enumerate().map(|(i, c)| c * rho[order - 1 - i]).sum();
        let reflection = (rho[order] - predicted) / left;
        if !reflection.is_finite() || reflection.abs() >= MOST_REFLECTION {
            break;
        }
        let turned: Vec<f64> = a.iter().rev().map(|c| reflection * c).collect();
        a.iter_mut().zip(turned).for_each(|(c, t)| *c -= t);
        a.push(reflection);
        left *= 1.0 - reflection * reflection;
        let score = n as f64 * left.ln() + order as f64 * penalty;
        if score < best_score {
            (best, best_score) = (a.clone(), score);
        }
    }
    best
}

/// A reflection coefficient nearer to 1 than this is no stationary process; block means are used instead.
const MOST_REFLECTION: f64 = 0.995;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn autoregressive(phi: f64, n: usize) -> Vec<f64> {
        let mut rng = Rng::new(3);
        let mut x = 0.0;
        (0..n)
            .map(|_| {
                x = phi * x + rng.normal();
                x
            })
            .collect()
    }

    #[test]
    fn an_autoregressive_process_is_found_with_its_correlation_time() {
        for phi in [0.3, 0.5, 0.8, -0.4] {
            let x = autoregressive(phi, 50_000);
            let rho = autocorrelation(&x);
            let ar = fit(&rho, x.len());
            assert_eq!(ar.len(), 1, "{phi}: {ar:?}");
            assert!((ar[0] - phi).abs() < 0.02, "{phi}: {ar:?}");
            let time = (1.0 + phi) / (1.0 - phi);
            assert!((correlation_time(&rho) / time - 1.0).abs() < 0.35, "{phi}: {}", correlation_time(&rho));
        }
    }

    #[test]
    fn white_noise_needs_no_fit_and_a_constant_none_either() {
        let x = autoregressive(0.0, 20_000);
        assert!(fit(&autocorrelation(&x), x.len()).is_empty());
        assert!(fit(&autocorrelation(&[2.5; 100]), 100).is_empty());
        assert!(fit(&autocorrelation(&[]), 0).is_empty());
    }
}
