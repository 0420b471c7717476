use super::*;
use crate::golden;

fn resample(samples: &[f32], rate: u32, chunk: usize) -> Vec<f32> {
    let (mut resampler, mut out) = (Resampler::new(rate), Vec::new());
    samples.chunks(chunk).for_each(|chunk| resampler.push(chunk, &mut out));
    resampler.finish(&mut out);
    out
}

fn sine(rate: u32, hz: f64, n_samples: usize) -> Vec<f32> {
    (0..n_samples)
        .map(|i| (std::f64::consts::TAU * hz * i as f64 / f64::from(rate)).sin() as f32 * 0.5)
        .collect()
}

/// Without the first and last 50 ms, where a filter meets the edges.
fn middle(samples: &[f32]) -> &[f32] {
    &samples[800..samples.len() - 800]
}

fn power(samples: impl Iterator<Item = f32>) -> f64 {
    let (sum, n) = samples.fold((0.0, 0), |(sum, n), x| (sum + f64::from(x).powi(2), n + 1));
    sum / f64::from(n.max(1))
}

fn snr_db(reference: &[f32], x: &[f32]) -> f64 {
    let noise = power(reference.iter().zip(x).map(|(a, b)| a - b));
    10.0 * (power(reference.iter().copied()) / noise.max(1e-30)).log10()
}

#[test]
fn the_number_of_samples_is_exact() {
    for rate in [1_000, 7_919, 8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000, 768_000] {
        for n_in in [0u64, 1, 2, 100, 4_095, 48_001] {
            let n_out = resample(&vec![0.25; n_in as usize], rate, 1_000).len() as u64;
            let expected = (n_in * 16_000 + u64::from(rate) / 2) / u64::from(rate);
            assert_eq!(n_out, expected, "{n_in} samples at {rate} Hz");
        }
    }
}

#[test]
fn the_result_does_not_depend_on_the_chunks() {
    for rate in [8_000, 44_100, 48_000] {
        let samples = sine(rate, 440.0, 20_000);
        let whole = resample(&samples, rate, 20_000);
        for chunk in [1, 333, 4_096] {
            assert_eq!(resample(&samples, rate, chunk), whole, "{rate} Hz by {chunk}");
        }
    }
}

#[test]
fn tones_keep_their_place_at_any_rate() {
    for rate in [4_000, 7_919, 12_000, 44_056, 88_200, 176_400, 384_000] {
        let samples = sine(rate, 700.0, rate as usize / 2);
        let out = resample(&samples, rate, 5_000);
        let snr = snr_db(middle(&sine(16_000, 700.0, out.len())), middle(&out));
        // A rate that shares no factor with 16000 has long blocks, which ring further than the edges left out.
        assert!(snr > 80.0, "{rate} Hz: {snr:.1} dB");
    }
}

#[test]
#[ignore = "needs ../shared"]
fn tones_come_out_as_calculated_and_aliases_vanish() {
    let arrays = golden::arrays("golden/resample/resample.safetensors");
    let notes = golden::json("golden/resample/resample.json");
    for row in notes["rows"].as_array().unwrap() {
        let rate = row["rate"].as_u64().unwrap() as u32;
        let out = resample(&arrays[&format!("x_{rate}")], rate, 1_000);
        let truth = &arrays[&format!("truth_from_{rate}")];
        // An input of a broken number of samples ends before the reference does.
        assert!(out.len().abs_diff(truth.len()) <= 1, "{rate} Hz: {} samples", out.len());
        let n = out.len().min(truth.len());
        let snr = snr_db(middle(&truth[..n]), middle(&out[..n]));
        assert!(snr > 100.0, "{rate} Hz: {snr:.1} dB");
        let alias = arrays.get(&format!("alias_{rate}")).map_or(-200.0, |alias| {
            let out = resample(alias, rate, 1_000);
            10.0 * (power(middle(&out).iter().copied()) / power(alias.iter().copied()) + 1e-30).log10()
        });
        assert!(alias < -120.0, "{rate} Hz: {alias:.1} dB");
        println!("{rate} Hz: {snr:.1} dB, aliases {alias:.1} dB");
    }
}

#[test]
#[ignore = "needs ../shared"]
fn speech_comes_out_as_from_soxr() {
    let arrays = golden::arrays("golden/resample/resample.safetensors");
    for rate in [8_000, 44_100, 48_000] {
        let out = resample(&arrays[&format!("speech_{rate}_s16")], rate, 1_000);
        let soxr = &arrays[&format!("speech_{rate}_to_16000_soxr_vhq")];
        assert_eq!(out.len(), soxr.len());
        let snr = snr_db(middle(soxr), middle(&out));
        println!("{rate} Hz: {snr:.1} dB");
        assert!(snr > 55.0, "{rate} Hz: {snr:.1} dB");
    }
}
